#include "core/game/routing/game.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::routing {
namespace {

constexpr uint64_t kMostExperts = 1 << 12;

absl::Status Invalid(const char* reason, const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, absl::StrCat("routing: ", what));
}

}  // namespace

absl::Status CheckGame(const Batch& batch, const Options& options) {
  if (options.experts == 0 || options.experts > kMostExperts || options.used == 0 || options.used > options.experts) {
    return Invalid("ROUTING_SHAPE", absl::StrCat("a token cannot use ", options.used, " of ", options.experts, " experts"));
  }
  if (batch.logits.size() % options.experts != 0 || batch.centres.size() % options.experts != 0 ||
      (!batch.cached.empty() && batch.cached.size() != options.experts) ||
      batch.logits.size() / options.experts > std::numeric_limits<uint32_t>::max()) {
    return Invalid("ROUTING_SHAPE", absl::StrCat("logits, centres and cached experts are not of ", options.experts, " experts"));
  }
  if (options.weights.cohesion > 0 && batch.centres.empty()) return Invalid("ROUTING_SHAPE", "cohesion needs the experts' centres");
  const Weights& w = options.weights;
  for (const double weight : {w.load, w.separation, w.crowd, w.alignment, w.cohesion, w.cached}) {
    if (!std::isfinite(weight) || weight < 0) return Invalid("ROUTING_WEIGHTS", "a weight is negative or not finite");
  }
  for (const auto& values : {batch.logits, batch.centres}) {
    if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) continue;
    return Invalid("NON_FINITE_LOGITS", "a logit or a centre is not finite");
  }
  return absl::OkStatus();
}

Game::Game(const Batch& batch, const Options& options)
    : batch_(batch), options_(options), experts_(options.experts), tokens_(batch.logits.size() / options.experts),
      blocks_((tokens_ + kBlock - 1) / kBlock), share_(static_cast<double>(tokens_ * options.used) / static_cast<double>(experts_)),
      chosen_(blocks_ * experts_ * kBlock), sets_(tokens_ * options.used), loads_(experts_), prices_(experts_) {
  fixed_ = Columns(batch.logits);
  RankLogits();
  CountLoads();
  AddForces();
  if (options.weights.alignment > 0) {
    neighbours_ = NearestTokens(batch_.logits, experts_);
    aligned_.resize(fixed_.size());
    CountAligned();
  }
  Weigh();
}

std::vector<float> Game::Columns(absl::Span<const float> rows) const {
  std::vector<float> columns(blocks_ * experts_ * kBlock);
  for (uint64_t t = 0; t < tokens_; ++t) {
    float* column = &columns[At(t, 0)];
    for (uint64_t e = 0; e < experts_; ++e) column[e * kBlock] = rows[t * experts_ + e];
  }
  return columns;
}

uint64_t Game::TokensIn(uint64_t block) const { return std::min<uint64_t>(kBlock, tokens_ - block * kBlock); }

// The model's own choice, of equal logits the lower expert; and what lies outside a token's group is worth nothing to it.
void Game::RankLogits() {
  const uint64_t used = options_.used, group = options_.Group();
  std::vector<float> room(group * kBlock), out(kBlock);
  for (uint64_t b = 0; b < blocks_; ++b) {
    float *chosen = &chosen_[b * experts_ * kBlock], *fixed = &fixed_[b * experts_ * kBlock];
    ActiveKernels().rank(fixed, experts_, group, room.data(), out.data());
    const float *least = &room[(used - 1) * kBlock], *farthest = &room[(group - 1) * kBlock];
    float count[kBlock] = {};
    for (uint64_t e = 0; e < experts_; ++e) {
      for (size_t t = 0; t < kBlock; ++t) {
        chosen[e * kBlock + t] = fixed[e * kBlock + t] >= least[t] ? 1.0f : 0.0f;
        count[t] += chosen[e * kBlock + t];
      }
    }
    for (size_t t = 0; t < kBlock; ++t) {  // ties
      for (uint64_t e = experts_; count[t] > static_cast<float>(used); --e) {
        const size_t at = (e - 1) * kBlock + t;
        if (chosen[at] == 0 || fixed[at] != least[t]) continue;
        chosen[at] = 0;
        --count[t];
      }
    }
    for (uint64_t e = 0; e < experts_; ++e) {
      for (size_t t = 0; t < kBlock; ++t) {
        if (fixed[e * kBlock + t] < farthest[t]) fixed[e * kBlock + t] = kNever;
      }
    }
    for (size_t t = 0; t < TokensIn(b); ++t) {
      uint16_t* next = &sets_[(b * kBlock + t) * used];
      for (uint64_t e = 0; e < experts_; ++e) {
        if (chosen[e * kBlock + t] != 0) *next++ = static_cast<uint16_t>(e);
      }
    }
  }
}

