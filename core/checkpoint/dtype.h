// Element types of safetensors files, and conversion of the floating-point ones to float.
// Source: the safetensors format description (Hugging Face).
#ifndef NASHSWARM_CORE_CHECKPOINT_DTYPE_H_
#define NASHSWARM_CORE_CHECKPOINT_DTYPE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace nashswarm::checkpoint {

enum class DType { kF64, kF32, kF16, kBF16, kF8E4M3, kF8E5M2, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool, kF8E8M0, kF8E4M3Fnuz, kF8E5M2Fnuz };

std::optional<DType> DTypeByName(std::string_view name);  // "F32", "BF16", ...
std::string_view NameOf(DType dtype);
uint64_t BytesOf(DType dtype);
bool IsWeight(DType dtype);  // F64, F32, F16 or BF16: what the engine computes with

// `count` elements of a weight dtype to float. `in` need not be aligned. F64 rounds to nearest.
void ToFloat(DType dtype, const uint8_t* in, uint64_t count, float* out);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_DTYPE_H_
