// llama.cpp's importance matrix: a GGUF file with, for every matrix, the sums of its input's squares ("<tensor>.in_sum2") and
// how many inputs were summed ("<tensor>.counts"). Read, so that users can bring theirs, in the older form too (imatrix_file.h);
// written, so that llama.cpp can use ours.
#ifndef NASHSWARM_CORE_CALIBRATE_IMATRIX_H_
#define NASHSWARM_CORE_CALIBRATE_IMATRIX_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/calibrate/moments.h"
#include "core/model/architecture.h"

namespace nashswarm::calibrate {

// Diagonal moments by input (forward::InputOf) for the tensors of `model`. INVALID_ARGUMENT with IMATRIX_INVALID (no importance
// matrix, a width that is neither the stored tensor's nor the checkpoint's, negative or non-finite sums) or IMATRIX_FOREIGN (not one tensor of the model in it).
absl::StatusOr<std::map<std::string, InputMoment>> ReadImatrix(const std::string& path, const model::Model& model,
                                                               bool tied_head);

// `tokens` were summed, in windows of `context`; `text` names what they are of.
absl::Status WriteImatrix(const std::string& path, const model::Model& model, bool tied_head, const Moments& moments,
                          uint64_t tokens, uint64_t context, const std::string& text);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_IMATRIX_H_
