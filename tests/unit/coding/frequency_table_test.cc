#include "core/coding/frequency_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace nashswarm::coding {
namespace {

int SlotSum(const FrequencyTable& table) {
  int sum = table.escape_frequency();
  for (int k = -table.max_magnitude(); k <= table.max_magnitude(); ++k) sum += table.frequency(k);
  return sum;
}

size_t WrittenBits(const FrequencyTable& table) {
  BitWriter out;
  table.Write(out);
  return out.bits();
}

// Bits of the histogram under the table and of its entropy, signs included.
double CodedBits(const FrequencyTable& table, const std::vector<double>& counts) {
  double bits = 0;
  for (size_t v = 0; v < counts.size(); ++v) {
    if (counts[v] > 0) bits += counts[v] * table.bits(static_cast<int32_t>(v));
  }
  return bits;
}
double EntropyBits(const std::vector<double>& counts) {
  double total = 0, bits = 0;
  for (double count : counts) total += count;
  for (size_t v = 0; v < counts.size(); ++v) {
    if (counts[v] > 0) bits += counts[v] * ((v > 0 ? 1 : 0) - std::log2(counts[v] / total));
  }
  return bits;
}

// Counts of |k| for `total` integers of a density over the real numbers, in expectation or drawn.
std::vector<double> Expected(double total, double (*density)(double), double spread, double zeros = 0) {
  std::vector<double> counts(200);
  double sum = 0;
  for (int v = 0; v < 200; ++v) sum += counts[v] = (v == 0 ? 1 : 2) * density(v / spread);
  for (double& count : counts) count = (1 - zeros) * count / sum;
  counts[0] += zeros;
  for (double& count : counts) count = std::floor(count * total + 0.5);
  return counts;
}
double Gauss(double x) { return std::exp(-0.5 * x * x); }
double Laplace(double x) { return std::exp(-std::fabs(x)); }

FrequencyTable RoundTrip(const FrequencyTable& table) {
  BitWriter out;
  table.Write(out);
  out.Write(0b101, 3);  // what follows a table stays in place
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  absl::StatusOr<FrequencyTable> read = FrequencyTable::Read(in);
  EXPECT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(in.Read(3), 0b101u);
  return read.ok() ? *read : FrequencyTable();
}

void ExpectSound(const FrequencyTable& table, const std::vector<double>& counts) {
  EXPECT_EQ(SlotSum(table), kSlots);
  EXPECT_EQ(RoundTrip(table), table);
  int slot = 0;  // in the order 0, +1, -1, ..., escape, without gaps
  for (int v = 0; v <= table.max_magnitude(); ++v) {
    EXPECT_GE(table.frequency(v), 1);
    EXPECT_EQ(table.frequency(-v), table.frequency(v));
    EXPECT_EQ(table.start(v), slot);
    slot += table.frequency(v);
    if (v == 0) continue;
    EXPECT_EQ(table.start(-v), slot);
    slot += table.frequency(v);
  }
  EXPECT_EQ(table.escape_start(), slot);
  EXPECT_EQ(slot + table.escape_frequency(), kSlots);
  for (size_t v = 0; v < counts.size(); ++v) {
    EXPECT_TRUE(counts[v] == 0 || table.CanCode(static_cast<int32_t>(v))) << v;
  }
}

TEST(CodingFrequencyTableTest, UnusedTableCostsOneBit) {
  const FrequencyTable table;
  EXPECT_FALSE(table.used());
  EXPECT_EQ(WrittenBits(table), 1u);
  EXPECT_EQ(table.frequency(0), kSlots);
  EXPECT_EQ(table.bits(0), 0);
  EXPECT_FALSE(table.CanCode(1));
  EXPECT_TRUE(std::isinf(table.bits(-1)));
  ExpectSound(table, {});
  EXPECT_EQ(FrequencyTable::Fit({}), table);
  EXPECT_EQ(FrequencyTable::Fit({0.0, 0.0}), table);
  EXPECT_EQ(FrequencyTable::Fit({17.0, 0.0}), table);
}

// By hand. p(0) : p(+1) : p(escape) = 4 : 2 : 1, levels 0, 4, 8. Weights 65536, 2 * 32768, 16384, their sum
// 147456; slots 1820.4, 910.2, 455.1, so 4095 in all after rounding: one more for 0.
// Bits: used 1; greatest magnitude 1 in seven: 1000000; escape 1; order 00; curvature 00; the first slope 4, zigzag 8,
// order 2, u = 12 = 1100b: 0 1 001; the escape's level, 4 above the last, zigzag 8, order 3, u = 16: 0 1 0000.
TEST(CodingFrequencyTableTest, FormatByHand) {
  const std::vector<uint8_t> bytes = {0x03, 0x41, 0x0a};
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_TRUE(in.AtEnd());
  EXPECT_EQ(table->max_magnitude(), 1);
  EXPECT_EQ(table->frequency(0), 1821);
  EXPECT_EQ(table->frequency(1), 910);
  EXPECT_EQ(table->escape_frequency(), 455);
  EXPECT_EQ(table->start(1), 1821);
  EXPECT_EQ(table->start(-1), 2731);
  EXPECT_DOUBLE_EQ(table->bits(-1), std::log2(4096.0 / 910));
  EXPECT_DOUBLE_EQ(table->bits(-9), std::log2(4096.0 / 455) + 7 + 1);  // excess 7: 0001000, and the sign
  BitWriter out;
  table->Write(out);
  EXPECT_EQ(out.Take(), bytes);
}

// Second differences with an order and a curvature. Bits: used 1; greatest magnitude 3: 1100000; no escape 0; order 1:
// 10; curvature 2: 01; slope 3, zigzag 6, order 2, u = 10 = 1010b: 0 1 010; e = -1, zigzag 1, order 1, u = 3 = 11b:
// 1 1; e = 1, zigzag 2, u = 4 = 100b: 0 1 00. Slopes 3, 3 - 1 + 2 = 4, 4 + 1 + 2 = 7: levels 0, 3, 7, 14.
// Weights 65536, 38968, 38968 >> 1 = 19484, 46341 >> 3 = 5792.
TEST(CodingFrequencyTableTest, SecondDifferencesByHand) {
  BitWriter out;
  for (char bit : std::string("1" "1100000" "0" "10" "01" "01010" "11" "0100")) out.Write(bit == '1', 1);
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_TRUE(in.AtEnd());
  const double total = 65536 + 2 * (38968 + 19484 + 5792);
  EXPECT_EQ(table->frequency(1), std::lround(4096 * 38968 / total));
  EXPECT_EQ(table->frequency(2), std::lround(4096 * 19484 / total));
  EXPECT_EQ(table->frequency(3), std::lround(4096 * 5792 / total));
  EXPECT_EQ(SlotSum(*table), kSlots);
}

TEST(CodingFrequencyTableTest, NastyHistograms) {
  std::vector<std::vector<double>> histograms = {
      {1, 1},
      {0, 1},
      {0, 0, 0, 5},
      {1e12, 1},
      {1e-3, 1e-9, 1e-3},
      {1, 1e15},
      std::vector<double>(121, 1.0),
      std::vector<double>(122, 1.0),
      std::vector<double>(5000, 3.0),
  };
  histograms.push_back(std::vector<double>(300, 0.0));
  histograms.back()[299] = 7;
  histograms.push_back(std::vector<double>(121, 1e-4));  // half the magnitudes common, the others of least probability
  for (int v = 0; v < 60; ++v) histograms.back()[v] = 1e6;
  histograms.push_back(std::vector<double>(40, 0.0));
  histograms.back()[0] = 10;
  histograms.back()[39] = 1e7;
  std::mt19937 random(3);
  for (int i = 0; i < 40; ++i) {
    std::vector<double> counts(1 + random() % 150);
    for (double& count : counts) count = std::floor(std::exp(20.0 * random() / 4294967296.0) - 1) * (random() % 3);
    histograms.push_back(counts);
  }
  for (size_t i = 0; i < histograms.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectSound(FrequencyTable::Fit(histograms[i]), histograms[i]);
  }
}

// Levels that leave all magnitudes at least one slot although there are more of them than their share.
TEST(CodingFrequencyTableTest, TheManyRareTakeFromTheFrequent) {
  BitWriter out;
  out.Write(1, 1);
  out.Write(120, 7);
  out.Write(1, 1);
  out.Write(0, 4);
  out.WriteSignedGolomb(0, 2);
  for (int v = 2; v <= 120; ++v) out.WriteSignedGolomb(v == 61 ? 200 : v == 62 ? -200 : 0, 0);
  out.WriteSignedGolomb(300, 3);
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_TRUE(table.ok()) << table.status();
  ExpectSound(*table, {});
  EXPECT_EQ(table->frequency(120), 1);
  EXPECT_EQ(table->escape_frequency(), 1);
  // 4096 - 1 - 2 * 60 = 3975 for 0 and 60 pairs: 121 * 32.85. Rounding gave 34 each, 4114 + 121 = 4235: 139 too many
  // are taken one by one from whoever has most, first 0 (1), then the pairs in turn (2 each).
  EXPECT_EQ(table->frequency(0), 33);
  EXPECT_EQ(table->frequency(1), 32);
  EXPECT_EQ(table->frequency(60), 33);
}

// The same with an escape as frequent as 0..60: 122 symbols with 34 each and 120 with 1, 4268: 172 too many. One from
// each of the 122, the escape last; of the other 50 one from 0, two from each of 24 pairs, and two from a pair more: one
// too many, which 0 gets back.
TEST(CodingFrequencyTableTest, TheEscapeGivesLast) {
  BitWriter out;
  out.Write(1 | 120 << 1 | 1 << 8, 13);
  out.WriteSignedGolomb(0, 2);
  for (int v = 2; v <= 120; ++v) out.WriteSignedGolomb(v == 61 ? 200 : v == 62 ? -200 : 0, 0);
  out.WriteSignedGolomb(-200, 3);
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_TRUE(table.ok()) << table.status();
  ExpectSound(*table, {});
  EXPECT_EQ(table->escape_frequency(), 33);
  EXPECT_EQ(table->frequency(0), 33);
  EXPECT_EQ(table->frequency(25), 32);
  EXPECT_EQ(table->frequency(26), 33);
}

// Magnitudes that are all of least probability beside an escape with nearly everything: the escape gives.
TEST(CodingFrequencyTableTest, AnEscapeThatIsAlmostEverything) {
  std::vector<double> counts(121, 1.0);
  counts.resize(1000);
  counts[999] = 1e9;
  BitWriter out;
  out.Write(1 | 120 << 1 | 1 << 8, 13);
  out.WriteSignedGolomb(0, 2);
  for (int v = 2; v <= 120; ++v) out.WriteSignedGolomb(0, 0);
  out.WriteSignedGolomb(-200, 3);
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_TRUE(table.ok()) << table.status();
  ExpectSound(*table, counts);
  EXPECT_EQ(table->escape_frequency(), kSlots - 241);
}

TEST(CodingFrequencyTableTest, NearTheEntropyAndSmall) {
  struct Case {
    const char* name;
    std::vector<double> counts;
    size_t most_bits;  // of the table
  };
  const std::vector<Case> cases = {
      {"Gauss 2", Expected(1e6, Gauss, 2), 34},
      {"Gauss 4", Expected(1e6, Gauss, 4), 46},
      {"Gauss 30", Expected(1e7, Gauss, 30), 215},
      {"Laplace 3", Expected(1e6, Laplace, 3), 52},
      {"zeros and Gauss 3", Expected(1e6, Gauss, 3, 0.6), 58},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const FrequencyTable table = FrequencyTable::Fit(c.counts);
    ExpectSound(table, c.counts);
    EXPECT_LE(CodedBits(table, c.counts), 1.0025 * EntropyBits(c.counts));
    EXPECT_LE(WrittenBits(table), c.most_bits) << table.max_magnitude();
  }
}

// With few integers the table must not cost more than it saves.
TEST(CodingFrequencyTableTest, FewIntegersGetSmallTables) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 4);
  std::vector<double> counts(100);
  for (int i = 0; i < 200; ++i) ++counts[std::abs(std::lround(normal(random)))];
  const FrequencyTable table = FrequencyTable::Fit(counts);
  ExpectSound(table, counts);
  EXPECT_LE(WrittenBits(table), 40u);
  EXPECT_LE(CodedBits(table, counts), 1.02 * EntropyBits(counts));
}

