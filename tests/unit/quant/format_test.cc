#include "core/quant/format.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>

namespace nashswarm::quant {
namespace {

TEST(QuantFormatTest, TableIsOrderedAndConsistent) {
  EXPECT_EQ(AllFormats().size(), 16u);
  double bits = 0.0;
  for (const FormatInfo& info : AllFormats()) {
    EXPECT_GE(info.bits_per_weight(), bits) << info.name;
    bits = info.bits_per_weight();
    EXPECT_EQ(&InfoOf(info.format), &info);
    EXPECT_EQ(FormatByName(info.name), info.format);
    EXPECT_EQ(FormatById(static_cast<uint32_t>(info.format)), info.format);
  }
}

// Sizes and ids as published for ggml; a GGUF file depends on them.
TEST(QuantFormatTest, GeometryIsThatOfGgml) {
  const struct {
    uint32_t id;
    const char* name;
    uint32_t weights, bytes;
  } kKnown[] = {{0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},   {3, "Q4_1", 32, 20},
                {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},    {8, "Q8_0", 32, 34},
                {10, "Q2_K", 256, 84},  {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144},
                {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {20, "IQ4_NL", 32, 18}, {23, "IQ4_XS", 256, 136},
                {30, "BF16", 1, 2},     {39, "MXFP4", 32, 17}};
  for (const auto& known : kKnown) {
    const auto format = FormatById(known.id);
    ASSERT_TRUE(format.has_value()) << known.name;
    EXPECT_EQ(InfoOf(*format).name, known.name);
    EXPECT_EQ(InfoOf(*format).block_weights, known.weights) << known.name;
    EXPECT_EQ(InfoOf(*format).block_bytes, known.bytes) << known.name;
  }
}

// llama.cpp's codes for files, which a file's header has.
TEST(QuantFormatTest, FileTypesAreThoseOfLlama) {
  std::set<uint32_t> seen;
  for (const FormatInfo& info : AllFormats()) EXPECT_TRUE(seen.insert(info.file_type).second) << info.name;
  EXPECT_EQ(InfoOf(Format::kF16).file_type, 1u);
  EXPECT_EQ(InfoOf(Format::kQ4_K).file_type, 15u);
  EXPECT_EQ(InfoOf(Format::kBF16).file_type, 32u);
  EXPECT_EQ(InfoOf(Format::kMXFP4).file_type, 38u);
}

TEST(QuantFormatTest, NamesIgnoreCaseAndUnknownOnesAreRefused) {
  EXPECT_EQ(FormatByName("q4_k"), Format::kQ4_K);
  EXPECT_EQ(FormatByName("Iq4_nL"), Format::kIQ4_NL);
  EXPECT_FALSE(FormatByName("Q4"));
  EXPECT_FALSE(FormatByName("Q4_KM"));
  EXPECT_FALSE(FormatByName(""));
  EXPECT_FALSE(CanDecode(*FormatById(9)));  // Q8_1: a ggml type, not one of ours
  EXPECT_TRUE(CanDecode(Format::kQ8_0));
  EXPECT_FALSE(FormatById(4));  // taken out of ggml before GGUF
  EXPECT_FALSE(FormatById(4000000000u));
}

TEST(QuantFormatTest, EncodedBytesRefusesPartialBlocks) {
  EXPECT_TRUE(FitsRow(Format::kQ4_K, 512));
  EXPECT_FALSE(FitsRow(Format::kQ4_K, 288));
  EXPECT_TRUE(FitsRow(Format::kQ8_0, 288));
  EXPECT_EQ(EncodedBytes(Format::kQ4_K, 3, 512), 3u * 2 * 144);
  EXPECT_EQ(EncodedBytes(Format::kQ4_K, 3, 288), std::nullopt);
  EXPECT_EQ(EncodedBytes(Format::kF16, 3, 5), 30u);
  EXPECT_EQ(EncodedBytes(Format::kQ8_0, 0, 32), 0u);
}

TEST(QuantFormatTest, EncodedBytesRefusesOverflow) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(EncodedBytes(Format::kF32, 1, kMax), std::nullopt);
  EXPECT_EQ(EncodedBytes(Format::kF32, kMax, 1), std::nullopt);
  EXPECT_EQ(EncodedBytes(Format::kQ8_0, 1, kMax / 32 * 32), std::nullopt);
  EXPECT_EQ(EncodedBytes(Format::kQ8_0, kMax / 34 + 1, 32), std::nullopt);
  EXPECT_EQ(EncodedBytes(Format::kQ8_0, kMax / 34, 32), kMax / 34 * 34);
  EXPECT_EQ(EncodedBytes(Format::kQ4_K, uint64_t{1} << 32, uint64_t{1} << 33), std::nullopt);
}

}  // namespace
}  // namespace nashswarm::quant
