#include "core/game/routing/kernels.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "core/base/status.h"
#include "tests/unit/routing/reference.h"

namespace nashswarm::routing {
namespace {

class RoutingKernelsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    UseKernelTarget(0);
    ForceScalarKernels(false);
  }

  // Runs `check` with each instruction set of this machine.
  void OnEveryTarget(const std::function<void()>& check) {
    const int64_t targets = KernelTargets();  // of which UseKernelTarget leaves one
    int tried = 0;
    for (int bit = 0; bit < 63; ++bit) {
      if ((targets & (int64_t{1} << bit)) == 0) continue;
      UseKernelTarget(int64_t{1} << bit);
      ++tried;
      SCOPED_TRACE(std::string(SimdKernels().name));
      check();
    }
    UseKernelTarget(0);
    EXPECT_GT(tried, 0);
  }
};

template <typename T>
std::vector<uint64_t> Bits(const std::vector<T>& values) {
  std::vector<uint64_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) std::memcpy(&bits[i], &values[i], sizeof(T));
  return bits;
}

struct Selection {
  std::vector<float> values;
  std::vector<int32_t> ids;
};

Selection Select(const Kernels& kernels, const std::vector<float>& rows, size_t stride, size_t count, size_t keep) {
  Selection s{std::vector<float>(keep * kLanes), std::vector<int32_t>(keep * kLanes)};
  kernels.greatest(rows.data(), stride, count, keep, s.values.data(), s.ids.data());
  return s;
}

TEST_F(RoutingKernelsTest, TheGreatestAreSelectedAlikeAndStably) {
  using Sizes = std::vector<std::pair<size_t, size_t>>;
  for (const auto& [count, keep] : Sizes{{1, 1}, {5, 5}, {64, 16}, {128, 7}, {40, 39}}) {
    for (const bool odd : {false, true}) {
      std::vector<float> rows = RandomLogits(count, 24, 1);
      for (float& x : rows) x = odd ? std::round(x) : x;
      if (odd) {
        rows[3] = std::numeric_limits<float>::quiet_NaN();
        rows[4] = -std::numeric_limits<float>::infinity();
      }
      const Selection plain = Select(ScalarKernels(), rows, 24, count, keep);
      OnEveryTarget([&] {
        const Selection simd = Select(SimdKernels(), rows, 24, count, keep);
        EXPECT_EQ(Bits(simd.values), Bits(plain.values));
        EXPECT_EQ(simd.ids, plain.ids);
      });
      if (odd) continue;
      for (size_t lane = 0; lane < kLanes; ++lane) {
        std::vector<std::pair<float, int32_t>> sorted;
        for (size_t c = 0; c < count; ++c) sorted.push_back({-rows[c * 24 + lane], static_cast<int32_t>(c)});
        std::sort(sorted.begin(), sorted.end());
        for (size_t s = 0; s < keep; ++s) EXPECT_EQ(plain.ids[s * kLanes + lane], sorted[s].second);
      }
    }
  }
}

TEST_F(RoutingKernelsTest, ProductsAgreeToTheBit) {
  for (const size_t count : {1, 6, 128}) {
    for (const size_t width : {1, 9, 64}) {
      const std::vector<float> x = RandomLogits(width, kNeighbourBlock, 2);
      std::vector<float> plain(count * kNeighbourBlock), simd(plain.size());
      ScalarKernels().token_products(x.data(), width, count, plain.data());
      const double dot = ScalarKernels().dot(x.data(), x.data() + 3, width * 100);
      OnEveryTarget([&] {
        SimdKernels().token_products(x.data(), width, count, simd.data());
        EXPECT_EQ(Bits(simd), Bits(plain));
        EXPECT_EQ(SimdKernels().dot(x.data(), x.data() + 3, width * 100), dot);
      });
    }
  }
}

TEST_F(RoutingKernelsTest, CosinesAgreeToTheBit) {
  const FullGame game(16, 30, 2, 3);
  std::vector<int32_t> ids(7 * kLanes);
  for (size_t at = 0; at < ids.size(); ++at) ids[at] = static_cast<int32_t>((at * 11 + at / 16) % 30);
  std::vector<float> plain(ids.size()), simd(ids.size()), sums(ids.size());
  const float* products = game.centres.products().data();
  ScalarKernels().cosines(products, 30, ids.data(), 7, sums.data(), plain.data());
  OnEveryTarget([&] {
    SimdKernels().cosines(products, 30, ids.data(), 7, sums.data(), simd.data());
    EXPECT_EQ(Bits(simd), Bits(plain));
  });
}

