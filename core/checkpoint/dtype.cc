#include "core/checkpoint/dtype.h"

#include <cstring>
#include <iterator>

#include "core/quant/format.h"

namespace nashswarm::checkpoint {
namespace {

struct Row {
  std::string_view name;
  uint64_t bytes;
};

// In the order of the enum.
constexpr Row kRows[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
                         {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                         {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E8M0", 1}, {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1}};

double LoadDouble(const uint8_t* in) {
  double value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}

}  // namespace

std::optional<DType> DTypeByName(std::string_view name) {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (kRows[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string_view NameOf(DType dtype) { return kRows[static_cast<size_t>(dtype)].name; }
uint64_t BytesOf(DType dtype) { return kRows[static_cast<size_t>(dtype)].bytes; }

bool IsWeight(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

void ToFloat(DType dtype, const uint8_t* in, uint64_t count, float* out) {
  if (count == 0) return;  // `in` and `out` may be null then
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kF64:
      for (uint64_t i = 0; i < count; ++i) out[i] = static_cast<float>(LoadDouble(in + 8 * i));
      return;
    case DType::kF16:
      quant::DecodeRow(quant::Format::kF16, in, absl::MakeSpan(out, count));
      return;
    case DType::kBF16:
      quant::DecodeRow(quant::Format::kBF16, in, absl::MakeSpan(out, count));
      return;
    default:
      std::memset(out, 0, count * sizeof(float));  // unreachable: callers ask IsWeight first
  }
}

}  // namespace nashswarm::checkpoint
