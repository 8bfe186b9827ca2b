// A model run over windows of text while a router of ours, or its own, chooses the experts: what that costs in loss and
// saves in memory traffic.
//
// Each layer has its own cache, a share of the bytes by those of its experts: a layer is routed for many tokens at once
// before the next one begins, so what one cache for all layers would hold is only known afterwards (a trace tells:
// expert_cache::Simulate). The windows follow one another, as one decoder's texts; caches keep what they hold from one
// to the next.
#ifndef NASHSWARM_CORE_ROUTE_ROUTED_RUN_H_
#define NASHSWARM_CORE_ROUTE_ROUTED_RUN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/evaluate/score.h"
#include "core/evaluate/windows.h"
#include "core/expert_cache/trace.h"
#include "core/forward/transformer.h"
#include "core/route/layer_router.h"

namespace nashswarm::route {

// Of `bytes`, the share of each layer, by the bytes of its experts; rounded down. `sizes` [layers x experts].
std::vector<uint64_t> LayerShares(uint64_t bytes, absl::Span<const uint64_t> sizes, size_t layers);

struct RoutedRun {
  evaluate::Score score;
  std::vector<LayerCounts> layers;

  expert_cache::HitCount hits() const;
  double bytes_per_token() const;
  double load_variation() const;  // mean over layers and batches, by tokens
  double same_choices() const;    // share
  double mean_rounds() const;
  uint64_t batches() const;
  uint64_t nash_batches() const;
};

class RoutedModel {
 public:
  // Reads the routers of all layers. `sizes` [layers x experts]: bytes of the experts as stored. FAILED_PRECONDITION /
  // NO_EXPERTS for a model without experts.
  static absl::StatusOr<RoutedModel> Make(std::shared_ptr<const forward::Weights> weights,
                                          std::unique_ptr<forward::Transformer> model, std::vector<uint64_t> sizes);

  // options.cache.capacity_bytes: of all layers together. Errors of the model, of routing::Route and MakeExpertCache.
  absl::StatusOr<RoutedRun> Run(absl::Span<const evaluate::Window> windows, const RouterOptions& options,
                                const evaluate::Progress& progress, int threads) const;

  size_t layers() const { return centres_.size(); }
  size_t experts() const { return model_->experts(); }
  size_t used() const { return model_->experts_used(); }
  const std::vector<uint64_t>& sizes() const { return sizes_; }
  // The choices of a run with details as one trace.
  expert_cache::Trace TraceOf(const RoutedRun& run) const;

 private:
  RoutedModel() = default;

  std::unique_ptr<forward::Transformer> model_;
  std::vector<routing::Centres> centres_;  // by layer
  std::vector<uint64_t> sizes_;
};

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_ROUTED_RUN_H_
