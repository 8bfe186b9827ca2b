#include "core/game/routing/game.h"

#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/status.h"

namespace nashswarm::routing {
namespace {

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckShape(const Batch& batch) {
  const auto bad = [](std::string_view message) { return Invalid("ROUTING_SHAPE", message); };
  if (batch.tokens < 1 || batch.tokens > kMaxTokens) return bad(absl::StrCat("a batch of ", batch.tokens, " tokens"));
  if (batch.experts < 1 || batch.experts > kMaxExperts) {
    return bad(absl::StrCat("a layer of ", batch.experts, " experts"));
  }
  if (batch.top_k < 1 || batch.top_k > batch.experts) {
    return bad(absl::StrCat("each token chooses ", batch.top_k, " of ", batch.experts, " experts"));
  }
  if (CheckedMul(batch.tokens, batch.experts) != batch.logits.size()) {
    return bad(absl::StrCat(batch.logits.size(), " logits for ", batch.tokens, " tokens x ", batch.experts));
  }
  if (!batch.cached.empty() && batch.cached.size() != batch.experts && batch.cached.size() != batch.logits.size()) {
    return bad(absl::StrCat("cached: ", batch.cached.size(), " bytes for ", batch.tokens, " tokens and ", batch.experts, " experts"));
  }
  if (batch.centres != nullptr && batch.centres->experts() != batch.experts) {
    return bad(absl::StrCat(batch.centres->experts(), " centres for ", batch.experts, " experts"));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const Options& options) {
  const Weights& w = options.weights;
  for (const double weight : {w.alpha, w.separation, w.threshold, w.alignment, w.cohesion, w.cache_bonus}) {
    // Negated, so that NaN is refused too.
    if (!(weight >= 0 && weight <= kMaxWeight)) return Invalid("ROUTING_OPTIONS", absl::StrCat("a weight of ", weight));
  }
  if (!(options.least_gain > 0 && options.least_gain <= kMaxWeight)) {
    return Invalid("ROUTING_OPTIONS", absl::StrCat("a least gain of ", options.least_gain));
  }
  if (options.max_rounds < 1) {
    return Invalid("ROUTING_OPTIONS", absl::StrCat("at most ", options.max_rounds, " rounds"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Game> Game::Make(const Batch& batch, const Options& options, bool with_neighbours) {
  NS_RETURN_IF_ERROR(CheckShape(batch));
  NS_RETURN_IF_ERROR(CheckOptions(options));
  if (options.weights.cohesion > 0 && batch.centres == nullptr) {
    return Invalid("ROUTING_SHAPE", "cohesion needs the experts' centres");
  }
  if (!ActiveKernels().finite(batch.logits.data(), batch.logits.size())) {
    return Invalid("NON_FINITE_LOGITS", "router logits: NaN or infinity");
  }
  Game game;
  game.tokens_ = batch.tokens;
  game.experts_ = batch.experts;
  game.top_k_ = batch.top_k;
  // Twice as many as are chosen: with fewer, a token could leave few of its experts when they are full.
  game.group_ = std::min(batch.experts, std::max(options.group, 2 * batch.top_k));
  game.least_gain_ = options.least_gain;
  game.FillGroups(batch, options.similarity);
  game.FillCosts(options.weights);
  game.FillValues(batch, options.weights);
  if (with_neighbours || options.weights.alignment > 0) {
    game.neighbours_ = FindNeighbours(batch.logits, batch.tokens, batch.experts);
    game.agreement_ = options.weights.alignment / static_cast<double>(kNearestTokens);
    game.rounding_ += 0x1p-20 * game.agreement_ * kNeighbourBlock;
  }
  return game;
}

void Game::FillGroups(const Batch& batch, Similarity similarity) {
  const Kernels& kernels = ActiveKernels();
  ids_.resize(blocks() * group_ * kLanes);
  values_.resize(ids_.size());
  std::vector<float> rows(experts_ * kLanes), sums(group_ * kLanes);
  if (batch.centres != nullptr) cosines_.resize(ids_.size());
  for (size_t block = 0; block < blocks(); ++block) {
    const size_t first = block * kLanes, count = std::min(kLanes, tokens_ - first);
    if (count < kLanes) std::fill(rows.begin(), rows.end(), 0.0f);
    for (size_t lane = 0; lane < count; ++lane) {
      const float* logits = &batch.logits[(first + lane) * experts_];
      for (size_t e = 0; e < experts_; ++e) rows[e * kLanes + lane] = logits[e];
    }
    const size_t at = block * group_ * kLanes;
    kernels.greatest(rows.data(), kLanes, experts_, group_, &values_[at], &ids_[at]);
    if (similarity == Similarity::kSquaredGate) SquareGates(batch, first, &values_[at]);
    if (batch.centres == nullptr) continue;
    kernels.cosines(batch.centres->products().data(), experts_, &ids_[at], group_, sums.data(), &cosines_[at]);
  }
}

void Game::SquareGates(const Batch& batch, size_t first, float* values) const {
  for (size_t lane = 0; lane < std::min(kLanes, tokens_ - first); ++lane) {
    const auto power = [greatest = double{values[lane]}](float logit) { return std::exp(double{logit} - greatest); };
    const float* logits = &batch.logits[(first + lane) * experts_];
    double sum = 0;
    for (size_t slot = 0; batch.normalized && slot < top_k_; ++slot) sum += power(values[slot * kLanes + lane]);
    for (size_t e = 0; !batch.normalized && e < experts_; ++e) sum += power(logits[e]);
    for (size_t slot = 0; slot < group_; ++slot) {
      float& value = values[slot * kLanes + lane];
      const double gate = power(value) / sum;
      value = static_cast<float>(gate * gate);
    }
  }
}

void Game::FillValues(const Batch& batch, const Weights& weights) {
  const auto bonus = static_cast<float>(batch.cached.empty() ? 0 : weights.cache_bonus);
  const auto cohesion = static_cast<float>(weights.cohesion);
  float greatest = 0;
  for (size_t at = 0; at < values_.size(); ++at) {
    if (bonus > 0) {
      const size_t token = at / (group_ * kLanes) * kLanes + at % kLanes;
      if (token < tokens_ && batch.IsCached(token, static_cast<size_t>(ids_[at]))) values_[at] += bonus;
    }
    if (cohesion > 0) values_[at] += cohesion * cosines_[at];
    greatest = std::max(greatest, std::abs(values_[at]));
  }
  // Each of the few roundings of a float sum is half of 2^-23 of what is in it.
  rounding_ = 0x1p-20 * (static_cast<double>(greatest) + costs_.back());
}

void Game::FillCosts(const Weights& weights) {
  const double share = static_cast<double>(experts_) / (static_cast<double>(tokens_) * static_cast<double>(top_k_));
  costs_.resize(tokens_ + 2);
  for (size_t n = 0; n < costs_.size(); ++n) {
    const double load = static_cast<double>(n) * share;
    costs_[n] = weights.alpha * load + weights.separation * std::max(0.0, load - weights.threshold);
  }
}

}  // namespace nashswarm::routing
