#include "core/nsq/code_lengths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace nashswarm::nsq {
namespace {

Counts OneTable(std::initializer_list<uint64_t> counts) {
  Counts all(counts);
  all.resize(kHistogram);
  return all;
}

// Sum of the probabilities that a table of lengths means, both signs.
double Kraft(absl::Span<const float> lengths) {
  double sum = 0;
  for (size_t v = 0; v < lengths.size(); ++v) sum += (v > 0 ? 2 : 1) * std::exp2(-static_cast<double>(lengths[v]));
  return sum;
}

TEST(CodeLengthsTest, IdealBitsAreTheEntropyOfSignedIntegers) {
  // 0 with probability 1/2, +1 and -1 with 1/4 each.
  EXPECT_DOUBLE_EQ(IdealBits(OneTable({512, 512})), 512 * 1 + 512 * 2);
  EXPECT_EQ(IdealBits(OneTable({100})), 0);
  EXPECT_EQ(IdealBits(OneTable({})), 0);
  Counts two = OneTable({512, 512});
  const Counts second = OneTable({0, 0, 8});
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_DOUBLE_EQ(IdealBits(two), 512 * 3 + 8);
}

TEST(CodeLengthsTest, FirstLengthsAreThoseOfNormalWeights) {
  const CodeLengths plain(false, {1.0});
  EXPECT_NEAR(plain.of_table(0)[0], -std::log2(std::erf(0.5 / std::sqrt(2.0))), 1e-5);
  const double one = 0.5 * (std::erf(1.5 / std::sqrt(2.0)) - std::erf(0.5 / std::sqrt(2.0)));
  EXPECT_NEAR(plain.of_table(0)[1], -std::log2(one), 1e-5);
  // Each quantizer divides all weights among its levels.
  const CodeLengths dependent(true, {2.0, 7.0});
  for (int t = 0; t < 4; ++t) EXPECT_NEAR(Kraft(dependent.of_table(t)), 1.0, 0.02) << t;
}

TEST(CodeLengthsTest, LearnsTheEntropyAndThenGoesFarther) {
  CodeLengths lengths(false, {1.0});
  lengths.Learn(OneTable({500000, 400000, 100000}));
  EXPECT_NEAR(lengths.of_table(0)[0], 1.0, 1e-4);
  EXPECT_NEAR(lengths.of_table(0)[1], 1 - std::log2(0.4), 1e-4);
  EXPECT_NEAR(lengths.of_table(0)[2], 1 - std::log2(0.1), 1e-4);
  lengths.Learn(OneTable({600000, 300000, 100000}));
  EXPECT_LT(lengths.of_table(0)[0], -std::log2(0.6));       // zeros became more; they will go on
  EXPECT_GT(lengths.of_table(0)[1], 1 - std::log2(0.3));
  EXPECT_NEAR(lengths.of_table(0)[2], 1 - std::log2(0.1), 1e-4);
}

TEST(CodeLengthsTest, UnseenMagnitudesCostAtMostAnEscapeAndMoreTheFartherOff) {
  CodeLengths lengths(false, {1.0});
  lengths.Learn(OneTable({1000000, 10}));
  for (int v = 3; v < 40; ++v) {
    EXPECT_GE(lengths.of_table(0)[v], lengths.of_table(0)[v - 1]) << v;
    EXPECT_LE(lengths.of_table(0)[v], 12 + 2 * (v - 1)) << v;
  }
  EXPECT_GT(lengths.of_table(0)[5], 15.0f);
}

TEST(CodeLengthsTest, ATableWithoutCountsKeepsItsLengths) {
  CodeLengths lengths(false, {1.0});
  const float before[] = {lengths.of_table(0)[0], lengths.of_table(0)[1], lengths.of_table(0)[2]};
  lengths.Learn(OneTable({}));
  // But for what makes the probabilities sum to one.
  for (int v = 1; v < 3; ++v) {
    EXPECT_NEAR(lengths.of_table(0)[v] - lengths.of_table(0)[0], before[v] - before[0], 1e-4) << v;
  }
}

TEST(CodeLengthsTest, LengthsStayPositiveWhateverIsLearnt) {
  CodeLengths lengths(false, {3.0});
  for (int round = 0; round < 20; ++round) lengths.Learn(round % 2 == 0 ? OneTable({1000}) : OneTable({0, 1000}));
  for (const float bits : lengths.of_table(0)) {
    EXPECT_GE(bits, 0.0f);
    EXPECT_TRUE(std::isfinite(bits));
  }
}

}  // namespace
}  // namespace nashswarm::nsq
