#include "core/route/layer_router.h"

#include <algorithm>

#include "core/base/status.h"
#include "core/forward/blocks/expert_choices.h"

namespace nashswarm::route {
namespace {

using expert_cache::AccessResult;
using expert_cache::ExpertCache;

// What is in the cache, by expert.
void Note(const ExpertCache& cache, size_t experts, uint8_t* cached) {
  for (size_t e = 0; e < experts; ++e) cached[e] = cache.Contains(static_cast<expert_cache::ExpertKey>(e)) ? 1 : 0;
}

// A decoder knows all of a token's experts at once and takes those that are there before another of them drives them
// out.
std::vector<uint16_t> CachedFirst(const ExpertCache& cache, absl::Span<const uint16_t> chosen) {
  std::vector<uint16_t> order(chosen.begin(), chosen.end());
  std::stable_partition(order.begin(), order.end(), [&](uint16_t expert) { return cache.Contains(expert); });
  return order;
}

void AddTerms(const routing::LossTerms& terms, double tokens, routing::LossTerms* sum) {
  sum->balance += tokens * terms.balance;
  sum->cached += tokens * terms.cached;
  sum->separation += tokens * terms.separation;
  sum->alignment += tokens * terms.alignment;
  sum->cohesion += tokens * terms.cohesion;
  sum->nash += tokens * terms.nash;
}

}  // namespace

absl::StatusOr<LayerRouter> LayerRouter::Make(LayerShape shape, RouterOptions options) {
  NS_ASSIGN_OR_RETURN(std::unique_ptr<ExpertCache> cache, expert_cache::MakeExpertCache(options.cache, shape.sizes));
  return LayerRouter(std::move(shape), std::move(options), std::move(cache));
}

absl::Status LayerRouter::Route(const float* logits, uint64_t tokens, uint16_t* chosen) {
  for (uint64_t first = 0; first < tokens; first += options_.batch) {
    const uint64_t count = std::min(options_.batch, tokens - first);
    NS_RETURN_IF_ERROR(RouteBatch(logits + first * shape_.experts, count, chosen + first * shape_.used));
  }
  return absl::OkStatus();
}

routing::Batch LayerRouter::BatchOf(const float* logits, uint64_t tokens) const {
  routing::Batch batch{tokens, shape_.experts, shape_.used, {logits, tokens * shape_.experts}, shape_.centres, {}, {}};
  batch.normalized = shape_.normalized;
  return batch;
}

absl::Status LayerRouter::RouteBatch(const float* logits, uint64_t tokens, uint16_t* chosen) {
  forward::ChooseGreatest(logits, tokens, shape_.experts, shape_.used, chosen);
  routing::Batch batch = BatchOf(logits, tokens);
  ++counts_.batches;
  counts_.tokens += tokens;
  if (options_.chooser == Chooser::kGame) {
    NS_ASSIGN_OR_RETURN(const std::vector<uint8_t> foreseen, Foresee(logits, tokens));
    batch.cached = foreseen;
    NS_RETURN_IF_ERROR(Play(batch, chosen));
  } else {
    counts_.same_choices += tokens * shape_.used;
  }
  std::vector<uint32_t> loads(shape_.experts);
  for (uint64_t i = 0; i < tokens * shape_.used; ++i) ++loads[chosen[i]];
  counts_.load_variation += static_cast<double>(tokens) * routing::LoadVariation(loads);
  const std::vector<uint8_t> cached = PlayCache(tokens, chosen);
  if (!options_.details) return absl::OkStatus();
  batch.cached = cached;
  return Judge(batch, chosen);
}

// What will be in memory as each token comes, when all choose for themselves alone: without prices and alignment just
// what will be; else as near as can be known before the game, whose tokens all choose at once.
absl::StatusOr<std::vector<uint8_t>> LayerRouter::Foresee(const float* logits, uint64_t tokens) const {
  std::vector<uint8_t> cached;
  if (options_.game.weights.cache_bonus == 0) return cached;
  cached.resize(tokens * shape_.experts);
  routing::Options alone = options_.game;
  alone.weights.alpha = alone.weights.separation = alone.weights.alignment = 0;
  const std::unique_ptr<ExpertCache> cache = cache_->Clone();
  for (uint64_t t = 0; t < tokens; ++t) {
    if (counts_.hits.accesses + t > 0) cache->NextToken();
    uint8_t* now = &cached[t * shape_.experts];
    Note(*cache, shape_.experts, now);
    routing::Batch one = BatchOf(logits + t * shape_.experts, 1);
    one.cached = {now, shape_.experts};
    NS_ASSIGN_OR_RETURN(const routing::Result result, routing::Route(one, alone));
    for (const uint16_t expert : CachedFirst(*cache, result.chosen)) cache->Access(expert);
  }
  return cached;
}

absl::Status LayerRouter::Play(const routing::Batch& batch, uint16_t* chosen) {
  NS_ASSIGN_OR_RETURN(const routing::Result result, routing::Route(batch, options_.game));
  for (uint64_t t = 0; t < batch.tokens; ++t) {
    const uint16_t* own = chosen + t * batch.top_k;
    for (size_t s = 0; s < batch.top_k; ++s) {
      counts_.same_choices += std::count(own, own + batch.top_k, result.chosen[t * batch.top_k + s]);
    }
  }
  std::copy(result.chosen.begin(), result.chosen.end(), chosen);
  counts_.rounds += static_cast<uint64_t>(result.rounds);
  counts_.most_rounds = std::max(counts_.most_rounds, result.rounds);
  counts_.nash_batches += result.ended && result.nash ? 1 : 0;
  if (!options_.details) return absl::OkStatus();
  const double tokens = static_cast<double>(batch.tokens);
  std::vector<double> potential, moved;
  for (const double value : result.potential) potential.push_back((value - result.potential[0]) / tokens);
  for (const int64_t moves : result.moves) moved.push_back(static_cast<double>(moves) / tokens);
  counts_.batch_tokens.push_back(batch.tokens);
  counts_.potential.push_back(std::move(potential));
  counts_.cohesion.push_back(result.cohesion);
  counts_.moved.push_back(std::move(moved));
  return absl::OkStatus();
}

// Returns what was in memory as each token came, [tokens x experts]; empty without details.
std::vector<uint8_t> LayerRouter::PlayCache(uint64_t tokens, const uint16_t* chosen) {
  std::vector<uint8_t> cached(options_.details ? tokens * shape_.experts : 0);
  for (uint64_t t = 0; t < tokens; ++t) {
    if (counts_.hits.accesses > 0) cache_->NextToken();  // the first token begins with the decoder: no time has passed
    if (options_.details) Note(*cache_, shape_.experts, &cached[t * shape_.experts]);
    const std::vector<uint16_t> order = CachedFirst(*cache_, {chosen + t * shape_.used, shape_.used});
    for (const uint16_t expert : order) {
      const bool hit = cache_->Access(expert) == AccessResult::kHit;
      ++counts_.hits.accesses;
      counts_.hits.hits += hit ? 1 : 0;
      if (!hit) counts_.bytes_loaded += shape_.sizes[expert];
    }
    if (options_.details) counts_.trace.insert(counts_.trace.end(), order.begin(), order.end());
  }
  return cached;
}

absl::Status LayerRouter::Judge(const routing::Batch& batch, const uint16_t* chosen) {
  const absl::Span<const uint16_t> choices(chosen, batch.tokens * batch.top_k);
  NS_ASSIGN_OR_RETURN(const routing::LossTerms terms, routing::ComputeLossTerms(batch, options_.game, choices));
  AddTerms(terms, static_cast<double>(batch.tokens), &counts_.terms);
  if (options_.chooser == Chooser::kGame) return absl::OkStatus();
  NS_ASSIGN_OR_RETURN(const routing::Evaluation own, routing::Evaluate(batch, options_.game, choices));
  counts_.nash_batches += own.max_gain <= static_cast<double>(batch.top_k) * options_.game.least_gain ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace nashswarm::route
