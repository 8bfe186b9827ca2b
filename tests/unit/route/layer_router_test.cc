#include "core/route/layer_router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/status.h"
#include "tests/unit/expert_cache/plain_cache.h"

namespace nashswarm::route {
namespace {

using expert_cache::Policy;

constexpr size_t kExperts = 8, kUsed = 2;

// Tokens whose favourites change slowly, so that there is something to stay with.
std::vector<float> Logits(size_t tokens, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> logits, drift(kExperts);
  for (size_t t = 0; t < tokens; ++t) {
    for (float& d : drift) d = 0.9f * d + 0.5f * normal(random);
    for (const float d : drift) logits.push_back(d + 0.8f * normal(random));
  }
  return logits;
}

LayerShape Shape(uint64_t bytes = 1) {
  return {kExperts, kUsed, true, nullptr, std::vector<uint64_t>(kExperts, bytes)};
}

RouterOptions Options(Chooser chooser, double bonus, double alpha = 0, uint64_t batch = 64) {
  RouterOptions options;
  options.chooser = chooser;
  options.game.similarity = routing::Similarity::kSquaredGate;
  options.game.weights = {.alpha = alpha, .cache_bonus = bonus};
  options.batch = batch;
  options.cache = {.policy = Policy::kLru, .capacity_bytes = 2};
  return options;
}

struct Routed {
  std::vector<uint16_t> chosen;
  LayerCounts counts;
};

Routed RouteAll(const std::vector<float>& logits, const RouterOptions& options, LayerShape shape = Shape(),
                size_t calls = 1) {
  auto router = LayerRouter::Make(std::move(shape), options);
  if (!router.ok()) {
    ADD_FAILURE() << router.status();
    return {};
  }
  const size_t tokens = logits.size() / kExperts, part = tokens / calls;
  Routed routed{std::vector<uint16_t>(tokens * kUsed), {}};
  for (size_t c = 0; c < calls; ++c) {
    const absl::Status status = router->Route(&logits[c * part * kExperts], part, &routed.chosen[c * part * kUsed]);
    EXPECT_TRUE(status.ok()) << status;
  }
  routed.counts = router->counts();
  return routed;
}

std::vector<uint16_t> OwnChoice(const float* logits) {
  std::vector<uint16_t> order(kExperts);
  std::iota(order.begin(), order.end(), uint16_t{0});
  std::stable_sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) { return logits[a] > logits[b]; });
  order.resize(kUsed);
  return order;
}

// Plays choices as a decoder would, those in memory first, and counts.
uint64_t Hits(const std::vector<uint16_t>& chosen, const expert_cache::CacheOptions& options) {
  expert_cache::PlainCache cache(options, std::vector<uint64_t>(kExperts, 1));
  uint64_t hits = 0;
  for (size_t t = 0; t < chosen.size() / kUsed; ++t) {
    if (t > 0) cache.NextToken();
    std::vector<uint16_t> order(chosen.begin() + static_cast<ptrdiff_t>(t * kUsed),
                                chosen.begin() + static_cast<ptrdiff_t>((t + 1) * kUsed));
    std::stable_partition(order.begin(), order.end(), [&](uint16_t e) { return cache.Contains(e); });
    for (const uint16_t e : order) hits += cache.Access(e) == expert_cache::AccessResult::kHit ? 1 : 0;
  }
  return hits;
}

TEST(LayerRouterTest, WithoutWeightsTheGameIsTheModelsOwnRouter) {
  const std::vector<float> logits = Logits(200, 1);
  const Routed model = RouteAll(logits, Options(Chooser::kModel, 0)),
               game = RouteAll(logits, Options(Chooser::kGame, 0));
  for (size_t t = 0; t < 200; ++t) {
    const std::vector<uint16_t> own = OwnChoice(&logits[t * kExperts]);
    for (size_t s = 0; s < kUsed; ++s) ASSERT_EQ(model.chosen[t * kUsed + s], own[s]);
  }
  EXPECT_EQ(model.chosen, game.chosen);
  for (const Routed* routed : {&model, &game}) {
    EXPECT_EQ(routed->counts.tokens, 200u);
    EXPECT_EQ(routed->counts.batches, 4u);
    EXPECT_EQ(routed->counts.same_choices, 400u);
    EXPECT_EQ(routed->counts.nash_batches, 4u);
    EXPECT_EQ(routed->counts.hits, model.counts.hits);
    EXPECT_EQ(routed->counts.load_variation, model.counts.load_variation);
  }
}

