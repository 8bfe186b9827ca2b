// Number formats of GGUF tensors: names, block geometry, and the encode/decode entry points.
// Formats and their byte layouts: the GGUF/ggml block formats as read by llama.cpp. The numeric value of a Format is
// the ggml type id stored in a GGUF file.
#ifndef NASHSWARM_CORE_QUANT_FORMAT_H_
#define NASHSWARM_CORE_QUANT_FORMAT_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/types/span.h"

namespace nashswarm::quant {

enum class Format : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
  kMXFP4 = 39,
};
// A file may hold types that have a name and a size here but no codec (CanDecode): they are values of Format too, beyond the list.

struct FormatInfo {
  Format format;
  std::string_view name;   // as GGUF tools print it, "Q4_K"
  uint32_t block_weights;  // weights in one block; a row's length must be a multiple of it
  uint32_t block_bytes;    // bytes of one block
  // What llama.cpp calls a file most of whose weights are in the format (llama_ftype, "general.file_type"). K-quants have a code for
  // each size of their mixtures and none for a plain file: here that of the size M.
  uint32_t file_type = 0;
  // Whether plans choose it for tensors that no rule names.
  bool offered = true;
  double bits_per_weight() const { return 8.0 * block_bytes / block_weights; }
};

// Every format that can be encoded and decoded, ascending in bits per weight.
absl::Span<const FormatInfo> AllFormats();
// Of any format, decodable or not.
const FormatInfo& InfoOf(Format format);
std::optional<Format> FormatByName(std::string_view name);        // case-insensitive; of those that can be encoded
std::optional<Format> FormatById(uint32_t ggml_type_id);          // any type of ggml's
// Whether EncodeRow and DecodeRow know the format. Others may be listed and measured, nothing else.
bool CanDecode(Format format);

// True when rows of `row_weights` weights can be stored in `format`.
bool FitsRow(Format format, uint64_t row_weights);
// Bytes of `rows` rows of `row_weights` weights; nullopt on overflow or when the row does not divide into blocks.
std::optional<uint64_t> EncodedBytes(Format format, uint64_t rows, uint64_t row_weights);

// Encodes one row; row.size() is a multiple of the block size. `importance`, if not empty, has one finite, non-negative
// factor per weight of the row and the encoder minimises sum importance * error^2, otherwise the plain squared error.
// Only ratios of importance matter; all zeros count as none. `out` has room for exactly
// EncodedBytes(format, 1, row.size()), at any alignment. Weights must be finite; what lies beyond a format's
// scales saturates, so finite weights decode to finite ones. (NaN makes F32, F16 and BF16 store NaN, and
// spoils its block in the others.) Pure: same input, same bytes, on any machine and thread. Blocks are independent, so
// rows that lie one after the other may be encoded as one, unless they share an importance row.
void EncodeRow(Format format, absl::Span<const float> row, absl::Span<const float> importance, uint8_t* out);

// Decodes one row, bit-equal to ggml's dequantizer for the format.
void DecodeRow(Format format, const uint8_t* in, absl::Span<float> row);

// Which instruction set the kernels use, for reports and tests: Highway's name of it ("AVX3", "AVX2", "SSE4", ...), or
// "PLAIN" for the scalar reference.
std::string_view KernelTarget();
// Forces the scalar reference kernels (tests and benchmarks); thread-hostile, set before any encoding.
void ForceScalarKernels(bool on);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_FORMAT_H_
