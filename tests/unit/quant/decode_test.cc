// Decoders against values computed by other programs.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/half.h"
#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

struct Known {
  Format format;
  int d, dmin;  // offsets of the half-precision fields; -1: none
  std::vector<std::pair<int, float>> values;
  double checksum;  // sum of (i + 1) * weight i
};

// One block with byte i = 7 i^2 + 37 i + 11 (mod 256), d = 0x2e66 (about 0.1), dmin or m = 0x2a66 (about 0.05). Values
// by the Python package gguf: quants.dequantize(block, type), printed as hexadecimal floats; checksum by math.fsum.
const Known kKnown[] = {
    {Format::kQ8_0, 0, -1,
     {{0, 0x1.698300p+3f}, {1, -0x1.c64a00p+2f}, {15, 0x1.498500p+3f}, {16, -0x1.964d00p+3f},
      {31, -0x1.4feb00p+3f}},
     -0x1.4652000000000p+9},
    {Format::kQ4_0, 0, -1,
     {{0, -0x1.665000p-1f}, {1, 0x1.998000p-4f}, {15, -0x1.998000p-4f}, {16, -0x1.998000p-4f},
      {31, -0x1.998000p-3f}},
     0x1.531e000000000p+2},
    {Format::kQ5_0, 0, -1,
     {{0, 0x1.ffe000p-2f}, {1, -0x1.198800p+0f}, {15, 0x1.332000p-2f}, {16, 0x1.665000p+0f},
      {31, -0x1.665000p+0f}},
     0x1.0abc200000000p+6},
    {Format::kQ4_1, 0, 2,
     {{0, 0x1.8cb400p+0f}, {1, 0x1.665000p-2f}, {15, 0x1.e64800p-1f}, {16, 0x1.998000p-5f}, {31, 0x1.0cbc00p+0f}},
     0x1.bfb0d00000000p+8},
    {Format::kQ5_1, 0, 2,
     {{0, 0x1.f31400p+0f}, {1, 0x1.931a00p+1f}, {15, 0x1.198800p-1f}, {16, 0x1.931a00p+1f}, {31, 0x1.598400p+0f}},
     0x1.cbb0100000000p+9},
    {Format::kIQ4_NL, 0, -1,
     {{0, -0x1.4cb800p+3f}, {1, 0x1.4cb800p+0f}, {15, -0x1.ffe000p-1f}, {16, -0x1.ffe000p-1f},
      {31, -0x1.198800p+1f}},
     0x1.ffe0000000000p+7},
    {Format::kMXFP4, -1, -1,
     {{0, 0x1.8p-114f}, {1, 0x1p-117f}, {2, -0x1p-117f}, {15, -0x1.8p-116f}, {16, 0x1.8p-116f}, {31, 0x1.8p-115f}},
     0x1.46p-109},
    {Format::kQ6_K, 208, -1,
     {{0, -0x1.1e2150p+7f}, {17, 0x1.11a218p+8f}, {33, -0x1.60b6c0p+5f}, {63, -0x1.44b880p+4f},
      {64, 0x1.398600p+7f}, {100, -0x1.6be940p+6f}, {127, 0x1.b4b180p+5f}, {128, -0x1.9fb2d0p+7f},
      {161, 0x1.931a00p+2f}, {223, -0x1.531e00p+5f}, {255, 0x1.015650p+8f}},
     -0x1.f79bb78000000p+17},
    {Format::kQ3_K, 108, -1,
     {{0, 0x1.032300p+3f}, {17, 0x1.b97e00p+2f}, {33, -0x1.7fe800p+0f}, {63, 0x1.665000p-1f},
      {64, 0x1.b31800p+1f}, {100, 0x1.ffe000p-1f}, {127, -0x1.598400p+2f}, {128, 0x1.998000p-3f},
      {161, -0x1.332000p-2f}, {223, 0x0.0p+0f}, {255, 0x0.0p+0f}},
     0x1.8434880000000p+11},
    {Format::kIQ4_XS, 0, -1,
     {{0, 0x1.9fe600p+2f}, {17, -0x1.998000p-4f}, {33, -0x1.698300p+8f}, {63, 0x1.398600p+7f},
      {64, -0x1.ede120p+6f}, {100, 0x1.1fee00p+3f}, {127, 0x1.2aba20p+6f}, {128, 0x1.1dee20p+6f},
      {161, 0x1.3c52a0p+7f}, {223, -0x1.4feb00p+4f}, {255, 0x1.ab1880p+5f}},
     0x1.41cafba800000p+18},
    {Format::kQ2_K, 80, 82,
     {{0, 0x1.a64c00p+1f}, {17, 0x1.f31400p+0f}, {33, -0x1.ffe000p-3f}, {63, 0x1.132200p+1f},
      {64, 0x1.7fe800p+0f}, {100, 0x1.998000p-1f}, {127, -0x1.332000p-2f}, {128, 0x1.332000p-3f},
      {161, 0x1.7fe800p-1f}, {223, 0x1.665000p-1f}, {255, -0x1.ffe000p-3f}},
     0x1.fa41f38000000p+14},
    {Format::kQ4_K, 0, 2,
     {{0, 0x1.be4a80p+3f}, {17, 0x1.fcad00p+2f}, {33, 0x1.dd7bc0p+4f}, {63, 0x1.d17c80p+3f},
      {64, 0x1.2eb9e0p+5f}, {100, 0x1.771bc0p+4f}, {127, 0x1.3fec00p+0f}, {128, 0x1.2fed00p+2f},
      {161, 0x1.b31800p+1f}, {223, 0x1.3bec40p+6f}, {255, 0x1.1854e0p+5f}},
     0x1.9e53b2c000000p+19},
    {Format::kQ5_K, 0, 2,
     {{0, 0x1.2f86a0p+5f}, {17, 0x1.ff1340p+4f}, {33, 0x1.1c07d8p+7f}, {63, 0x1.165500p+2f},
      {64, 0x1.2eb9e0p+5f}, {100, 0x1.e37b60p+5f}, {127, 0x1.c0e3f0p+6f}, {128, 0x1.fe4680p+3f},
      {161, 0x1.f64700p+5f}, {223, 0x1.3bec40p+6f}, {255, 0x1.d3e2c0p+4f}},
     0x1.ae7ce35000000p+20},
};

