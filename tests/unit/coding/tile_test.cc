#include "core/coding/tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "tests/unit/coding/test_data.h"

namespace nashswarm::coding {
namespace {

constexpr int kLaneCounts[] = {1, 2, 4, 8, 16, 32};

// Encodes with every number of lanes and decodes with every kernel.
void ExpectRoundTrip(const Matrix& m) {
  const DecodeTables tables(m.tables, m.dependent);
  for (int lanes : kLaneCounts) {
    SCOPED_TRACE(lanes);
    const auto payload = EncodeTile(m.shape, m.k.data(), m.contexts(), lanes);
    ASSERT_TRUE(payload.ok()) << payload.status();
    OnEveryKernel([&](std::string_view name) {
      std::vector<int32_t> k(m.k.size() + 8, -77);
      const absl::Status status = DecodeTile(*payload, m.shape, m.classes(), tables, k.data());
      EXPECT_TRUE(status.ok()) << name << status;
      EXPECT_EQ(std::vector<int32_t>(k.end() - 8, k.end()), std::vector<int32_t>(8, -77));  // nothing past the end
      k.resize(m.k.size());
      EXPECT_EQ(k, m.k) << name;
    });
  }
}

// A matrix of given integers in one context.
Matrix Plain(TileShape shape, std::vector<int32_t> k, bool dependent) {
  Matrix m{shape, dependent, std::vector<uint8_t>(shape.rows), std::vector<uint8_t>(shape.columns), std::move(k)};
  FitTables(m, 1);
  return m;
}

class CodingTileTest : public testing::Test {
 protected:
  ~CodingTileTest() override {
    ForceScalarKernels(false);
    UseKernelTarget(0);
  }
};

TEST_F(CodingTileTest, RoundTripsOfManyShapes) {
  uint32_t seed = 0;
  for (const bool dependent : {false, true}) {
    for (const TileShape shape : {TileShape{1, 1}, {1, 7}, {1, 32}, {1, 1000}, {50, 1}, {7, 31}, {9, 32}, {5, 33},
                                  {3, 95}, {64, 64}, {40, 257}}) {
      SCOPED_TRACE(absl::StrCat(shape.rows, "x", shape.columns, dependent ? " dependent" : ""));
      ExpectRoundTrip(NormalMatrix(shape, 1, dependent, 2, 0, ++seed));
      ExpectRoundTrip(NormalMatrix(shape, 5, dependent, 4, 50, ++seed));
    }
  }
}

TEST_F(CodingTileTest, RoundTripsOfManyContexts) {
  for (const bool dependent : {false, true}) {
    Matrix m = NormalMatrix({60, 200}, 64, dependent, 3, 300, 11);
    EXPECT_EQ(m.tables.size(), dependent ? 128u : 64u);
    ExpectRoundTrip(m);
  }
}

TEST_F(CodingTileTest, WideAndFlatTables) {
  for (const bool dependent : {false, true}) ExpectRoundTrip(NormalMatrix({64, 300}, 2, dependent, 60, 0, 12));
}

TEST_F(CodingTileTest, ZerosAndConstants) {
  for (const bool dependent : {false, true}) {
    for (const int32_t value : {0, 1, -3, 121, 5000}) {
      SCOPED_TRACE(value);
      const Matrix m = Plain({20, 65}, std::vector<int32_t>(1300, value), dependent);
      ExpectRoundTrip(m);
    }
    const Matrix zeros = Plain({200, 200}, std::vector<int32_t>(40000, 0), dependent);
    EXPECT_EQ(EncodeTile(zeros.shape, zeros.k.data(), zeros.contexts(), 1)->size(), 5u);  // a byte, one state
  }
}

TEST_F(CodingTileTest, Escapes) {
  for (const bool dependent : {false, true}) {
    for (const TileShape shape : {TileShape{4, 5}, {6, 40}, {3, 64}}) {
      Matrix m = NormalMatrix(shape, 3, dependent, 1, 0, 21);
      m.k[0] = kMaxInteger;
      m.k[1] = -kMaxInteger;
      m.k[7] = 121;
      m.k[8] = -121;
      m.k[m.k.size() - 1] = 1001;
      m.k[m.k.size() - 2] = -kMaxInteger + 1;
      m.k[m.k.size() / 2] = 128;
      FitTables(m, 3);
      ExpectRoundTrip(m);
    }
    // Nothing but escapes.
    Matrix m = Plain({5, 70}, std::vector<int32_t>(350), dependent);
    for (size_t i = 0; i < m.k.size(); ++i) m.k[i] = (i % 2 == 0 ? 1 : -1) * static_cast<int32_t>(200 + 97 * i);
    FitTables(m, 1);
    ExpectRoundTrip(m);
  }
}

// By hand. One context whose table is the one of FrequencyTableTest.FormatByHand: 0 has slots 0..1820, +1 1821..2730,
// -1 2731..3640, the escape 3641..4095. Four rows of three, two lanes: columns 0 and 2 are lane 0, column 1 lane 1.
//    0  5 -2
//    1 -1  2
//   -9  0  3
//   -2  0  2
// Backwards, x -> (x / f << 12) + x % f + start:
//   2   lane 0: 65536      -> (144 << 12) + 16 + 3641    = 593481
//   0   lane 1: 65536      -> (35 << 12) + 1801          = 145161
//   -2  lane 0: 593481     -> (1304 << 12) + 161 + 3641  = 5344986
//   3   lane 0: 5344986    -> (11747 << 12) + 101 + 3641 = 48119454
//   0   lane 1: 145161     -> (79 << 12) + 1302          = 324886
//   -9  lane 0: 48119454   -> 433184332
//   2   lane 0: 433184332  -> 3899612946
//   -1  lane 1: 324886     -> (357 << 12) + 16 + 2731    = 1465019
//   1   lane 0: 3899612946 is not below 910 << 20: word 0x5f12; 59503 -> (65 << 12) + 353 + 1821 = 268414
//   -2  lane 0: 268414     -> 2416604
//   5   lane 1: 1465019    -> 13189039 = 0x00c93faf
//   0   lane 0: 2416604    -> (1327 << 12) + 137         = 5435529 = 0x0052f089
// Escapes: the excess over 1, minus one, and the sign: 3 001000, 0 11, 0 10, 7 00010001, 1 0100, 0 11, 0 10.
TEST_F(CodingTileTest, FormatByHand) {
  const std::vector<uint8_t> table_bytes = {0x03, 0x41, 0x0a};
  BitReader in(table_bytes);
  Matrix m{{4, 3}, false, {0, 0, 0, 0}, {0, 0, 0}, {0, 5, -2, 1, -1, 2, -9, 0, 3, -2, 0, 2}};
  m.tables = {*FrequencyTable::Read(in)};
  const std::vector<uint8_t> expected = {
      0x09,                    // 2^1 lanes, escapes
      0x04,                    // bytes of escapes
      0x89, 0xf0, 0x52, 0x00,  // lane 0
      0xaf, 0x3f, 0xc9, 0x00,  // lane 1
      0x12, 0x5f,              // the word
      0xc4, 0x21, 0xca, 0x01,
  };
  const auto payload = EncodeTile(m.shape, m.k.data(), m.contexts(), 2);
  ASSERT_TRUE(payload.ok());
  EXPECT_EQ(*payload, expected);
  std::vector<int32_t> k(12);
  EXPECT_TRUE(DecodeTile(expected, m.shape, m.classes(), DecodeTables(m.tables, false), k.data()).ok());
  EXPECT_EQ(k, m.k);
}

// Which table a weight has: context row class + column class, and with states the quantizer. Each table codes only what
// is meant to reach it, so a wrong one fails.
TEST_F(CodingTileTest, TablesByContextAndQuantizer) {
  const FrequencyTable zero, small = FrequencyTable::Fit({5.0, 3.0}), wide = FrequencyTable::Fit({5.0, 3.0, 1.0, 1.0});
  Matrix m{{2, 2}, false, {0, 1}, {0, 1}, {0, 1, -1, 3}};
  m.tables = {zero, small, wide};
  ExpectRoundTrip(m);
  // A column: state 0, k = 1 -> state 1 (quantizer 1), k = 2 -> state 7 (quantizer 1), k = 1 -> 5 (1), k = 3 -> 4 (0).
  Matrix column{{5, 1}, true, {0, 0, 0, 0, 0}, {0}, {1, 2, -3, 3, 1}};
  column.tables = {small, wide};
  ExpectRoundTrip(column);
}

TEST_F(CodingTileTest, NotCodable) {
  Matrix m = Plain({2, 3}, {0, 1, 0, -1, 0, 0}, false);
  m.tables[0] = FrequencyTable::Fit({50.0, 50.0});
  const auto reason = [&] { return ReasonOf(EncodeTile(m.shape, m.k.data(), m.contexts()).status()); };
  EXPECT_EQ(reason(), "");
  m.k[4] = 2;
  EXPECT_EQ(reason(), "NOT_CODABLE");
  EXPECT_TRUE(std::isinf(IdealBits(m.shape, m.k.data(), m.contexts())));
  m.k[4] = 200;
  EXPECT_EQ(reason(), "NOT_CODABLE");
  FitTables(m, 1);
  EXPECT_EQ(reason(), "");
  m.k[4] = kMaxInteger + 1;
  m.tables[0] = FrequencyTable::Fit(std::vector<double>(200, 1.0));
  EXPECT_EQ(reason(), "NOT_CODABLE");
  m.k[4] = INT32_MIN;
  EXPECT_EQ(reason(), "NOT_CODABLE");
  m.k[4] = 0;
  m.column_class[2] = 1;
  EXPECT_EQ(reason(), "NOT_CODABLE");
  m.column_class.pop_back();
  EXPECT_EQ(reason(), "NOT_CODABLE");
}

TEST_F(CodingTileTest, LanesByWeights) {
  EXPECT_EQ(LanesFor(2047), 1);
  EXPECT_EQ(LanesFor(2048), 2);
  EXPECT_EQ(LanesFor(16384), 8);
  EXPECT_EQ(LanesFor(131071), 8);
  EXPECT_EQ(LanesFor(131072), 32);
  const Matrix m = NormalMatrix({512, 256}, 1, false, 2, 0, 3);
  EXPECT_EQ(EncodeTile(m.shape, m.k.data(), m.contexts())->at(0) & 7, 5);
}

TEST_F(CodingTileTest, NearTheIdeal) {
  for (const bool dependent : {false, true}) {
    for (const auto& [shape, most] : {std::pair{TileShape{1024, 1024}, 1.001}, std::pair{TileShape{512, 256}, 1.003},
                                      std::pair{TileShape{64, 64}, 1.006}}) {
      const Matrix m = NormalMatrix(shape, 4, dependent, 1.5, 0, 4);
      const double ideal = IdealBits(m.shape, m.k.data(), m.contexts());
      const double coded = 8.0 * static_cast<double>(EncodeTile(m.shape, m.k.data(), m.contexts())->size());
      EXPECT_GT(coded, ideal);
      EXPECT_LT(coded, most * ideal) << shape.rows;
      EXPECT_GT(ideal, 2.5 * shape.rows * shape.columns);
    }
  }
}

TEST_F(CodingTileTest, IdealBitsByHand) {
  Matrix m{{1, 3}, false, {0}, {0, 0, 0}, {0, 1, -300}};
  m.tables = {FrequencyTable::Fit({800.0, 100.0, 0.0, 1.0})};
  const FrequencyTable& table = m.tables[0];
  ASSERT_TRUE(table.has_escape());
  EXPECT_DOUBLE_EQ(IdealBits(m.shape, m.k.data(), m.contexts()), table.bits(0) + table.bits(1) + table.bits(-300));
}

TEST_F(CodingTileTest, CountsByContextAndQuantizer) {
  const std::vector<int32_t> k = {1, 2, -3, 3, 1};  // quantizers 0 1 1 1 0, see above
  const std::vector<uint8_t> row_class = {0, 0, 1, 0, 0}, column_class = {0};
  std::vector<double> counts(4 * 3);
  CountMagnitudes({5, 1}, k.data(), {row_class, column_class}, true, 3, absl::MakeSpan(counts));
  EXPECT_EQ(counts, (std::vector<double>{0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1}));
}

TEST_F(CodingTileTest, Crc32OfCheckString) {
  const std::string text = "123456789";
  EXPECT_EQ(Crc32({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), 0xcbf43926u);
  EXPECT_EQ(Crc32({}), 0u);
}

void ExpectCorrupt(const std::vector<uint8_t>& payload, const Matrix& m, std::string_view what) {
  std::vector<int32_t> k(m.k.size());
  const DecodeTables tables(m.tables, m.dependent);
  OnEveryKernel([&](std::string_view name) {
    const absl::Status status = DecodeTile(payload, m.shape, m.classes(), tables, k.data());
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_EQ(ReasonOf(status), "TILE_CORRUPT") << name;
    EXPECT_NE(ToStd(status.message()).find(what), std::string_view::npos) << name << status;
  });
}

TEST_F(CodingTileTest, MalformedPayloads) {
  Matrix m = NormalMatrix({6, 40}, 1, true, 2, 30, 31);
  const std::vector<uint8_t> good = *EncodeTile(m.shape, m.k.data(), m.contexts(), 2);
  ASSERT_EQ(good[0], 0x09);
  std::vector<uint8_t> bad;
  const auto edit = [&](size_t at, uint8_t byte) { bad = good, bad[at] = byte; };
  ExpectCorrupt({}, m, "empty");
  edit(0, 0x19), ExpectCorrupt(bad, m, "first byte");
  edit(0, 0x0e), ExpectCorrupt(bad, m, "first byte");
  edit(1, 0), ExpectCorrupt(bad, m, "length of its escapes");
  ExpectCorrupt({0x09, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, m, "length of its escapes");
  ExpectCorrupt({0x09, 0x80}, m, "length of its escapes");
  ExpectCorrupt({0x09, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3}, m, "ends early");
  ExpectCorrupt({0x01, 0, 0, 1, 0, 0, 0, 1}, m, "ends early");
  ExpectCorrupt({0x01, 0, 0, 1, 0, 0, 0, 1, 0, 9}, m, "cut in the middle");
  ExpectCorrupt({0x01, 0xff, 0xff, 0, 0, 0, 0, 1, 0}, m, "starts below");
  bad = good, bad.insert(bad.end() - good[1], {0, 0}), ExpectCorrupt(bad, m, "do not end with its weights");
  bad = good, bad.push_back(0), ++bad[1], ExpectCorrupt(bad, m, "escapes do not end");
  // A state too far: everything is there, but does not end at 2^16.
  const Matrix zeros = Plain({4, 4}, std::vector<int32_t>(16, 0), false);
  ExpectCorrupt({0x00, 1, 0, 1, 0}, zeros, "does not end at 2^16");
  ExpectCorrupt({0x00, 0, 0, 1, 0, 0, 0}, zeros, "do not end with its weights");
}

TEST_F(CodingTileTest, WordsEndEarly) {
  std::vector<int32_t> nine_values;
  for (int i = 0; i < 4096; ++i) nine_values.push_back(i * i * 7 % 9 - 4 + i % 2);
  const Matrix m = Plain({64, 64}, nine_values, false);
  ASSERT_FALSE(m.tables[0].has_escape());
  for (int lanes : kLaneCounts) {
    std::vector<uint8_t> payload = *EncodeTile(m.shape, m.k.data(), m.contexts(), lanes);
    const auto words = payload.begin() + 1 + 4 * lanes;
    payload.erase(words, words + 200);
    ExpectCorrupt(payload, m, "words end early");
  }
}

TEST_F(CodingTileTest, EscapesTooLarge) {
  Matrix m{{1, 1}, false, {0}, {0}, {kMaxInteger}};
  FitTables(m, 1);
  const std::vector<uint8_t> good = *EncodeTile(m.shape, m.k.data(), m.contexts(), 1);
  // u = 2^30 - m is 30 bits long; one more zero in front makes it 2^30 and more.
  BitWriter bits;
  bits.WriteGolomb(static_cast<uint32_t>(kMaxInteger - m.tables[0].max_magnitude()), 0);
  bits.Write(0, 1);
  const std::vector<uint8_t> escapes = bits.Take();
  std::vector<uint8_t> bad(good.begin(), good.end() - good[1]);
  bad.insert(bad.end(), escapes.begin(), escapes.end());
  bad[1] = static_cast<uint8_t>(escapes.size());
  ExpectCorrupt(bad, m, "escape is malformed");
}

TEST_F(CodingTileTest, MismatchedClasses) {
  Matrix m = NormalMatrix({6, 40}, 3, true, 2, 0, 33);
  const std::vector<uint8_t> good = *EncodeTile(m.shape, m.k.data(), m.contexts(), 2);
  Matrix bad = m;
  bad.row_class[3] = 3;
  ExpectCorrupt(good, bad, "no frequency table");
  bad = m;
  bad.column_class.pop_back();
  ExpectCorrupt(good, bad, "do not match");
  bad = m;
  bad.shape = {0, 40};
  bad.row_class.clear();
  ExpectCorrupt(good, bad, "no rows");
}

// Every flipped bit and every truncation fails or decodes to something; none reads outside (the sanitizers see that).
TEST_F(CodingTileTest, DamageIsHarmless) {
  for (const bool dependent : {false, true}) {
    for (const int lanes : {1, 8, 32}) {
      const Matrix m = NormalMatrix({6, 40}, 3, dependent, 2, 40, 34);
      const DecodeTables tables(m.tables, dependent);
      const std::vector<uint8_t> good = *EncodeTile(m.shape, m.k.data(), m.contexts(), lanes);
      std::vector<float> column_scale(40, 1.5f), row_scale(6, 0.25f), out(240);
      OnEveryKernel([&](std::string_view name) {
        const auto decode = [&](const std::vector<uint8_t>& payload) {
          std::vector<int32_t> k(m.k.size());
          const absl::Status status = DecodeTile(payload, m.shape, m.classes(), tables, k.data());
          const absl::Status scaled = DecodeTileTo(payload, m.shape, m.classes(), tables, column_scale.data(),
                                                   row_scale.data(), Output::kF32, out.data(), 40);
          EXPECT_EQ(status, scaled);
          EXPECT_EQ(ReasonOf(status), status.ok() ? "" : "TILE_CORRUPT");
          return status.ok();
        };
        ASSERT_TRUE(decode(good)) << name;
        for (size_t size = 0; size < good.size(); ++size) {
          EXPECT_FALSE(decode(std::vector<uint8_t>(good.begin(), good.begin() + size))) << size;
        }
        int passed = 0;
        for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
          std::vector<uint8_t> bad = good;
          bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
          passed += decode(bad);
        }
        EXPECT_LE(passed, 8 * good[1]) << name;  // signs and low bits of escapes
      });
    }
  }
}

}  // namespace
}  // namespace nashswarm::coding
