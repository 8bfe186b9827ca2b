#include "core/coding/integers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/coding/crc32.h"

namespace nashswarm::coding {
namespace {

using Values = std::vector<int32_t>;

// Bits taken, after checking that the array comes back and what follows it stays in place.
size_t RoundTrip(const Values& values) {
  BitWriter out;
  out.Write(0b01, 2);
  WriteIntegers(values, out);
  const size_t bits = out.bits() - 2;
  out.Write(0b0110101, 7);
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  in.Read(2);
  Values read(values.size(), -77);
  EXPECT_TRUE(ReadIntegers(in, -kMaxSideInteger, kMaxSideInteger, absl::MakeSpan(read)).ok());
  EXPECT_EQ(read, values);
  EXPECT_EQ(in.position(), bits + 2);
  EXPECT_EQ(in.Read(7), 0b0110101u);
  return bits;
}

double EntropyBits(const Values& values) {
  std::map<int32_t, double> counts;
  for (int32_t v : values) ++counts[v];
  double bits = 0;
  for (const auto& [v, count] : counts) bits -= count * std::log2(count / static_cast<double>(values.size()));
  return bits;
}

Values Normal(size_t size, double mean, double spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, spread);
  Values values;
  for (size_t i = 0; i < size; ++i) values.push_back(static_cast<int32_t>(std::lround(normal(random))));
  return values;
}

TEST(CodingIntegersTest, ConstantArraysCostAFewBits) {
  EXPECT_LE(RoundTrip(Values(1000, 0)), 6u);
  EXPECT_LE(RoundTrip(Values(1000, -130)), 24u);
  EXPECT_LE(RoundTrip({}), 6u);
  RoundTrip({5});
  RoundTrip({kMaxSideInteger});
  RoundTrip({-kMaxSideInteger, -kMaxSideInteger});
}

TEST(CodingIntegersTest, RoundTrips) {
  RoundTrip({kMaxSideInteger, -kMaxSideInteger, kMaxSideInteger, 0, 1});
  RoundTrip({0, 1});
  RoundTrip({1, 0});
  for (int32_t edge : {15, 16, 17, 18, 19, 20, 31, 32, 33, 1000}) RoundTrip({0, edge, -edge, 0, edge, 0, 0});
  for (uint32_t seed = 0; seed < 200; ++seed) {
    RoundTrip(Normal(1 + seed * 7 % 60, seed % 9 * 40.0, std::exp2(seed % 15), seed));
  }
  RoundTrip(Normal(5000, 3, 0.4, 1));  // counts are halved on the way
  Values rare(5000, 4);
  rare[4990] = -4;
  RoundTrip(rare);
}

TEST(CodingIntegersTest, TheWidestJump) {
  Values values;
  for (int32_t i = 0; i < 300; ++i) values.push_back(-kMaxSideInteger + i % 2);
  for (int32_t i = 0; i < 300; ++i) values.push_back(kMaxSideInteger - i % 2);
  EXPECT_LE(RoundTrip(values), 1000u);  // by differences; by values half of them would take 50 bits each
}

// Long enough for counts to be halved; the bytes were read back by a second program, written from README.md.
TEST(CodingIntegersTest, FormatOfLongArrays) {
  Values values;
  for (int32_t i = 0; i < 4000; ++i) values.push_back(i * i % 7 % (i < 2000 ? 3 : 7));
  RoundTrip(values);
  BitWriter out;
  WriteIntegers(values, out);
  EXPECT_EQ(Crc32(out.Take()), 0x0afa2a62u);
}

// What comes after the array must not matter to it.
TEST(CodingIntegersTest, FollowedByAnything) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const Values values = Normal(1 + seed % 17, 5, 2, seed);
    BitWriter out;
    WriteIntegers(values, out);
    const size_t bits = out.bits();
    out.Write(seed % 2 == 0 ? 0xffffffff : 0, 32);
    out.Write(seed % 2 == 0 ? 0xffffffff : 0, 32);
    const std::vector<uint8_t> bytes = out.Take();
    BitReader in(bytes);
    Values read(values.size());
    ASSERT_TRUE(ReadIntegers(in, -100, 100, absl::MakeSpan(read)).ok());
    EXPECT_EQ(read, values);
    EXPECT_EQ(in.position(), bits);
  }
}