void Game::Set(absl::Span<const uint16_t> chosen) {
  std::fill(chosen_.begin(), chosen_.end(), 0.0f);
  std::copy(chosen.begin(), chosen.end(), sets_.begin());
  for (uint64_t slot = 0; slot < chosen.size(); ++slot) chosen_[At(slot / options_.used, chosen[slot])] = 1;
  CountLoads();
  if (!aligned_.empty()) CountAligned();
  Weigh();
}

void Game::CountLoads() {
  std::fill(loads_.begin(), loads_.end(), 0);
  for (const uint16_t expert : sets_) ++loads_[expert];
  for (uint64_t e = 0; e < experts_; ++e) Price(e);
}

// What does not change in the game, beside similarity.
void Game::AddForces() {
  if (!batch_.centres.empty()) {
    std::vector<float> in_group(tokens_ * experts_);
    for (uint64_t t = 0; t < tokens_; ++t) {
      for (uint64_t e = 0; e < experts_; ++e) in_group[t * experts_ + e] = fixed_[At(t, e)] != kNever ? 1.0f : 0.0f;
    }
    cosine_ = Columns(CosineToCentre(batch_.centres, in_group, experts_));
  }
  const auto cohesion = static_cast<float>(options_.weights.cohesion), cached = static_cast<float>(options_.weights.cached);
  for (uint64_t b = 0; b < blocks_; ++b) {
    for (uint64_t e = 0; e < experts_; ++e) {
      const uint64_t at = (b * experts_ + e) * kBlock;
      const float bonus = !batch_.cached.empty() && batch_.cached[e] != 0 ? cached : 0.0f;
      for (size_t t = 0; t < kBlock; ++t) fixed_[at + t] += bonus + (cohesion > 0 ? cohesion * cosine_[at + t] : 0.0f);
    }
  }
}

void Game::CountAligned() {
  std::fill(aligned_.begin(), aligned_.end(), 0.0f);
  for (uint64_t slot = 0; slot < sets_.size(); ++slot) TellNeighbours(slot / options_.used, sets_[slot], 1);
}

void Game::TellNeighbours(uint64_t token, uint64_t expert, float change) {
  if (aligned_.empty()) return;
  for (uint64_t i = neighbours_.first[token]; i < neighbours_.first[token + 1]; ++i) aligned_[At(neighbours_.to[i], expert)] += change;
}

double Game::Cost(double load) const {
  const double relative = load / share_;
  return options_.weights.load * relative + options_.weights.separation * std::max(0.0, relative - options_.weights.crowd);
}

// The sum of Cost(1) to Cost(load).
double Game::CostsUpTo(uint64_t load) const {
  const Weights& w = options_.weights;
  const auto sum_to = [](double n) { return n * (n + 1) / 2; };
  const auto n = static_cast<double>(load);
  const double crowded = std::min(n, std::floor(w.crowd * share_));  // loads up to here cost no separation
  const double above = (sum_to(n) - sum_to(crowded)) / share_ - w.crowd * (n - crowded);
  return w.load * sum_to(n) / share_ + w.separation * above;
}

void Game::Price(uint64_t expert) { prices_.Put(expert, Cost(static_cast<double>(loads_[expert])), Cost(static_cast<double>(loads_[expert] + 1))); }

