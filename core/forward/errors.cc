#include "core/forward/errors.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::forward {

absl::Status NonFiniteActivations(const std::string& model, const std::string& where, const std::string& tensor) {
  return MakeError(absl::StatusCode::kDataLoss, "NON_FINITE_ACTIVATIONS",
                   absl::StrCat(model, ": the result of ", where, " is not finite",
                                tensor.empty() ? "" : absl::StrCat(": tensor '", tensor, "' has a NaN or infinite weight")),
                   tensor.empty() ? "its activations exceed 32-bit floats" : "the file is damaged: fetch or make it again");
}

absl::Status NonFiniteGradients(const std::string& model, const std::string& where) {
  return MakeError(absl::StatusCode::kDataLoss, "NON_FINITE_GRADIENTS",
                   absl::StrCat(model, ": the gradient at the input of ", where, " is not finite"),
                   "its gradients exceed 32-bit floats");
}

absl::Status BatchTooLarge(const std::string& model) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                   absl::StrCat(model, ": the activations of this batch are beyond all measure"), "run fewer windows at a time");
}

}  // namespace nashswarm::forward