TEST(LayerRouterTest, CachesPlayWhatWasChosen) {
  const std::vector<float> logits = Logits(300, 2);
  for (const Policy policy : {Policy::kLru, Policy::kLfu, Policy::kTtl}) {
    RouterOptions options = Options(Chooser::kGame, 0.1);
    options.cache = {.policy = policy, .capacity_bytes = 3, .ttl_tokens = 5, .half_life_tokens = 20};
    const Routed routed = RouteAll(logits, options);
    EXPECT_EQ(routed.counts.hits.accesses, 600u);
    EXPECT_EQ(routed.counts.hits.hits, Hits(routed.chosen, options.cache)) << expert_cache::PolicyName(policy);
    EXPECT_EQ(routed.counts.bytes_loaded, 600 - routed.counts.hits.hits);
    // As each token came, all that it used of what was there was a hit: the cache has room for one more than it uses.
    EXPECT_NEAR(routed.counts.terms.cached / 300, routed.counts.hits.rate(), 1e-12);
  }
}

// Without prices each token's best is what it would choose alone, with the cache as it comes: no batch sees the future.
TEST(LayerRouterTest, ABonusNeedsNoLookAhead) {
  const std::vector<float> logits = Logits(256, 3);
  for (const expert_cache::CacheOptions& cache :
       {expert_cache::CacheOptions{.policy = Policy::kLru, .capacity_bytes = 2},
        {.policy = Policy::kLru, .capacity_bytes = 3},
        {.policy = Policy::kLru, .capacity_bytes = 5},
        {.policy = Policy::kLfu, .capacity_bytes = 3, .half_life_tokens = 10},
        {.policy = Policy::kTtl, .capacity_bytes = 6, .ttl_tokens = 3},
        {.policy = Policy::kAdaptive, .capacity_bytes = 3}}) {
    const auto route = [&](uint64_t batch, size_t calls) {
      RouterOptions options = Options(Chooser::kGame, 0.15, 0, batch);
      options.cache = cache;
      return RouteAll(logits, options, Shape(), calls);
    };
    const Routed one = route(1, 1);
    for (const uint64_t batch : {7, 64, 256, 1000}) {
      const Routed many = route(batch, 1);
      EXPECT_EQ(many.chosen, one.chosen) << batch << " " << expert_cache::PolicyName(cache.policy) << " "
                                         << cache.capacity_bytes;
      EXPECT_EQ(many.counts.hits, one.counts.hits);
      EXPECT_NEAR(many.counts.terms.nash, 0, 1e-4);
    }
    // Nor does it matter in how many calls the tokens come.
    const Routed calls = route(64, 4);
    EXPECT_EQ(calls.chosen, one.chosen);
    EXPECT_EQ(calls.counts.trace, one.counts.trace);
  }
}

// Each token by itself, in plain code: the two of the greatest squared gate plus bonus.
TEST(LayerRouterTest, ABonusIsAddedToTheSquaredGate) {
  const std::vector<float> logits = Logits(150, 4);
  const double bonus = 0.2;
  const Routed routed = RouteAll(logits, Options(Chooser::kGame, bonus));
  expert_cache::PlainCache cache({.policy = Policy::kLru, .capacity_bytes = 2}, std::vector<uint64_t>(kExperts, 1));
  int moved = 0;
  for (size_t t = 0; t < 150; ++t) {
    const float* row = &logits[t * kExperts];
    if (t > 0) cache.NextToken();
    const std::vector<uint16_t> own = OwnChoice(row);
    const double sum = std::exp(row[own[0]]) + std::exp(row[own[1]]);
    std::vector<std::pair<double, uint16_t>> worth;
    for (uint16_t e = 0; e < kExperts; ++e) {
      if (e == std::min_element(row, row + kExperts) - row) continue;  // the eighth is not of the local group
      worth.push_back({-std::pow(std::exp(row[e]) / sum, 2) - (cache.Contains(e) ? bonus : 0), e});
    }
    std::sort(worth.begin(), worth.end());
    std::vector<uint16_t> want = {worth[0].second, worth[1].second},
                          got = {routed.chosen[2 * t], routed.chosen[2 * t + 1]};
    moved += std::is_permutation(want.begin(), want.end(), own.begin()) ? 0 : 1;
    // A margin of least_gain apart they may be either.
    if (worth[2].first - worth[1].first > 1e-4) {
      EXPECT_TRUE(std::is_permutation(want.begin(), want.end(), got.begin())) << t;
    }
    std::stable_partition(got.begin(), got.end(), [&](uint16_t e) { return cache.Contains(e); });
    for (const uint16_t e : got) cache.Access(e);
  }
  EXPECT_GT(moved, 20);
}