std::vector<uint8_t> KnownBlock(const Known& known) {
  std::vector<uint8_t> block(InfoOf(known.format).block_bytes);
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(7 * i * i + 37 * i + 11);
  if (known.d >= 0) block[known.d] = 0x66, block[known.d + 1] = 0x2e;
  if (known.dmin >= 0) block[known.dmin] = 0x66, block[known.dmin + 1] = 0x2a;
  return block;
}

TEST(QuantDecodeTest, KnownBlocks) {
  for (const Known& known : kKnown) {
    SCOPED_TRACE(InfoOf(known.format).name);
    const std::vector<float> row = Decode(known.format, KnownBlock(known), InfoOf(known.format).block_weights);
    for (const auto& [i, value] : known.values) EXPECT_EQ(row[i], value) << "weight " << i;
    double checksum = 0.0;
    for (size_t i = 0; i < row.size(); ++i) checksum += (static_cast<double>(i) + 1.0) * row[i];
    EXPECT_NEAR(checksum, known.checksum, 1e-9 * std::fabs(known.checksum));
  }
}

TEST(QuantDecodeTest, ReadsBlocksAtAnyAddress) {
  for (const Known& known : kKnown) {
    SCOPED_TRACE(InfoOf(known.format).name);
    const std::vector<uint8_t> block = KnownBlock(known);
    const size_t weights = InfoOf(known.format).block_weights;
    std::vector<uint8_t> shifted(block.size() + 1);
    std::memcpy(shifted.data() + 1, block.data(), block.size());
    std::vector<float> row(weights);
    DecodeRow(known.format, shifted.data() + 1, absl::MakeSpan(row));
    EXPECT_EQ(row, Decode(known.format, block, weights));
  }
}

// By hand: d = 1, q = i - 16 for Q8_0; nibbles i for Q4_0, which stand for i - 8.
TEST(QuantDecodeTest, HandMadeBlocks) {
  std::vector<uint8_t> q8 = {0x00, 0x3c};
  for (int i = 0; i < 32; ++i) q8.push_back(static_cast<uint8_t>(i - 16));
  const std::vector<float> row8 = Decode(Format::kQ8_0, q8, 32);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(row8[i], static_cast<float>(i - 16));

  std::vector<uint8_t> q4 = {0x00, 0x40};  // d = 2
  for (int i = 0; i < 16; ++i) q4.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
  const std::vector<float> row4 = Decode(Format::kQ4_0, q4, 32);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(row4[i], 2.0f * static_cast<float>(i - 8));
    EXPECT_EQ(row4[i + 16], 2.0f * static_cast<float>(7 - i));
  }
}

TEST(QuantDecodeTest, EveryHalfAndBFloat16) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const std::vector<uint8_t> bytes = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
    const float half = Decode(Format::kF16, bytes, 1)[0], bfloat = Decode(Format::kBF16, bytes, 1)[0];
    const auto h = static_cast<uint16_t>(bits);
    ASSERT_EQ(std::bit_cast<uint32_t>(half), std::bit_cast<uint32_t>(HalfToFloat(h))) << bits;
    ASSERT_EQ(std::bit_cast<uint32_t>(bfloat), std::bit_cast<uint32_t>(BFloat16ToFloat(h))) << bits;
  }
}

}  // namespace
}  // namespace nashswarm::quant