// All of it, with every term, in batches that fill their blocks and that do not.
TEST_F(RoutingKernelsTest, EveryInstructionSetRoutesAlikeToTheBit) {
  for (const auto& [tokens, experts, top_k] :
       std::vector<std::array<size_t, 3>>{{1, 4, 1}, {16, 8, 2}, {150, 33, 3}, {300, 64, 8}, {50, 200, 20}}) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      FullGame game(tokens, experts, top_k, seed);
      if (seed == 2) game.options.weights.alignment = 0;
      if (seed == 3) {
        for (float& x : game.logits) x = std::round(2 * x) / 2;  // many equal ones
      }
      ForceScalarKernels(true);
      const auto plain = Route(game.batch, game.options);
      const Centres plain_centres = *Centres::Make(game.rows, experts, 12);
      ForceScalarKernels(false);
      ASSERT_TRUE(plain.ok()) << plain.status();
      OnEveryTarget([&] {
        const auto simd = Route(game.batch, game.options);
        ASSERT_TRUE(simd.ok()) << simd.status();
        EXPECT_EQ(simd->chosen, plain->chosen);
        EXPECT_EQ(simd->moves, plain->moves);
        EXPECT_EQ(simd->loads, plain->loads);
        EXPECT_EQ(Bits(simd->potential), Bits(plain->potential));
        EXPECT_EQ(Bits(simd->cohesion), Bits(plain->cohesion));
        EXPECT_EQ(simd->max_gain, plain->max_gain);
        EXPECT_EQ(Bits(Centres::Make(game.rows, experts, 12)->products()), Bits(plain_centres.products()));
      });
    }
  }
}

// Which lanes differ, lane by lane, on blocks in which about half of them do.
TEST_F(RoutingKernelsTest, TheSameLanesDiffer) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  constexpr size_t kGroup = 9, kExperts = 11;
  std::vector<float> values(kGroup * kLanes), prices(2 * kExperts);
  std::vector<int32_t> choices(values.size()), agreeing(kExperts * kLanes);
  uint32_t any = 0, all = 0xffff;
  for (int trial = 0; trial < 100; ++trial) {
    for (float& v : values) v = normal(random);
    for (float& p : prices) p = 0.1f * normal(random);
    for (int32_t& a : agreeing) a = static_cast<int32_t>(random() % 9);
    for (size_t at = 0; at < choices.size(); ++at) {
      const bool chosen = at / kLanes < 2;
      choices[at] = static_cast<int32_t>(2 * (random() % kExperts)) + (chosen ? 1 : 0);
      values[at] += chosen ? 1.5f : 0;
    }
    const int32_t* agree = trial % 2 ? agreeing.data() : nullptr;
    const BlockView block{kGroup, values.data(), choices.data(), prices.data(), agree, 0.1f};
    const uint32_t plain = ScalarKernels().differ(block, 1e-5f);
    any |= plain;
    all &= plain;
    OnEveryTarget([&] { EXPECT_EQ(SimdKernels().differ(block, 1e-5f), plain); });
  }
  EXPECT_EQ(any, 0xffffu);
  EXPECT_EQ(all, 0u);
}

// Slots of equal worth, as floats round it: a kernel that fuses the multiplication with the addition finds them unequal.
TEST_F(RoutingKernelsTest, NothingIsFused) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const std::vector<float> prices(4, 0.0f);
  std::vector<float> values(2 * kLanes);
  std::vector<int32_t> choices(2 * kLanes), agreeing(2 * kLanes);
  for (int trial = 0; trial < 100; ++trial) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      choices[lane] = 0 + 1;           // expert 0, chosen, on which no neighbour agrees
      choices[kLanes + lane] = 2 + 0;  // expert 1, not chosen
      agreeing[kLanes + lane] = 1 + static_cast<int32_t>(random() % 9);
      values[kLanes + lane] = normal(random);
      const float product = 0.1f * static_cast<float>(agreeing[kLanes + lane]);
      values[lane] = values[kLanes + lane] + product;
    }
    const BlockView block{2, values.data(), choices.data(), prices.data(), agreeing.data(), 0.1f};
    ASSERT_EQ(ScalarKernels().differ(block, 0), 0u);
    OnEveryTarget([&] { EXPECT_EQ(SimdKernels().differ(block, 0), 0u); });
  }
}

}  // namespace
}  // namespace nashswarm::routing
