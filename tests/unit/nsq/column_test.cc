// The search inside columns: every instruction set against the plain kernel, and that against a search in double precision
// that looks at every integer.
#include "core/nsq/column.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/coding/trellis.h"
#include "tests/unit/nsq/test_data.h"

namespace nashswarm::nsq {
namespace {

// Code lengths that grow with the magnitude, in whole 256ths of a bit; another slope in every table.
std::vector<float> Lengths(int tables) {
  std::vector<float> lengths;
  for (int t = 0; t < tables; ++t) {
    for (int v = 0; v < kRateWidth; ++v) lengths.push_back(1.0f + 0.25f * static_cast<float>(t) + static_cast<float>((t + 3) * v) / 4.0f);
  }
  return lengths;
}

// Eight columns and their choice.
struct Columns {
  Columns(int rows, bool dependent, int row_classes, int column_classes)
      : lengths(Lengths((row_classes + column_classes - 1) * (dependent ? 2 : 1))),
        rates(dependent, lengths),
        values(size_t{kLanes} * rows), row_class(size_t{kLanes} * rows), integers(values.size(), 77), errors(values.size(), 77),
        cells(values.size(), 77) {
    problem.rows = rows;
  }

  void Choose() {
    problem.rates = &rates;
    problem.values = values.data();
    problem.row_class = row_class.data();
    ColumnsScratch scratch;
    ColumnsChoice choice{integers.data(), errors.data(), cells.data()};
    std::fill(choice.squared_error, choice.squared_error + kLanes, 77.0);
    ChooseColumns(problem, &scratch, &choice);
    std::copy(choice.squared_error, choice.squared_error + kLanes, squared_error.begin());
  }

  float length(int table, int magnitude) const { return lengths[static_cast<size_t>(table) * kRateWidth + magnitude]; }

  std::vector<float> lengths;
  ChoiceRates rates;
  std::vector<float> values;
  std::vector<uint8_t> row_class;
  ColumnsProblem problem;
  std::vector<int32_t> integers;
  std::vector<float> errors;
  std::vector<uint32_t> cells;
  std::array<double, kLanes> squared_error{};
};

// Full columns of normal values, all of one class and one price.
Columns NormalColumns(int rows, bool dependent, float spread, float price) {
  Columns columns(rows, dependent, 1, 1);
  columns.values = Weights(columns.values.size(), std::normal_distribution<float>(0, spread));
  std::fill_n(columns.problem.lane_rows, kLanes, rows);
  std::fill_n(columns.problem.price, kLanes, price);
  return columns;
}

// Everything differs from lane to lane, with values that are hard to place among them.
Columns MixedColumns(int rows, bool dependent, unsigned seed) {
  Columns columns(rows, dependent, 3, 4);
  std::mt19937 random(seed);
  const float hard[] = {0.0f, -0.0f, 0.5f, -1.5f, 2.0f, -3.0f, 1e-38f, 59999.5f, -60000.0f, 1e6f, -3e38f, 127.5f, 254.0f, -509.0f};
  std::normal_distribution<float> normal(0, 3);
  for (size_t i = 0; i < columns.values.size(); ++i) {
    columns.values[i] = random() % 8 == 0 ? hard[random() % std::size(hard)] : normal(random);
    columns.row_class[i] = static_cast<uint8_t>(random() % 3);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    columns.problem.lane_rows[lane] = random() % 4 == 0 ? static_cast<int>(random() % (rows + 1)) : rows;
    columns.problem.column_class[lane] = static_cast<int32_t>(random() % 4);
    columns.problem.price[lane] = static_cast<float>(random() % 5) * 0.3f;
  }
  return columns;
}

std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float v : values) bits.push_back(std::bit_cast<uint32_t>(v));
  return bits;
}

