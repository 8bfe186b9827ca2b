// Every SIMD target of this machine against the plain reference and against the formula, to the bit.
#include "core/coding/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/coding/trellis.h"
#include "tests/unit/coding/test_data.h"

namespace nashswarm::coding {
namespace {

class CodingKernelsTest : public testing::Test {
 protected:
  ~CodingKernelsTest() override {
    ForceScalarKernels(false);
    UseKernelTarget(0);
  }
};

TEST_F(CodingKernelsTest, TargetsAreNamedAndSwitchable) {
  EXPECT_NE(KernelTargets(), 0);
  std::multiset<std::string> names;
  OnEveryKernel([&](std::string_view name) {
    names.emplace(name);
    EXPECT_EQ(ActiveKernels().name, name);
  });
  EXPECT_EQ(names.size(), std::set<std::string>(names.begin(), names.end()).size());
  EXPECT_GT(names.size(), 1u);
}

// The reconstruction numbers of a tile, from its integers.
std::vector<int64_t> Reconstructions(const Matrix& m) {
  std::vector<int64_t> n(m.k.begin(), m.k.end());
  if (!m.dependent) return n;
  for (uint32_t c = 0; c < m.shape.columns; ++c) {
    int state = 0;
    for (size_t i = c; i < m.k.size(); i += m.shape.columns) {
      n[i] = Reconstruction(QuantizerOf(state), m.k[i]);
      state = NextState(state, m.k[i]);
    }
  }
  return n;
}

uint32_t Stored(float weight, Output output) {
  switch (output) {
    case Output::kF32: return std::bit_cast<uint32_t>(weight);
    case Output::kF16: return FloatToHalf(weight);
    case Output::kBF16: return FloatToBFloat16(weight);
  }
  return 0;
}

void ExpectAgreement(const Matrix& m, const std::vector<float>& column_scale, const std::vector<float>& row_scale) {
  const DecodeTables tables(m.tables, m.dependent);
  const std::vector<int64_t> n = Reconstructions(m);
  const size_t columns = m.shape.columns, stride = columns + 3;
  for (int lanes : {1, 2, 4, 8, 16, 32}) {
    const auto payload = EncodeTile(m.shape, m.k.data(), m.contexts(), lanes);
    ASSERT_TRUE(payload.ok());
    for (const Output output : {Output::kF32, Output::kF16, Output::kBF16}) {
      const size_t bytes = output == Output::kF32 ? 4 : 2;
      std::vector<uint8_t> expected(m.shape.rows * stride * bytes, 0xa5);  // gaps between rows stay as they are
      for (size_t i = 0; i < n.size(); ++i) {
        const volatile float scaled = static_cast<float>(n[i]) * column_scale[i % columns];
        const uint32_t stored = Stored(scaled * row_scale[i / columns], output);
        std::memcpy(expected.data() + (i / columns * stride + i % columns) * bytes, &stored, bytes);
      }
      OnEveryKernel([&](std::string_view name) {
        std::vector<uint8_t> out(expected.size(), 0xa5);
        ASSERT_TRUE(DecodeTileTo(*payload, m.shape, m.classes(), tables, column_scale.data(), row_scale.data(), output,
                                 out.data(), stride)
                        .ok());
        EXPECT_EQ(out, expected) << name << " lanes " << lanes << " output " << static_cast<int>(output);
      });
    }
  }
}

std::vector<float> Scales(size_t size, float low, float high, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> scales;
  for (size_t i = 0; i < size; ++i) {
    scales.push_back(low * std::pow(high / low, static_cast<float>(random()) / 4294967296.0f));
  }
  return scales;
}

TEST_F(CodingKernelsTest, AgreeOnScaledWeights) {
  uint32_t seed = 100;
  for (const bool dependent : {false, true}) {
    for (const TileShape shape : {TileShape{1, 1}, {3, 31}, {5, 64}, {9, 104}}) {
      const Matrix m = NormalMatrix(shape, 4, dependent, 3, 40, ++seed);
      ExpectAgreement(m, Scales(shape.columns, 0.5f, 2, seed), Scales(shape.rows, 0.001f, 0.1f, seed));
    }
  }
}

TEST_F(CodingKernelsTest, AgreeOnWideIntegers) {
  for (const bool dependent : {false, true}) {
    const Matrix m = NormalMatrix({20, 96}, 1, dependent, 50, 0, 9);
    ExpectAgreement(m, Scales(96, 0.5f, 2, 1), Scales(20, 0.01f, 1, 2));
  }
}

// Half-precision subnormals, weights that vanish, and those that overflow half or single precision.
TEST_F(CodingKernelsTest, AgreeAtTheEdgesOfTheTypes) {
  for (const bool dependent : {false, true}) {
    const Matrix m = NormalMatrix({24, 96}, 2, dependent, 3, 60, 10);
    std::vector<float> rows = Scales(24, 0x1p-30f, 0x1p-10f, 3);
    ExpectAgreement(m, Scales(96, 0.25f, 4, 4), rows);  // around 2^-24..2^-14
    rows = Scales(24, 0x1p-149f, 0x1p-120f, 5);
    ExpectAgreement(m, Scales(96, 0x1p-10f, 1, 6), rows);  // single-precision subnormals
    rows = Scales(24, 0x1p8f, 0x1p16f, 7);
    ExpectAgreement(m, Scales(96, 0.25f, 4, 8), rows);  // around 65504
    rows = Scales(24, 0x1p-3f, 0x1p30f, 9);
    std::vector<float> columns = Scales(96, 0x1p100f, 0x1p127f, 10);
    columns[5] = -columns[5];
    std::fill(columns.begin() + 40, columns.end(), 0x1.8p127f);
    rows[2] = 0;
    rows[3] = -rows[3];
    ExpectAgreement(m, columns, rows);  // infinities, and infinity times zero
  }
}

// Every half and the midpoints between neighbours: rounding is to nearest even.
TEST_F(CodingKernelsTest, AgreeOnEveryRounding) {
  Matrix m;
  m.shape = {65, 992};
  m.row_class.assign(65, 0);
  m.column_class.assign(992, 0);
  m.k.assign(65 * 992, 1);
  FitTables(m, 1);
  for (const uint32_t offset : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0x1fffu}) {
    std::vector<float> columns;
    for (uint32_t c = 0; c < 992; ++c) columns.push_back(std::bit_cast<float>(0x32000000u + (c << 18) + offset));
    std::vector<float> rows(65, 1.0f);
    ExpectAgreement(m, columns, rows);
  }
}

}  // namespace
}  // namespace nashswarm::coding
