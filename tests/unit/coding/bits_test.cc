#include "core/coding/bits.h"

#include <gtest/gtest.h>

#include <vector>

namespace nashswarm::coding {
namespace {

TEST(CodingBitsTest, LowestBitFirst) {
  BitWriter out;
  out.Write(1, 1);
  out.Write(0b10, 2);
  out.Write(0xffff'ff05, 8);  // only the low 8 bits count
  EXPECT_EQ(out.bits(), 11u);
  EXPECT_EQ(out.Take(), (std::vector<uint8_t>{0b00101101, 0}));  // 1 | 01 | 10100000
  EXPECT_EQ(out.bits(), 0u);
}

TEST(CodingBitsTest, GolombByHand) {
  BitWriter out;
  out.WriteGolomb(0, 0);        // u = 1: 1
  out.WriteGolomb(4, 0);        // u = 5 = 101b: 00 1 10
  out.WriteGolomb(3, 2);        // u = 7 = 111b: 1 11
  out.WriteSignedGolomb(-2, 1); // 3, u = 5: 0 1 10
  EXPECT_EQ(out.bits(), 13u);
  EXPECT_EQ(out.Take(), (std::vector<uint8_t>{0b11011001, 0b01101}));
}

TEST(CodingBitsTest, RoundTrip) {
  std::vector<uint32_t> values = {0,     1,       2,             3,        7,          8, 100, 65535,
                                  65536, 1u << 30, (1u << 31) - 1, 1u << 31, 0xfffe'ffffu};
  BitWriter out;
  for (uint32_t v : values) {
    out.Write(v, 32);
    for (int order : {0, 1, 5, 16}) {
      const size_t before = out.bits();
      out.WriteGolomb(v, order);
      EXPECT_EQ(out.bits() - before, static_cast<size_t>(GolombBits(v, order))) << v;
    }
    out.WriteSignedGolomb(static_cast<int32_t>(v) >> 1, 3);
    out.Write(0, 0);
  }
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  for (uint32_t v : values) {
    EXPECT_EQ(in.Read(32), v);
    for (int order : {0, 1, 5, 16}) EXPECT_EQ(in.ReadGolomb(order), v);
    EXPECT_EQ(in.ReadSignedGolomb(3), static_cast<int32_t>(v) >> 1);
  }
  EXPECT_TRUE(in.AtEnd());
  EXPECT_FALSE(in.overrun());
}

TEST(CodingBitsTest, PastTheEnd) {
  const uint8_t bytes[] = {0xff, 0x80};
  BitReader in(bytes);
  EXPECT_EQ(in.Read(12), 0x0ffu);
  EXPECT_FALSE(in.overrun());
  EXPECT_EQ(in.Read(8), 8u);  // the four bits left, then zeros
  EXPECT_TRUE(in.overrun());
  EXPECT_EQ(in.position(), 16u);
  EXPECT_EQ(in.Read(32), 0u);
  EXPECT_EQ(in.Peek(100), 0u);
  EXPECT_FALSE(in.AtEnd());

  BitReader exact(bytes);
  exact.Skip(16);
  EXPECT_TRUE(exact.AtEnd());
  exact.Skip(1);
  EXPECT_TRUE(exact.overrun());
}

TEST(CodingBitsTest, EndlessGolombCodesAreRefused) {
  const std::vector<uint8_t> zeros(20, 0);
  for (int order : {0, 1, 16}) {
    BitReader in(zeros);
    EXPECT_EQ(in.ReadGolomb(order), 0u);
    EXPECT_TRUE(in.overrun());
  }
  const uint8_t one_zero[] = {0};
  BitReader in(one_zero);
  in.ReadGolomb(0);
  EXPECT_TRUE(in.overrun());
}

TEST(CodingBitsTest, EndWantsZerosForPadding) {
  const uint8_t clean[] = {0x01}, dirty[] = {0x81}, longer[] = {0x01, 0x00};
  for (const auto& [bytes, end] : {std::pair{absl::MakeConstSpan(clean), true},
                                   std::pair{absl::MakeConstSpan(dirty), false},
                                   std::pair{absl::MakeConstSpan(longer), false}}) {
    BitReader in(bytes);
    in.Read(1);
    EXPECT_EQ(in.AtEnd(), end);
  }
}

TEST(CodingBitsTest, ZigZag) {
  const int32_t in_order[] = {0, -1, 1, -2, 2};
  for (uint32_t u = 0; u < 5; ++u) {
    EXPECT_EQ(ZigZag(in_order[u]), u);
    EXPECT_EQ(UnZigZag(u), in_order[u]);
  }
  EXPECT_EQ(UnZigZag(ZigZag(INT32_MIN)), INT32_MIN);
}

}  // namespace
}  // namespace nashswarm::coding
