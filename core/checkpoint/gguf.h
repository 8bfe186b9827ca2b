// The GGUF container (version 3, and 2 for reading): metadata key-values, tensor directory, aligned tensor data.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef NASHSWARM_CORE_CHECKPOINT_GGUF_H_
#define NASHSWARM_CORE_CHECKPOINT_GGUF_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/quant/format.h"

namespace nashswarm::checkpoint {

inline constexpr uint32_t kGgufAlignment = 32;  // general.alignment when the file does not say

// The type codes of the format.
enum class GgufType : uint32_t {
  kUint8 = 0, kInt8 = 1, kUint16 = 2, kInt16 = 3, kUint32 = 4, kInt32 = 5, kFloat32 = 6,
  kBool = 7, kString = 8, kArray = 9, kUint64 = 10, kInt64 = 11, kFloat64 = 12
};

// One metadata value. Integers of every width travel as uint64_t or int64_t, floats as double; `type` says how they
// are stored. Arrays hold one of the vectors, `element` says the stored type of an element.
struct GgufValue {
  using Data = std::variant<bool, uint64_t, int64_t, double, std::string, std::vector<bool>, std::vector<uint64_t>,
                            std::vector<int64_t>, std::vector<double>, std::vector<std::string>>;
  GgufType type;
  GgufType element = GgufType::kUint8;
  Data data;

  static GgufValue U32(uint32_t v) { return {GgufType::kUint32, {}, uint64_t{v}}; }
  static GgufValue F32(float v) { return {GgufType::kFloat32, {}, double{v}}; }
  static GgufValue Bool(bool v) { return {GgufType::kBool, {}, v}; }
  static GgufValue String(std::string v) { return {GgufType::kString, {}, std::move(v)}; }
  static GgufValue Strings(std::vector<std::string> v) { return {GgufType::kArray, GgufType::kString, std::move(v)}; }
  static GgufValue F32s(std::vector<double> v) { return {GgufType::kArray, GgufType::kFloat32, std::move(v)}; }
  static GgufValue I32s(std::vector<int64_t> v) { return {GgufType::kArray, GgufType::kInt32, std::move(v)}; }
};

struct GgufMetadata {
  std::string key;
  GgufValue value;
};

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;  // as stored: the row length first, then the number of rows, ...
  quant::Format format;
  uint64_t offset;             // from the start of the data section
  uint64_t bytes;

  uint64_t row_weights() const { return dims.empty() ? 1 : dims[0]; }
  uint64_t rows() const;
};

struct GgufFile {
  uint32_t version = 3;
  std::vector<GgufMetadata> metadata;
  std::vector<GgufTensor> tensors;
  uint64_t data_begin = 0;  // from the start of the file

  const GgufValue* Find(std::string_view key) const;  // nullptr when absent
};

// Parses and checks a whole file image: counts and lengths against the file before anything is allocated, tensors
// aligned, inside the file and not overlapping. DATA_LOSS with the reasons GGUF_MAGIC, GGUF_VERSION,
// GGUF_TRUNCATED, GGUF_INVALID, GGUF_FORMAT (a type that has no name here), LFS_POINTER. Types that have a name but no codec
// are no error: CheckDecodable.
absl::StatusOr<GgufFile> ParseGguf(absl::Span<const uint8_t> file, std::string_view what);

// UNIMPLEMENTED / GGUF_TYPE_UNSUPPORTED, with the type's name, for a tensor whose values this program cannot tell. Whoever
// decodes a tensor of a file asks first.
absl::Status CheckDecodable(const GgufTensor& tensor, std::string_view what);

// Everything before the tensor data: magic to the padding that ends at the data section. Tensor offsets are assigned
// in order, each aligned to kGgufAlignment; they are filled into `tensors`.
std::string SerializeGgufHeader(absl::Span<const GgufMetadata> metadata, std::vector<GgufTensor>* tensors);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_GGUF_H_
