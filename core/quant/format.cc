#include "core/quant/format.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>

#include "core/quant/blocks.h"
#include "core/quant/codecs.h"
#include "core/quant/kernels.h"
#include "core/quant/scales.h"

namespace nashswarm::quant {
namespace {

// A number format: what is known of it, and what encodes and decodes it.
struct Entry {
  FormatInfo info;
  const Codec* codec;
};

constexpr bool kByRuleOnly = false;  // FormatInfo::offered

// Ascending in bits per weight, then in quality.
constexpr Entry kFormats[] = {
    {{Format::kQ2_K, "Q2_K", kSuper, sizeof(BlockQ2_K), 10}, &kQ2_K},
    {{Format::kQ3_K, "Q3_K", kSuper, sizeof(BlockQ3_K), 12}, &kQ3_K},
    // Not offered: IQ4_XS has as few bits and loses less. It is for those whose processors compute in it.
    {{Format::kMXFP4, "MXFP4", kBlock, sizeof(BlockMXFP4), 38, kByRuleOnly}, &kMXFP4},
    {{Format::kIQ4_XS, "IQ4_XS", kSuper, sizeof(BlockIQ4_XS), 30}, &kIQ4_XS},
    {{Format::kQ4_0, "Q4_0", kBlock, sizeof(BlockQ4_0), 2}, &kQ4_0},
    {{Format::kIQ4_NL, "IQ4_NL", kBlock, sizeof(BlockIQ4_NL), 25}, &kIQ4_NL},
    {{Format::kQ4_K, "Q4_K", kSuper, sizeof(BlockQ4_K), 15}, &kQ4_K},
    {{Format::kQ4_1, "Q4_1", kBlock, sizeof(BlockQ4_1), 3}, &kQ4_1},
    {{Format::kQ5_0, "Q5_0", kBlock, sizeof(BlockQ5_0), 8}, &kQ5_0},
    {{Format::kQ5_K, "Q5_K", kSuper, sizeof(BlockQ5_K), 17}, &kQ5_K},
    {{Format::kQ5_1, "Q5_1", kBlock, sizeof(BlockQ5_1), 9}, &kQ5_1},
    {{Format::kQ6_K, "Q6_K", kSuper, sizeof(BlockQ6_K), 18}, &kQ6_K},
    {{Format::kQ8_0, "Q8_0", kBlock, sizeof(BlockQ8_0), 7}, &kQ8_0},
    {{Format::kF16, "F16", 1, 2, 1}, &kF16},
    {{Format::kBF16, "BF16", 1, 2, 32}, &kBF16},
    {{Format::kF32, "F32", 1, 4, 0}, &kF32},
};

// The first halves of the rows, side by side.
constexpr auto kInfos = [] {
  std::array<FormatInfo, std::size(kFormats)> infos{};
  for (size_t i = 0; i < infos.size(); ++i) infos[i] = kFormats[i].info;
  return infos;
}();

// Types of ggml's that GGUF files may have and this program cannot decode. Sizes: the types' definitions in ggml (a block's half
// scales, sign and high bits, and levels). The ids of the formats that were packed for one processor are ggml's still, though it
// reads them no more.
constexpr FormatInfo kForeign[] = {
    {Format{9}, "Q8_1", 32, 36},        {Format{15}, "Q8_K", 256, 292},     {Format{16}, "IQ2_XXS", 256, 66},
    {Format{17}, "IQ2_XS", 256, 74},    {Format{18}, "IQ3_XXS", 256, 98},   {Format{19}, "IQ1_S", 256, 50},
    {Format{21}, "IQ3_S", 256, 110},    {Format{22}, "IQ2_S", 256, 82},     {Format{24}, "I8", 1, 1},
    {Format{25}, "I16", 1, 2},          {Format{26}, "I32", 1, 4},          {Format{27}, "I64", 1, 8},
    {Format{28}, "F64", 1, 8},          {Format{29}, "IQ1_M", 256, 56},     {Format{31}, "Q4_0_4_4", 32, 18},
    {Format{32}, "Q4_0_4_8", 32, 18},   {Format{33}, "Q4_0_8_8", 32, 18},   {Format{34}, "TQ1_0", 256, 54},
    {Format{35}, "TQ2_0", 256, 66},     {Format{36}, "IQ4_NL_4_4", 32, 18}, {Format{37}, "IQ4_NL_4_8", 32, 18},
    {Format{38}, "IQ4_NL_8_8", 32, 18}, {Format{40}, "NVFP4", 64, 36},      {Format{41}, "Q1_0", 128, 18},
    {Format{42}, "Q2_0", 64, 18},
};

template <typename Infos>
const FormatInfo* FindInfo(const Infos& infos, Format format) {
  const auto it = std::find_if(std::begin(infos), std::end(infos), [&](const FormatInfo& info) { return info.format == format; });
  return it == std::end(infos) ? nullptr : &*it;
}

const Codec& CodecOf(Format format) {
  const FormatInfo* info = FindInfo(kInfos, format);
  if (info == nullptr) std::abort();  // who reads a file asks CanDecode first: our own mistake
  return *kFormats[info - kInfos.data()].codec;
}

constexpr int kMaxAtOnce = 512;  // weights of a group: 16 sub-blocks of 32

void RoundBlocks(const BlockShape& shape, const float* weights, int blocks, const BlockScales* scales,
                 uint8_t* levels) {
  float scale[kLanes], min[kLanes];
  for (int b = 0; b < blocks; ++b) {
    for (int j = 0; j < shape.subs; ++j) {
      scale[b * shape.subs + j] = scales[b].ScaleOf(j);
      min[b * shape.subs + j] = scales[b].MinOf(j);
    }
  }
  ActiveKernels().round(weights, blocks * shape.subs, shape.sub_weights(), shape.grid, scale, min, levels);
}

void EncodeBlocks(const FormatInfo& info, const Codec& codec, const Row& row, uint8_t* out) {
  const int blocks = static_cast<int>(row.weights.size() / info.block_weights);
  uint8_t levels[kMaxAtOnce];
  for (int first = 0, count = 0; first < blocks; first += count) {
    BlockScales scales[kMaxBlocksAtOnce];
    count = codec.choose_scales(row, first, scales);
    const float* weights = row.weights.data() + static_cast<size_t>(first) * info.block_weights;
    RoundBlocks(codec.shape, weights, count, scales, levels);
    for (int b = 0; b < count; ++b) {
      codec.pack(scales[b], levels + b * info.block_weights, out + static_cast<size_t>(first + b) * info.block_bytes);
    }
  }
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

absl::Span<const FormatInfo> AllFormats() { return kInfos; }

const FormatInfo& InfoOf(Format format) {
  if (const FormatInfo* info = FindInfo(kInfos, format)) return *info;
  if (const FormatInfo* info = FindInfo(kForeign, format)) return *info;
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
  const auto format = static_cast<Format>(ggml_type_id);
  if (FindInfo(kInfos, format) == nullptr && FindInfo(kForeign, format) == nullptr) return std::nullopt;
  return format;
}

bool CanDecode(Format format) { return FindInfo(kInfos, format) != nullptr; }

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
  const Codec& codec = CodecOf(format);
  if (codec.encode != nullptr) return codec.encode({row, importance}, out);
  EncodeBlocks(InfoOf(format), codec, {row, importance}, out);
}

void DecodeRow(Format format, const uint8_t* in, absl::Span<float> row) { CodecOf(format).decode(in, row); }

const BlockShape& ShapeOf(Format format) { return CodecOf(format).shape; }

int ChooseScales(Format format, const Row& row, int first, BlockScales* scales) {
  return CodecOf(format).choose_scales(row, first, scales);
}

void ChooseLevels(Format format, const float* weights, int blocks, const BlockScales* scales, uint8_t* levels) {
  RoundBlocks(CodecOf(format).shape, weights, blocks, scales, levels);
}

void PackBlock(Format format, const BlockScales& scales, const uint8_t* levels, uint8_t* out) {
  CodecOf(format).pack(scales, levels, out);
}

}  // namespace nashswarm::quant