TEST(ColumnTest, EveryInstructionSetGivesTheSameBits) {
  EXPECT_NE(ColumnTargets(), 0);
  for (const bool dependent : {false, true}) {
    for (const int rows : {1, 2, 3, 7, 8, 9, 31, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 30'000}) {
      Columns columns = MixedColumns(rows, dependent, static_cast<unsigned>(rows));
      ForceScalarColumns(true);
      columns.Choose();
      const Columns plain = columns;
      OnEveryColumnKernel([&](const std::string& name) {
        Columns other = MixedColumns(rows, dependent, static_cast<unsigned>(rows));
        other.Choose();
        EXPECT_EQ(other.integers, plain.integers) << name << ' ' << rows << ' ' << dependent;
        EXPECT_EQ(Bits(other.errors), Bits(plain.errors)) << name << ' ' << rows << ' ' << dependent;
        EXPECT_EQ(other.cells, plain.cells) << name << ' ' << rows << ' ' << dependent;
        EXPECT_EQ(other.squared_error, plain.squared_error) << name << ' ' << rows << ' ' << dependent;
      });
    }
  }
}

// Follows the states: what was chosen must stand for the value less its error, and be counted where its table is.
TEST(ColumnTest, ErrorsAndCellsAreThoseOfTheIntegers) {
  for (const bool dependent : {false, true}) {
    Columns columns = MixedColumns(300, dependent, 5);
    columns.Choose();
    for (int lane = 0; lane < kLanes; ++lane) {
      int state = 0;
      double sum = 0;
      for (int row = 0; row < 300; ++row) {
        const size_t at = static_cast<size_t>(row) * kLanes + lane;
        const int32_t k = columns.integers[at];
        if (row >= columns.problem.lane_rows[lane]) {
          EXPECT_EQ(k, 0);
          EXPECT_EQ(columns.errors[at], 0);
          EXPECT_EQ(columns.cells[at], static_cast<uint32_t>(columns.rates.tables()) * kHistogram);
          continue;
        }
        const int quantizer = dependent ? coding::QuantizerOf(state) : 0;
        const int context = columns.row_class[at] + columns.problem.column_class[lane];
        const int table = dependent ? 2 * context + quantizer : context;
        const auto steps = static_cast<float>(dependent ? coding::Reconstruction(quantizer, k) : k);
        ASSERT_EQ(columns.errors[at], columns.values[at] - steps) << row << ' ' << lane;
        ASSERT_EQ(columns.cells[at], static_cast<uint32_t>(table * kHistogram + std::min(std::abs(k), kHistogram - 1)));
        if (k != 0) { EXPECT_EQ(k < 0, columns.values[at] < 0); }
        sum += std::pow(static_cast<double>(columns.errors[at]), 2);
        state = coding::NextState(state, k);
      }
      EXPECT_NEAR(columns.squared_error[lane], sum, 1e-9 * sum) << lane;
    }
  }
}

TEST(ColumnTest, ALaneDoesNotLookAtItsNeighbours) {
  for (const bool dependent : {false, true}) {
    Columns all = MixedColumns(200, dependent, 9);
    all.Choose();
    for (int lane = 0; lane < kLanes; ++lane) {
      Columns alone(200, dependent, 3, 4);
      const int other = (lane + 3) % kLanes;
      for (size_t at = 0; at < 200; ++at) {
        alone.values[at * kLanes + other] = all.values[at * kLanes + lane];
        alone.row_class[at * kLanes + other] = all.row_class[at * kLanes + lane];
      }
      alone.problem.lane_rows[other] = all.problem.lane_rows[lane];
      alone.problem.column_class[other] = all.problem.column_class[lane];
      alone.problem.price[other] = all.problem.price[lane];
      alone.Choose();
      for (size_t at = 0; at < 200; ++at) ASSERT_EQ(alone.integers[at * kLanes + other], all.integers[at * kLanes + lane]);
    }
  }
}

TEST(ColumnTest, WithoutAPricePlainIntegersAreTheNearest) {
  Columns columns = NormalColumns(500, false, 4, 0);
  columns.Choose();
  for (const float error : columns.errors) ASSERT_LE(std::abs(error), 0.5f);
}

TEST(ColumnTest, AHighPriceBuysTheShortestCodes) {
  for (const bool dependent : {false, true}) {
    Columns columns = NormalColumns(500, dependent, 1, 1000);
    for (float& v : columns.values) v = std::clamp(v, -0.99f, 0.99f);
    columns.Choose();
    for (const int32_t k : columns.integers) ASSERT_EQ(k, 0) << dependent;
  }
}

TEST(ColumnTest, APlainValueMovesDownWhereTheBitsSavedAreWorthIt) {
  // The nearest integer of 1.8 is 2, 0.04 against 0.64; it costs 0.75 bit more: down from a price of 0.8 on.
  for (const float price : {0.79f, 0.81f}) {
    Columns columns = NormalColumns(1, false, 1, price);
    columns.values.assign(kLanes, -1.8f);
    columns.Choose();
    EXPECT_EQ(columns.integers[0], price < 0.8f ? -2 : -1);
  }
}

// The least error + price * length of any path, over integers up to `most`.
double LeastCost(const Columns& columns, int lane, int most) {
  std::array<double, coding::kTrellisStates> path;
  path.fill(std::numeric_limits<double>::infinity());
  path[0] = 0;
  for (int row = 0; row < columns.problem.rows; ++row) {
    const double value = std::abs(static_cast<double>(columns.values[static_cast<size_t>(row) * kLanes + lane]));
    std::array<double, coding::kTrellisStates> next;
    next.fill(std::numeric_limits<double>::infinity());
    for (int state = 0; state < coding::kTrellisStates; ++state) {
      const int quantizer = coding::QuantizerOf(state);
      for (int k = 0; k <= most; ++k) {
        const double off = value - static_cast<double>(coding::Reconstruction(quantizer, k));
        const double cost = path[state] + off * off + static_cast<double>(columns.problem.price[lane]) * columns.length(quantizer, k);
        double& to = next[coding::NextState(state, k)];
        to = std::min(to, cost);
      }
    }
    path = next;
  }
  return *std::min_element(path.begin(), path.end());
}

double ChosenCost(const Columns& columns, int lane) {
  double cost = columns.squared_error[lane];
  for (int row = 0; row < columns.problem.rows; ++row) {
    const uint32_t cell = columns.cells[static_cast<size_t>(row) * kLanes + lane];
    const float length = columns.length(static_cast<int>(cell / kHistogram), static_cast<int>(cell % kHistogram));
    cost += static_cast<double>(columns.problem.price[lane]) * length;
  }
  return cost;
}

TEST(ColumnTest, TheTrellisFindsTheBestPath) {
  // Without a price the best integer is next to the value; with one, of values below two steps at most 3 can be.
  for (const float price : {0.0f, 0.1f, 0.42f, 3.0f}) {
    for (const int rows : {1, 2, 5, 128, 300, 5000}) {
      Columns columns = NormalColumns(rows, true, price == 0 ? 6.0f : 0.8f, price);
      if (price > 0) {
        for (float& v : columns.values) v = std::clamp(v, -1.99f, 1.99f);
      }
      columns.Choose();
      for (int lane = 0; lane < kLanes; ++lane) {
        const double least = LeastCost(columns, lane, price == 0 ? 20 : 5);
        EXPECT_NEAR(ChosenCost(columns, lane), least, 1e-5 * least + 1e-9) << price << ' ' << rows << ' ' << lane;
      }
    }
  }
}

// Each quantizer's steps are two apart, as those of a plain one that takes as many bits. The trellis gains about 1.1 dB on
// it (Marcellin and Fischer 1990, eight states), of the 1.53 that any quantizer can gain.
TEST(ColumnTest, TheTrellisGainsADecibel) {
  Columns columns = NormalColumns(4000, true, 30, 0);
  columns.Choose();
  double sum = 0;
  for (const double error : columns.squared_error) sum += error;
  const double gain = 10 * std::log10(4.0 / 12.0 / (sum / static_cast<double>(columns.values.size())));
  EXPECT_GT(gain, 0.9);
  EXPECT_LT(gain, 1.53);
}

TEST(ColumnTest, LengthsBeyondTheLastAreTheLast) {
  const ChoiceRates rates(false, Lengths(1));
  EXPECT_EQ(rates.pairs()[kRateWidth - 1] & 0xffff, rates.pairs()[kRateWidth - 1] >> 16);
  const std::vector<float> endless(kRateWidth, 1e9f);
  EXPECT_EQ(ChoiceRates(false, endless).pairs()[0], 0xffffffffu);
}

TEST(ColumnTest, ErrorsAreFedInOrderOnEveryInstructionSet) {
  for (const int rows : {1, 5, 8, 15, 16, 17, 64, 67}) {
    for (const int count : {0, 1, 2, 3, 4, 7, 31}) {
      constexpr uint32_t kStride = 9;
      const std::vector<float> errors = NormalWeights(static_cast<size_t>(rows) * std::max(count, 1)),
                               factors = NormalWeights(kStride * 32, 2), before = NormalWeights(static_cast<size_t>(rows), 3);
      std::vector<float> expected = before;
      for (int p = 0; p < count; ++p) {
        for (int i = 0; i < rows; ++i) {
          const volatile float product = factors[static_cast<size_t>(p) * kStride] * errors[static_cast<size_t>(p) * rows + i];
          expected[i] -= product;
        }
      }
      OnEveryColumnKernel([&](const std::string& name) {
        std::vector<float> into = before;
        FeedErrors(errors.data(), factors.data(), kStride, count, rows, into.data());
        EXPECT_EQ(Bits(into), Bits(expected)) << name << ' ' << rows << ' ' << count;
      });
    }
  }
}

}  // namespace
}  // namespace nashswarm::nsq
