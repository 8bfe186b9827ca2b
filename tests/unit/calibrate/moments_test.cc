#include "core/calibrate/moments.h"

#include <gtest/gtest.h>

#include <random>

#include "core/calibrate/overlay.h"

namespace nashswarm::calibrate {
namespace {

std::vector<float> RandomInputs(uint64_t tokens, uint64_t width) {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(tokens * width);
  for (float& value : x) value = normal(generator);
  return x;
}

TEST(MomentsTest, CollectsTheSecondMoment) {
  for (const uint64_t width : {1, 3, 127, 130, 300}) {
    const uint64_t tokens = 50;
    const std::vector<float> x = RandomInputs(tokens, width);
    MomentCollector collector(1000, 2);
    collector.Input("in", x.data(), 20, width);  // in two parts
    collector.Input("in", x.data() + 20 * width, 30, width);
    const InputMoment moment = collector.Take("in");
    ASSERT_TRUE(moment.full);
    const std::vector<float> h = Unpack(moment);
    for (uint64_t r = 0; r < width; ++r) {
      for (uint64_t c = 0; c < width; ++c) {
        double expected = 0;
        for (uint64_t t = 0; t < tokens; ++t) expected += static_cast<double>(x[t * width + r]) * x[t * width + c];
        ASSERT_NEAR(h[r * width + c], expected / tokens, 1e-5) << width << ": " << r << ", " << c;
      }
    }
    const std::vector<float> diagonal = DiagonalOf(moment);
    for (uint64_t r = 0; r < width; ++r) EXPECT_EQ(diagonal[r], h[r * width + r]);
  }
}

TEST(MomentsTest, ThreadsDoNotChangeTheSum) {
  const std::vector<float> x = RandomInputs(3000, 200);  // more than one block of tokens
  std::vector<float> first;
  for (const int threads : {1, 2, 5}) {
    MomentCollector collector(1000, threads);
    collector.Input("in", x.data(), 3000, 200);
    const InputMoment moment = collector.Take("in");
    if (first.empty()) first = moment.values;
    EXPECT_EQ(moment.values, first) << threads;
  }
}

TEST(MomentsTest, WideInputsKeepTheirDiagonalOnly) {
  const std::vector<float> x = {1, 2, 3, 4};
  MomentCollector collector(1, 1);
  collector.Input("in", x.data(), 2, 2);
  const InputMoment moment = collector.Take("in");
  EXPECT_FALSE(moment.full);
  EXPECT_EQ(moment.values, (std::vector<float>{(1 + 9) / 2.0f, (4 + 16) / 2.0f}));
}

}  // namespace
}  // namespace nashswarm::calibrate