TEST(CodingIntegersTest, NearTheEntropy) {
  for (double spread : {1.0, 2.0, 3.0}) {
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      const Values values = Normal(300, 131.3, spread, seed);
      EXPECT_LE(static_cast<double>(RoundTrip(values)), EntropyBits(values) + 65) << spread;
    }
  }
  Values mostly_zero = Normal(1000, 0, 0.25, 9);
  EXPECT_LE(static_cast<double>(RoundTrip(mostly_zero)), EntropyBits(mostly_zero) + 25);
}

TEST(CodingIntegersTest, RampsAreCodedByDifferences) {
  Values ramp, slow;
  for (int i = 0; i < 400; ++i) ramp.push_back(3 * i - 200), slow.push_back(i / 25);
  EXPECT_LE(RoundTrip(ramp), 70u);
  EXPECT_LE(RoundTrip(slow), 150u);
}

// By hand: 7, 7, 8. Mode 1 in two bits: 10; the median 7, zigzag 14, order 3, u = 22 = 10110b: 0 1 0110; signs shared:
// the cheapest of four equal ways is the first one tried, not shared: 0. Then 0, 0 and +1, in intervals of the line 0..1:
// "differs" no, of 1/2: [0, 1/2), a bit 0, [0, 1). No, of 3/4: [0, 3/4). Yes, where no has 54613 / 65536, a little less
// than 5/6: [5/8 - e, 3/4), bits 1 and 0, [1/2 - e, 1). "Negative" no, of 1/2: [1/2 - e, 3/4 - e), in the middle: one
// bit undecided, [1/2 - e, 1 - e). "More than 1" no, likewise: two undecided, [1/2 - e, 1 - e). At last 1/4 is not
// inside, so a bit 1 and for the undecided ones and itself three times the opposite.
TEST(CodingIntegersTest, FormatByHand) {
  BitWriter expected;
  for (char bit : std::string("10" "010110" "0" "0" "10" "1" "000")) expected.Write(bit == '1', 1);
  BitWriter out;
  WriteIntegers({7, 7, 8}, out);
  EXPECT_EQ(out.bits(), expected.bits());
  EXPECT_EQ(out.Take(), expected.Take());
}

absl::Status Read(const std::vector<uint8_t>& bytes, size_t count, int32_t least = -1000, int32_t greatest = 1000) {
  BitReader in(bytes);
  Values values(count);
  return ReadIntegers(in, least, greatest, absl::MakeSpan(values));
}

TEST(CodingIntegersTest, BoundsAreChecked) {
  for (const Values& values : {Values{3, 3, 3}, Values{1, 2, 3, 1}, Values{1, 1, 2, 2, 3, 3}}) {
    BitWriter out;
    WriteIntegers(values, out);
    const std::vector<uint8_t> bytes = out.Take();
    EXPECT_TRUE(Read(bytes, values.size(), values[0], 3).ok());
    EXPECT_EQ(ReasonOf(Read(bytes, values.size(), values[0] + 1, 5)), "ARRAY_CORRUPT");
    EXPECT_EQ(Read(bytes, values.size(), 0, 2).code(), absl::StatusCode::kDataLoss);
  }
}

TEST(CodingIntegersTest, CorruptArrays) {
  EXPECT_EQ(ReasonOf(Read({}, 1)), "ARRAY_CORRUPT");
  EXPECT_EQ(ReasonOf(Read({0x07, 0xff, 0xff}, 1)), "ARRAY_CORRUPT");  // mode 3
  BitWriter out;
  out.Write(0, 2);
  out.WriteSignedGolomb(kMaxSideInteger + 1, 3);
  const std::vector<uint8_t> centre = out.Take();
  EXPECT_FALSE(Read(centre, 0).ok());
  WriteIntegers(Normal(100, 0, 3, 1), out);
  std::vector<uint8_t> bytes = out.Take();
  while (bytes.size() > 1) {
    bytes.pop_back();
    EXPECT_FALSE(Read(bytes, 100).ok()) << bytes.size();
  }
}

TEST(CodingIntegersTest, AnyBitsReadSafely) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::vector<uint8_t> bytes(1 + random() % 60);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    BitReader in(bytes);
    Values values(200);
    if (!ReadIntegers(in, -50, 50, absl::MakeSpan(values)).ok()) continue;
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -50);
    EXPECT_LE(*std::max_element(values.begin(), values.end()), 50);
  }
}

}  // namespace
}  // namespace nashswarm::coding
