#include "core/quant/format.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "core/quant/blocks.h"
#include "core/quant/codecs.h"

namespace nashswarm::quant {
namespace {

struct Codec {
  Encoder encode;
  Decoder decode;
};

// Ascending in bits per weight, then in quality. kCodecs below has the same order.
constexpr FormatInfo kInfos[] = {
    {Format::kQ2_K, "Q2_K", kSuper, sizeof(BlockQ2_K)},
    {Format::kQ3_K, "Q3_K", kSuper, sizeof(BlockQ3_K)},
    {Format::kIQ4_XS, "IQ4_XS", kSuper, sizeof(BlockIQ4_XS)},
    {Format::kQ4_0, "Q4_0", kBlock, sizeof(BlockQ4_0)},
    {Format::kIQ4_NL, "IQ4_NL", kBlock, sizeof(BlockIQ4_NL)},
    {Format::kQ4_K, "Q4_K", kSuper, sizeof(BlockQ4_K)},
    {Format::kQ5_0, "Q5_0", kBlock, sizeof(BlockQ5_0)},
    {Format::kQ5_K, "Q5_K", kSuper, sizeof(BlockQ5_K)},
    {Format::kQ6_K, "Q6_K", kSuper, sizeof(BlockQ6_K)},
    {Format::kQ8_0, "Q8_0", kBlock, sizeof(BlockQ8_0)},
    {Format::kF16, "F16", 1, 2},
    {Format::kBF16, "BF16", 1, 2},
    {Format::kF32, "F32", 1, 4},
};

constexpr Codec kCodecs[] = {
    {EncodeQ2_K, DecodeQ2_K},     {EncodeQ3_K, DecodeQ3_K}, {EncodeIQ4_XS, DecodeIQ4_XS}, {EncodeQ4_0, DecodeQ4_0},
    {EncodeIQ4_NL, DecodeIQ4_NL}, {EncodeQ4_K, DecodeQ4_K}, {EncodeQ5_0, DecodeQ5_0},     {EncodeQ5_K, DecodeQ5_K},
    {EncodeQ6_K, DecodeQ6_K},     {EncodeQ8_0, DecodeQ8_0}, {EncodeF16, DecodeF16},       {EncodeBF16, DecodeBF16},
    {EncodeF32, DecodeF32},
};
static_assert(std::size(kCodecs) == std::size(kInfos));

const Codec& CodecOf(Format format) { return kCodecs[&InfoOf(format) - kInfos]; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

absl::Span<const FormatInfo> AllFormats() { return kInfos; }

const FormatInfo& InfoOf(Format format) {
  for (const FormatInfo& info : kInfos) {
    if (info.format == format) return info;
  }
  std::abort();  // a Format only comes from this table or from FormatById: our own mistake
}

std::optional<Format> FormatByName(std::string_view name) {
  for (const FormatInfo& info : kInfos) {
    if (std::equal(name.begin(), name.end(), info.name.begin(), info.name.end(),
                   [](char a, char b) { return Lower(a) == Lower(b); })) {
      return info.format;
    }
  }
  return std::nullopt;
}

std::optional<Format> FormatById(uint32_t ggml_type_id) {
  for (const FormatInfo& info : kInfos) {
    if (static_cast<uint32_t>(info.format) == ggml_type_id) return info.format;
  }
  return std::nullopt;
}

bool FitsRow(Format format, uint64_t row_weights) { return row_weights % InfoOf(format).block_weights == 0; }

std::optional<uint64_t> EncodedBytes(Format format, uint64_t rows, uint64_t row_weights) {
  if (!FitsRow(format, row_weights)) return std::nullopt;
  const FormatInfo& info = InfoOf(format);
  uint64_t row_bytes, bytes;
  if (__builtin_mul_overflow(row_weights / info.block_weights, uint64_t{info.block_bytes}, &row_bytes)) {
    return std::nullopt;
  }
  if (__builtin_mul_overflow(rows, row_bytes, &bytes)) return std::nullopt;
  return bytes;
}

void EncodeRow(Format format, absl::Span<const float> row, absl::Span<const float> importance, uint8_t* out) {
  CodecOf(format).encode({row, importance}, out);
}

void DecodeRow(Format format, const uint8_t* in, absl::Span<float> row) { CodecOf(format).decode(in, row); }

}  // namespace nashswarm::quant
