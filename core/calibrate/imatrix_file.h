// The two forms of llama.cpp's importance matrix as they are in a file, before anybody asks which model they are of: GGUF, and
// the older one of before 2025 ("imatrix.dat"; tools/imatrix of llama.cpp writes it with --output-format dat).
#ifndef NASHSWARM_CORE_CALIBRATE_IMATRIX_FILE_H_
#define NASHSWARM_CORE_CALIBRATE_IMATRIX_FILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::calibrate {

// Of one tensor of a GGUF file, which may hold a stack of experts.
struct ImatrixEntry {
  std::vector<float> sums;    // of the squares of its inputs, a row an expert
  std::vector<float> counts;  // of inputs: one an expert, or one for all of them (the older form)
};

// By name of tensor. INVALID_ARGUMENT / IMATRIX_INVALID, which names the file by `name`.
absl::StatusOr<std::map<std::string, ImatrixEntry>> ParseImatrix(absl::Span<const uint8_t> bytes, const std::string& name);

absl::Status ImatrixInvalid(const std::string& name, const std::string& why);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_IMATRIX_FILE_H_
