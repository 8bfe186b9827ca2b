// The safetensors container: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
// Format: https://github.com/huggingface/safetensors (README, "Format").
#ifndef NASHSWARM_CORE_CHECKPOINT_SAFETENSORS_H_
#define NASHSWARM_CORE_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/dtype.h"

namespace nashswarm::checkpoint {

inline constexpr uint64_t kMaxHeaderBytes = 100u << 20;  // the limit of the reference implementation
inline constexpr int kMaxDimensions = 8;

struct TensorEntry {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t begin, end;  // bytes, from the start of the file
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // ascending in `begin`
  std::map<std::string, std::string> metadata;
};

// Checks a whole file image before anything is allocated from it: the header's length against the file, JSON without
// duplicate keys, known dtypes, shape * dtype == span, and spans that follow one another from 0 to exactly the end of
// the file. `what` names the file in errors. Errors are DATA_LOSS with the reasons FILE_EMPTY, PICKLE_REFUSED,
// HEADER_LENGTH, HEADER_INVALID, TENSOR_INVALID, TENSOR_SIZE, TENSOR_OVERLAP, TENSOR_GAP, FILE_TRUNCATED,
// TRAILING_BYTES, or INVALID_ARGUMENT with JSON_*.
absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::Span<const uint8_t> file, std::string_view what);

struct TensorShape {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
};

// Everything before the data of a file that holds `tensors` in this order; padded to a multiple of 8.
std::string SerializeSafetensorsHeader(absl::Span<const TensorShape> tensors,
                                       const std::map<std::string, std::string>& metadata);

// One tensor to write: `bytes` hold shape x dtype.
struct TensorToWrite {
  TensorShape tensor;
  absl::Span<const uint8_t> bytes;
};

// Writes a file ParseSafetensors accepts, durably and atomically.
absl::Status WriteSafetensors(const std::string& path, absl::Span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_SAFETENSORS_H_