// Potential and cohesion from the choices alone; moves keep them up to date.
void Game::Weigh() {
  potential_ = cosines_ = 0;
  double pairs = 0;
  for (uint64_t slot = 0; slot < sets_.size(); ++slot) {
    const uint64_t at = At(slot / options_.used, sets_[slot]);
    potential_ += static_cast<double>(fixed_[at]);
    if (!cosine_.empty()) cosines_ += static_cast<double>(cosine_[at]);
    if (!aligned_.empty()) pairs += static_cast<double>(aligned_[at]);
  }
  potential_ += PairWorth() * pairs / 2;  // each pair was seen from both sides
  for (const uint64_t load : loads_) potential_ -= CostsUpTo(load);
}

Round Game::Describe(uint64_t moves) const {
  return {moves, potential_, sets_.empty() ? 0 : cosines_ / static_cast<double>(sets_.size())};
}

double Game::Worth(uint64_t token, uint64_t expert, double cost) const {
  const uint64_t at = At(token, expert);
  return static_cast<double>(fixed_[at]) - cost + (aligned_.empty() ? 0 : PairWorth() * static_cast<double>(aligned_[at]));
}

// The best set of a token is reached by swaps of the worst it uses for the best it does not, the next worst for the next best,
// and so on; what each is worth stays the same meanwhile.
double Game::BestSwaps(uint64_t token, const Prices& prices) {
  uses_.clear();
  others_.clear();
  swaps_.clear();
  const uint16_t* set = &sets_[token * options_.used];
  for (uint64_t s = 0; s < options_.used; ++s) uses_.emplace_back(Worth(token, set[s], prices.exact_stay[set[s]]), set[s]);
  std::sort(uses_.begin(), uses_.end());
  const float* chosen = &chosen_[At(token, 0)];
  for (uint64_t e = 0; e < experts_; ++e) {
    const double worth = Worth(token, e, prices.exact_join[e]);
    if (worth > uses_[0].first && chosen[e * kBlock] == 0) others_.emplace_back(-worth, e);
  }
  std::sort(others_.begin(), others_.end());  // the best first
  double gain = 0;
  for (size_t i = 0; i < std::min(uses_.size(), others_.size()) && -others_[i].first > uses_[i].first; ++i) {
    gain += -others_[i].first - uses_[i].first;
    swaps_.emplace_back(uses_[i].second, others_[i].second);
  }
  return gain;
}

void Game::Swap(uint64_t token, uint64_t from, uint64_t to) {
  uint16_t* set = &sets_[token * options_.used];
  *std::find(set, set + options_.used, static_cast<uint16_t>(from)) = static_cast<uint16_t>(to);
  const uint64_t leaves = At(token, from), joins = At(token, to);
  potential_ += Worth(token, to, prices_.exact_join[to]) - Worth(token, from, prices_.exact_stay[from]);
  if (!cosine_.empty()) cosines_ += static_cast<double>(cosine_[joins]) - static_cast<double>(cosine_[leaves]);
  chosen_[leaves] = 0;
  chosen_[joins] = 1;
  --loads_[from];
  ++loads_[to];
  Price(from);
  Price(to);
  TellNeighbours(token, from, -1);
  TellNeighbours(token, to, 1);
}

// Which tokens of a block would move at these prices.
void Game::Wants(uint64_t block, const Prices& prices, uint8_t* wants) const {
  const uint64_t at = block * experts_ * kBlock;
  ActiveKernels().wants({&fixed_[at], &chosen_[at], aligned_.empty() ? nullptr : &aligned_[at], prices.stay.data(), prices.join.data(),
                         static_cast<float>(PairWorth()), experts_},
                        wants);
}

