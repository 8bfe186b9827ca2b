// A model with some of its tensors replaced: what a compressed tensor, or a whole plan, does to the predictions.
#ifndef NASHSWARM_CORE_CALIBRATE_OVERLAY_H_
#define NASHSWARM_CORE_CALIBRATE_OVERLAY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/forward/weights.h"

namespace nashswarm::calibrate {

class OverlayWeights : public forward::Weights {
 public:
  explicit OverlayWeights(std::shared_ptr<const forward::Weights> base) : base_(std::move(base)) {}

  // `values` are all rows of `tensor`, which the base has in the same shape. Not while the overlay is read.
  void Replace(const std::string& tensor, std::vector<float> values) { replaced_[tensor] = std::move(values); }

  // Takes a replacement back: the base's tensor shows again. Empty when there was none.
  std::vector<float> Remove(const std::string& tensor) {
    auto node = replaced_.extract(tensor);
    return node.empty() ? std::vector<float>() : std::move(node.mapped());
  }

  const std::string& name() const override { return base_->name(); }
  const std::string& architecture() const override { return base_->architecture(); }
  const checkpoint::GgufValue* Hyperparameter(std::string_view key) const override { return base_->Hyperparameter(key); }
  const forward::WeightShape* Find(std::string_view tensor) const override { return base_->Find(tensor); }
  absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const override;

 private:
  std::shared_ptr<const forward::Weights> base_;
  std::map<std::string, std::vector<float>, std::less<>> replaced_;
};

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_OVERLAY_H_