TEST(CodingFrequencyTableTest, RareMagnitudesBecomeEscapes) {
  std::vector<double> counts = Expected(1e6, Gauss, 2);
  counts.resize(3000);
  counts[2999] = 3;
  counts[40] = 2;
  const FrequencyTable table = FrequencyTable::Fit(counts);
  EXPECT_TRUE(table.has_escape());
  EXPECT_LE(table.max_magnitude(), 9);
  EXPECT_EQ(table.escape_frequency(), 1);
  EXPECT_TRUE(table.CanCode(kMaxInteger));
  EXPECT_TRUE(table.CanCode(-kMaxInteger));
  EXPECT_FALSE(table.CanCode(kMaxInteger + 1));
  EXPECT_FALSE(table.CanCode(INT32_MIN));
  EXPECT_FALSE(FrequencyTable::Fit({5000.0, 3000.0, 1000.0}).has_escape());
}

void ExpectCorrupt(BitWriter& out) {
  const std::vector<uint8_t> bytes = out.Take();
  BitReader in(bytes);
  const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReasonOf(table.status()), "TABLE_CORRUPT");
}

TEST(CodingFrequencyTableTest, CorruptTables) {
  BitWriter out;
  ExpectCorrupt(out);  // nothing
  out.Write(1 | 121 << 1, 9);
  out.Write(0xffffffff, 32);
  ExpectCorrupt(out);  // magnitude 121
  out.Write(1, 9);
  out.Write(0xffffffff, 32);
  ExpectCorrupt(out);  // nothing but 0
  out.Write(1 | 1 << 1, 13);
  out.WriteSignedGolomb(1024, 2);
  ExpectCorrupt(out);  // level 1024
  out.Write(1 | 1 << 1, 13);
  out.WriteSignedGolomb(-1024, 2);
  ExpectCorrupt(out);
  out.Write(1 | 1 << 1 | 1 << 8, 13);
  out.WriteSignedGolomb(1000, 2);
  out.WriteSignedGolomb(24, 3);
  ExpectCorrupt(out);  // the escape's level
  out.Write(1 | 3 << 1, 13);
  out.WriteSignedGolomb(3, 2);
  ExpectCorrupt(out);  // ends early
  for (int v = 0; v < 2; ++v) {  // slopes that add up beyond 64 bits if nobody looks
    out.Write(1 | 120 << 1, 13);
    out.WriteSignedGolomb(v == 0 ? 1023 : -1023, 2);
    for (int i = 0; i < 119; ++i) out.WriteSignedGolomb(v == 0 ? INT32_MAX / 2 : INT32_MIN / 2, 0);
    ExpectCorrupt(out);
  }
}

TEST(CodingFrequencyTableTest, AnyBitsReadSafely) {
  std::mt19937 random(7);
  int good = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<uint8_t> bytes(40);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() | (i % 2 == 0 ? random() : 0));
    bytes[0] |= 1;
    BitReader in(bytes);
    const absl::StatusOr<FrequencyTable> table = FrequencyTable::Read(in);
    if (!table.ok()) continue;
    ++good;
    EXPECT_EQ(SlotSum(*table), kSlots);
  }
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace nashswarm::coding
