// Errors that steps of the forward pass share. Private to the folder.
#ifndef NASHSWARM_CORE_FORWARD_ERRORS_H_
#define NASHSWARM_CORE_FORWARD_ERRORS_H_

#include <string>

#include "absl/status/status.h"

namespace nashswarm::forward {

// DATA_LOSS / NON_FINITE_ACTIVATIONS: the result of `where` is not finite; `tensor` has a weight that is not, or is "".
absl::Status NonFiniteActivations(const std::string& model, const std::string& where, const std::string& tensor);
// DATA_LOSS / NON_FINITE_GRADIENTS: the gradient at the input of `where` is not finite.
absl::Status NonFiniteGradients(const std::string& model, const std::string& where);
// INVALID_ARGUMENT / BATCH_TOO_LARGE
absl::Status BatchTooLarge(const std::string& model);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ERRORS_H_