TEST(LayerRouterTest, BonusesBuyHitsAndPricesBuyBalance) {
  const std::vector<float> logits = Logits(1024, 5);
  const Routed own = RouteAll(logits, Options(Chooser::kModel, 0));
  const Routed warm = RouteAll(logits, Options(Chooser::kGame, 0.2)),
               even = RouteAll(logits, Options(Chooser::kGame, 0, 0.1));
  const Routed both = RouteAll(logits, Options(Chooser::kGame, 0.2, 0.1));
  EXPECT_GT(warm.counts.hits.rate(), 1.3 * own.counts.hits.rate());
  EXPECT_LT(even.counts.load_variation, 0.6 * own.counts.load_variation);
  EXPECT_GT(both.counts.hits.rate(), even.counts.hits.rate());
  EXPECT_LT(both.counts.load_variation, warm.counts.load_variation);
  for (const Routed* routed : {&warm, &even, &both}) {
    EXPECT_EQ(routed->counts.nash_batches, routed->counts.batches);
    EXPECT_LT(routed->counts.same_choices, 2048u);
    EXPECT_GT(routed->counts.same_choices, 800u);
    ASSERT_EQ(routed->counts.potential.size(), routed->counts.batches);
    for (const std::vector<double>& potential : routed->counts.potential) {
      EXPECT_EQ(potential[0], 0);
      EXPECT_TRUE(std::is_sorted(potential.begin(), potential.end()));
      EXPECT_GT(potential.back(), 0);
    }
    for (const std::vector<double>& moved : routed->counts.moved) EXPECT_EQ(moved.back(), 0);
  }
  // The model's own choice is no equilibrium of a game with prices, and is said not to be.
  const Routed judged = RouteAll(logits, Options(Chooser::kModel, 0, 0.1));
  EXPECT_EQ(judged.counts.nash_batches, 0u);
  EXPECT_GT(judged.counts.terms.nash, even.counts.terms.nash);
  EXPECT_LT(even.counts.terms.balance, judged.counts.terms.balance);
}

TEST(LayerRouterTest, StoppedEarlyABatchIsNoEquilibrium) {
  RouterOptions options = Options(Chooser::kGame, 0, 0.1);
  options.game.max_rounds = 1;
  const Routed routed = RouteAll(Logits(256, 7), options);
  EXPECT_EQ(routed.counts.nash_batches, 0u);
  EXPECT_EQ(routed.counts.rounds, routed.counts.batches);
}

// Expert 1 was used longest ago, but the token uses it: expert 7 must not drive it out first.
TEST(LayerRouterTest, ATokenTakesWhatIsThereBeforeItLoads) {
  std::vector<float> logits(2 * kExperts, -9.0f);
  logits[1] = 5, logits[0] = 4;                        // token 0: experts 1, then 0; 1 is now the older
  logits[kExperts + 7] = 5, logits[kExperts + 1] = 4;  // token 1: 7 and 1
  const Routed routed = RouteAll(logits, Options(Chooser::kModel, 0));
  EXPECT_EQ(routed.counts.hits.hits, 1u);
  EXPECT_EQ(routed.counts.trace, (std::vector<uint16_t>{1, 0, 1, 7}));
  EXPECT_EQ(routed.chosen, (std::vector<uint16_t>{1, 0, 7, 1}));
}

TEST(LayerRouterTest, DetailsChangeNoChoice) {
  const std::vector<float> logits = Logits(100, 6);
  RouterOptions options = Options(Chooser::kGame, 0.1, 0.05);
  const Routed with = RouteAll(logits, options);
  options.details = false;
  const Routed without = RouteAll(logits, options);
  EXPECT_EQ(with.chosen, without.chosen);
  EXPECT_EQ(with.counts.hits, without.counts.hits);
  EXPECT_EQ(with.counts.rounds, without.counts.rounds);
  EXPECT_TRUE(without.counts.trace.empty() && without.counts.potential.empty());
}

TEST(LayerRouterTest, RefusesWhatTheGameRefuses) {
  auto router = LayerRouter::Make(Shape(), Options(Chooser::kGame, 0.1));
  ASSERT_TRUE(router.ok());
  std::vector<float> logits(kExperts, 0);
  logits[3] = std::numeric_limits<float>::quiet_NaN();
  std::vector<uint16_t> chosen(kUsed);
  EXPECT_EQ(ReasonOf(router->Route(logits.data(), 1, chosen.data())), "NON_FINITE_LOGITS");
  RouterOptions options = Options(Chooser::kGame, 0);
  options.cache.policy = Policy::kOptimal;
  EXPECT_EQ(ReasonOf(LayerRouter::Make(Shape(), options).status()), "CACHE_OPTIONS");
}

}  // namespace
}  // namespace nashswarm::route