uint64_t Game::Sweep() {
  uint64_t moves = 0;
  uint8_t wants[kBlock];
  for (uint64_t b = 0; b < blocks_; ++b) {
    Wants(b, prices_, wants);
    for (size_t t = 0; t < TokensIn(b); ++t) {
      if (wants[t] == 0 || BestSwaps(b * kBlock + t, prices_) <= kLeastGain) continue;
      for (const auto& [from, to] : swaps_) Swap(b * kBlock + t, from, to);
      ++moves;
    }
  }
  return moves;
}

uint64_t Game::Settle() {
  uint64_t moves = 0;
  uint8_t wants[kBlock];
  Prices expected(experts_);
  const std::vector<uint64_t> own = loads_;
  std::vector<double> settled(experts_);
  for (uint64_t b = 0; b < blocks_; ++b) {
    const double done = static_cast<double>(b * kBlock), trust = done / (done + kSettledHalf);
    for (uint64_t e = 0; e < experts_; ++e) {
      const double scaled = done > 0 ? settled[e] * static_cast<double>(tokens_) / done : 0;
      const double cost = Cost(trust * scaled + (1 - trust) * static_cast<double>(own[e]));
      expected.Put(e, cost, cost);
    }
    Wants(b, expected, wants);
    for (size_t t = 0; t < TokensIn(b); ++t) {
      const uint64_t token = b * kBlock + t;
      if (wants[t] != 0 && BestSwaps(token, expected) > kLeastGain) {
        for (const auto& [from, to] : swaps_) Swap(token, from, to);
        ++moves;
      }
      for (uint64_t s = 0; s < options_.used; ++s) ++settled[sets_[token * options_.used + s]];
    }
  }
  return moves;
}

// Looks at every token anew, in double precision.
void Game::ForGains(const std::function<void(double)>& body) {
  for (uint64_t b = 0; b < blocks_; ++b) {
    double least[kBlock], most[kBlock];
    std::fill_n(least, kBlock, std::numeric_limits<double>::infinity());
    std::fill_n(most, kBlock, -std::numeric_limits<double>::infinity());
    for (uint64_t e = 0; e < experts_; ++e) {
      const uint64_t at = (b * experts_ + e) * kBlock;
      for (size_t t = 0; t < kBlock; ++t) {
        const double aligned = aligned_.empty() ? 0 : PairWorth() * static_cast<double>(aligned_[at + t]);
        const double worth = static_cast<double>(fixed_[at + t]) + aligned;
        const bool uses = chosen_[at + t] != 0;
        least[t] = uses ? std::min(least[t], worth - prices_.exact_stay[e]) : least[t];
        most[t] = uses ? most[t] : std::max(most[t], worth - prices_.exact_join[e]);
      }
    }
    for (size_t t = 0; t < TokensIn(b); ++t) body(most[t] > least[t] ? BestSwaps(b * kBlock + t, prices_) : 0);
  }
}

double Game::GreatestGain() {
  double most = 0;
  ForGains([&](double gain) { most = std::max(most, gain); });
  return most;
}

double Game::MeanGain() {
  double sum = 0;
  ForGains([&](double gain) { sum += gain; });
  return tokens_ > 0 ? sum / static_cast<double>(tokens_) : 0;
}

double Game::Agreement() const {
  double sum = 0;
  for (uint64_t slot = 0; slot < sets_.size(); ++slot) {
    const uint64_t token = slot / options_.used;
    const auto beside = static_cast<double>(neighbours_.first[token + 1] - neighbours_.first[token]);
    if (beside > 0) sum += static_cast<double>(aligned_[At(token, sets_[slot])]) / beside;
  }
  return sets_.empty() ? 0 : sum / static_cast<double>(sets_.size());
}

std::vector<uint16_t> Game::Sets() const {
  std::vector<uint16_t> sets = sets_;
  for (uint64_t t = 0; t < tokens_; ++t) {
    const float* logits = &batch_.logits[t * experts_];
    const auto first = sets.begin() + static_cast<ptrdiff_t>(t * options_.used);
    std::sort(first, first + static_cast<ptrdiff_t>(options_.used),
              [logits](uint16_t a, uint16_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  }
  return sets;
}

}  // namespace nashswarm::routing
