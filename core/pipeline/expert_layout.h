// Where the experts of a mixture lie in the artifact. Until a file is put together, every stage knows an expert by its number in
// the checkpoint: moments, loss weights, plans and encoded bytes are the same whatever the order. With the expert order
// "together" SOLVE finds an order for every layer, and assembling gives place p of each stack the bytes of expert order[p] and
// row p of the router that expert's row. That is exact: the same logits come out of the router in another order, and choose the
// same experts, but where two are equal.
#ifndef NASHSWARM_CORE_PIPELINE_EXPERT_LAYOUT_H_
#define NASHSWARM_CORE_PIPELINE_EXPERT_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/artifact/expert_order.h"
#include "core/calibrate/moments.h"
#include "core/model/architecture.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// Whether the artifact gets an order of its own: asked for, and there are experts.
bool ReordersExperts(const Spec& spec, const model::Model& model);
// INVALID_ARGUMENT / SPEC_INVALID for more experts than can be ordered.
absl::Status CheckExpertOrder(const Spec& spec, const model::Model& model);

// The checkpoint's order, as long as any: for what depends on its size alone.
artifact::ExpertOrders OriginalOrders(const model::Model& model);
// Those of expert_cache::OrderExperts for the pairs that calibration counted. Layers are shared out among threads.
absl::StatusOr<artifact::ExpertOrders> OrdersTogether(const model::Model& model, const calibrate::Moments& moments, int threads);

// What goes where in the file, by index into Prepared::tensors.
class ExpertLayout {
 public:
  // `orders` may be empty. `prepared` is of `model`.
  ExpertLayout(const model::Model& model, const Prepared& prepared, const artifact::ExpertOrders& orders);

  // The tensor whose bytes lie where `tensor` lies in the checkpoint's order.
  size_t DataOf(size_t tensor) const { return data_[tensor]; }
  // The row at each place, of a router whose rows are reordered; empty for all others.
  const std::vector<uint32_t>& RowsOf(size_t tensor) const { return rows_[tensor]; }

 private:
  std::vector<size_t> data_;
  std::vector<std::vector<uint32_t>> rows_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_EXPERT_LAYOUT_H_
