#include "core/pipeline/expert_layout.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/expert_cache/expert_order.h"

namespace nashswarm::pipeline {
namespace {

static_assert(calibrate::kMostPairedExperts >= expert_cache::kMostOrderedExperts);

// By layer, how many experts; empty without any.
std::vector<uint32_t> ExpertsByLayer(const model::Model& model) {
  std::vector<uint32_t> experts;
  for (const model::MappedTensor& tensor : model.tensors) {
    if (tensor.expert < 0) continue;
    const auto layer = static_cast<size_t>(tensor.layer);
    if (layer >= experts.size()) experts.resize(layer + 1);
    experts[layer] = std::max(experts[layer], static_cast<uint32_t>(tensor.expert) + 1);
  }
  return experts;
}

// Its rows are experts; a shared expert's is a vector.
bool IsRouter(const model::MappedTensor& tensor) { return tensor.role == model::Role::kRouter && !tensor.vector; }

}  // namespace

bool ReordersExperts(const Spec& spec, const model::Model& model) {
  return spec.expert_order == Spec::ExpertOrder::kTogether && !ExpertsByLayer(model).empty();
}

absl::Status CheckExpertOrder(const Spec& spec, const model::Model& model) {
  if (!ReordersExperts(spec, model)) return absl::OkStatus();
  const std::vector<uint32_t> experts = ExpertsByLayer(model);
  const uint32_t most = *std::max_element(experts.begin(), experts.end());
  if (most <= expert_cache::kMostOrderedExperts) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID",
                   absl::StrCat("the expert order 'together' is for layers of at most ", expert_cache::kMostOrderedExperts,
                                " experts, and this model has ", most),
                   "leave it out, or give --expert-order original");
}

artifact::ExpertOrders OriginalOrders(const model::Model& model) {
  artifact::ExpertOrders orders;
  for (const uint32_t experts : ExpertsByLayer(model)) orders.push_back(expert_cache::OriginalOrder(experts));
  return orders;
}

absl::StatusOr<artifact::ExpertOrders> OrdersTogether(const model::Model& model, const calibrate::Moments& moments, int threads) {
  artifact::ExpertOrders orders = OriginalOrders(model);
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), orders.size(), [&](uint64_t layer) -> absl::Status {
    // Counts of tokens, which a float holds exactly up to 2^24, and symmetrically beyond.
    const std::vector<float> pairs = moments.Vector(absl::StrCat(calibrate::kExpertPairs, layer));
    const std::vector<uint32_t> weights(pairs.begin(), pairs.end());
    NS_ASSIGN_OR_RETURN(orders[layer], expert_cache::OrderExperts(weights, static_cast<uint32_t>(orders[layer].size())));
    return absl::OkStatus();
  }));
  return orders;
}

ExpertLayout::ExpertLayout(const model::Model& model, const Prepared& prepared, const artifact::ExpertOrders& orders)
    : data_(prepared.tensors.size()), rows_(prepared.tensors.size()) {
  std::iota(data_.begin(), data_.end(), size_t{0});
  if (orders.empty()) return;
  std::map<std::tuple<int, model::Role, int>, size_t> experts;  // by layer, role and the checkpoint's number
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const model::MappedTensor& tensor = model.tensors[prepared.tensors[t].mapped];
    if (tensor.expert >= 0) experts[{tensor.layer, tensor.role, tensor.expert}] = t;
    if (IsRouter(tensor)) rows_[t] = orders.at(static_cast<size_t>(tensor.layer));
  }
  for (const auto& [key, t] : experts) {
    const auto& [layer, role, place] = key;
    const uint32_t expert = orders.at(static_cast<size_t>(layer)).at(static_cast<size_t>(place));
    data_[t] = experts.at({layer, role, static_cast<int>(expert)});
  }
}

}  // namespace nashswarm::pipeline
