// Every SIMD target of this machine against the plain reference, to the bit.
#include "core/quant/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "core/quant/error.h"
#include "tests/unit/quant/test_data.h"

namespace nashswarm::quant {
namespace {

// Runs `check` with the kernels of each instruction set in turn, then restores the defaults.
template <typename Check>
void OnEveryTarget(Check check) {
  for (int64_t targets = KernelTargets(); targets != 0; targets &= targets - 1) {
    UseKernelTarget(targets & -targets);
    SCOPED_TRACE(SimdKernels().name);
    check();
  }
  UseKernelTarget(0);
}

// Clears the override of the active kernels however a test ends.
class QuantKernelsTest : public testing::Test {
 protected:
  ~QuantKernelsTest() override {
    ForceScalarKernels(false);
    UseKernelTarget(0);
  }

  static std::vector<uint8_t> Reference(Format format, const std::vector<float>& row,
                                        const std::vector<float>& importance) {
    ForceScalarKernels(true);
    std::vector<uint8_t> bytes = Encode(format, row, importance);
    ForceScalarKernels(false);
    return bytes;
  }

  static void ExpectAgreement(const NamedRow& row, const std::vector<float>& importance) {
    SCOPED_TRACE(row.name);
    for (const FormatInfo& info : AllFormats()) {
      const std::vector<uint8_t> expected = Reference(info.format, row.weights, importance);
      OnEveryTarget([&] { EXPECT_EQ(Encode(info.format, row.weights, importance), expected) << info.name; });
    }
  }
};

TEST_F(QuantKernelsTest, TargetsAreNamedAndSwitchable) {
  EXPECT_NE(KernelTargets(), 0);
  const std::string best(KernelTarget());
  std::vector<std::string> names;
  OnEveryTarget([&] { names.emplace_back(KernelTarget()); });
  EXPECT_EQ(names.size(), std::set<std::string>(names.begin(), names.end()).size());
  EXPECT_EQ(KernelTarget(), best);
  ForceScalarKernels(true);
  EXPECT_EQ(KernelTarget(), "PLAIN");
}

TEST_F(QuantKernelsTest, AgreeOnRandomRows) {
  // Row lengths that fill the last group of 16 blocks to different degrees.
  for (uint32_t supers = 1; supers <= 5; ++supers) {
    const size_t size = 256 * supers;
    ExpectAgreement({"normal", NormalRow(size, supers)}, {});
    ExpectAgreement({"heavy-tailed", HeavyTailedRow(size, supers)}, {});
    ExpectAgreement({"normal, weighted", NormalRow(size, supers)}, Importance(size, supers));
    ExpectAgreement({"heavy-tailed, weighted", HeavyTailedRow(size, supers)}, Importance(size, supers));
  }
}

TEST_F(QuantKernelsTest, AgreeOnShortRows) {
  for (size_t blocks = 1; blocks <= 19; ++blocks) {
    const std::vector<float> row = NormalRow(32 * blocks, 40), importance = Importance(32 * blocks, 41);
    for (Format format :
         {Format::kQ8_0, Format::kQ5_0, Format::kQ4_0, Format::kIQ4_NL, Format::kMXFP4, Format::kQ5_1,
          Format::kQ4_1}) {
      for (const std::vector<float>& w : {std::vector<float>{}, importance}) {
        const std::vector<uint8_t> expected = Reference(format, row, w);
        OnEveryTarget([&] { EXPECT_EQ(Encode(format, row, w), expected) << blocks; });
      }
    }
  }
}

TEST_F(QuantKernelsTest, AgreeOnAwkwardRows) {
  std::vector<float> sparse = Importance(768, 50);
  for (size_t i = 0; i < sparse.size(); ++i) sparse[i] *= i % 3 == 0 ? 1e6f : i / 256 == 1 ? 0.0f : 1e-6f;
  for (const NamedRow& row : AwkwardRows(768)) {
    ExpectAgreement(row, {});
    ExpectAgreement(row, sparse);
  }
}

TEST_F(QuantKernelsTest, AgreeOnErrors) {
  for (size_t size : {1, 8, 13, 256, 1003}) {
    const std::vector<float> row = HeavyTailedRow(size, 60), decoded = NormalRow(size, 61), w = Importance(size, 62);
    for (const std::vector<float>& importance : {std::vector<float>{}, w}) {
      ForceScalarKernels(true);
      const RowError expected = CompareRows(row, decoded, importance);
      ForceScalarKernels(false);
      OnEveryTarget([&] {
        EXPECT_EQ(CompareRows(row, decoded, importance).error, expected.error) << size;
        EXPECT_EQ(CompareRows(row, decoded, importance).energy, expected.energy) << size;
      });
    }
  }
}

// Rounding around every threshold, where a table-driven kernel could slip by one.
void ExpectThresholds(const Codebook& book) {
  const Grid grid = GridOf(book);
  std::vector<float> t;
  for (int k = -2600; k <= 2600; ++k) t.push_back(0.05f * static_cast<float>(k));
  for (int k = 0; k + 1 < book.size; ++k) {
    const float threshold = 0.5f * (book.level[k] + book.level[k + 1]);
    t.insert(t.end(), {threshold, std::nextafter(threshold, -999.0f), std::nextafter(threshold, 999.0f)});
  }
  t.resize((t.size() + 31) / 32 * 32, 1e30f);
  for (size_t first = 0; first < t.size(); first += 32) {
    Group group;
    const Lanes unit = {1.0f};
    const float one = 1.0f, zero = 0.0f;
    ScalarKernels().load(t.data() + first, nullptr, 1, 32, group);
    ScaleSums expected, sums;
    uint8_t expected_q[32], q[32];
    ScalarKernels().scale_sums(group, grid, unit, expected);
    ScalarKernels().round(t.data() + first, 1, 32, grid, &one, &zero, expected_q);
    OnEveryTarget([&] {
      SimdKernels().load(t.data() + first, nullptr, 1, 32, group);
      SimdKernels().scale_sums(group, grid, unit, sums);
      SimdKernels().round(t.data() + first, 1, 32, grid, &one, &zero, q);
      EXPECT_EQ(sums.qq[0], expected.qq[0]) << t[first];
      EXPECT_EQ(sums.xq[0], expected.xq[0]) << t[first];
      EXPECT_TRUE(std::equal(q, q + 32, expected_q)) << t[first];
    });
    for (int i = 0; i < 32; ++i) {  // the reference itself: no other level is nearer
      ASSERT_LT(expected_q[i], book.size);
      for (const float level : book.level) {
        EXPECT_LE(std::fabs(book.level[expected_q[i]] - t[first + i]), std::fabs(level - t[first + i]));
      }
    }
  }
}

TEST_F(QuantKernelsTest, CodebookThresholds) {
  ExpectThresholds(kCodebookIQ4);
  ExpectThresholds(kCodebookE2M1);
}

}  // namespace
}  // namespace nashswarm::quant
