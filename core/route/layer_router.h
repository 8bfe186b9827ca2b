// One layer of a mixture of experts, routed batch by batch: by the model's own logits or by the game, with a cache of
// the layer's experts beside it, and everything counted.
#ifndef NASHSWARM_CORE_ROUTE_LAYER_ROUTER_H_
#define NASHSWARM_CORE_ROUTE_LAYER_ROUTER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/simulate.h"
#include "core/game/routing/losses.h"
#include "core/game/routing/routing.h"

namespace nashswarm::route {

enum class Chooser { kModel, kGame };

struct RouterOptions {
  Chooser chooser = Chooser::kGame;
  // Of the game; the model's own choices are judged by them too.
  routing::Options game;
  uint64_t batch = 256;              // tokens that are routed together; the last of a call may be fewer
  expert_cache::CacheOptions cache;  // for a LayerRouter: of its layer
  bool details = true;               // traces, terms, convergence; without them LayerCounts has what no comment marks
};

struct LayerShape {
  size_t experts = 0, used = 0;
  bool normalized = false;                    // see routing::Batch
  const routing::Centres* centres = nullptr;  // of the layer; outlives the router
  std::vector<uint64_t> sizes;                // bytes, by expert
};

// Sums over the batches, in their order.
struct LayerCounts {
  uint64_t tokens = 0, batches = 0;
  expert_cache::HitCount hits;
  uint64_t bytes_loaded = 0;
  uint64_t same_choices = 0;  // that the model's own router makes too, on the same inputs
  double load_variation = 0;  // sum of batch's * its tokens
  uint64_t rounds = 0;
  int most_rounds = 0;
  uint64_t nash_batches = 0;
  routing::LossTerms terms;  // details: sums of a batch's * its tokens; `cached`: as each token came
  // details: by batch
  std::vector<uint64_t> batch_tokens;
  std::vector<std::vector<double>> potential, cohesion, moved;  // as Result's, a token
  std::vector<uint16_t> trace;                                  // details: [tokens x used], those in the cache first
};

// Not thread-safe.
class LayerRouter {
 public:
  // INVALID_ARGUMENT / CACHE_OPTIONS.
  static absl::StatusOr<LayerRouter> Make(LayerShape shape, RouterOptions options);

  // The next tokens of the text: logits [tokens x experts] to chosen [tokens x used]. Errors as routing::Route.
  absl::Status Route(const float* logits, uint64_t tokens, uint16_t* chosen);

  const LayerCounts& counts() const { return counts_; }

 private:
  LayerRouter(LayerShape shape, RouterOptions options, std::unique_ptr<expert_cache::ExpertCache> cache)
      : shape_(std::move(shape)), options_(std::move(options)), cache_(std::move(cache)) {}
  routing::Batch BatchOf(const float* logits, uint64_t tokens) const;
  absl::Status RouteBatch(const float* logits, uint64_t tokens, uint16_t* chosen);
  absl::StatusOr<std::vector<uint8_t>> Foresee(const float* logits, uint64_t tokens) const;
  absl::Status Play(const routing::Batch& batch, uint16_t* chosen);
  absl::Status Judge(const routing::Batch& batch, const uint16_t* chosen);
  std::vector<uint8_t> PlayCache(uint64_t tokens, const uint16_t* chosen);

  LayerShape shape_;
  RouterOptions options_;
  std::unique_ptr<expert_cache::ExpertCache> cache_;
  LayerCounts counts_;
};

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_LAYER_ROUTER_H_
