#include "core/game/routing/routing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "core/base/status.h"
#include "core/game/routing/kernels.h"
#include "tests/unit/routing/samples.h"

namespace nashswarm::routing {
namespace {

using Set = std::set<uint64_t>;

// The game written down plainly: every term in double precision, from the choices alone.
struct Plain {
  const Batch& batch;
  const Options& options;
  std::vector<Set> sets;  // by token

  Plain(const Batch& batch, const Options& options, const std::vector<uint16_t>& chosen) : batch(batch), options(options) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (i % options.used == 0) sets.emplace_back();
      sets.back().insert(chosen[i]);
    }
  }
  uint64_t tokens() const { return batch.logits.size() / options.experts; }
  double Share() const { return static_cast<double>(tokens() * options.used) / static_cast<double>(options.experts); }
  double Load(uint64_t expert) const {
    return static_cast<double>(std::count_if(sets.begin(), sets.end(), [&](const Set& set) { return set.contains(expert); }));
  }
  double Cost(double load) const {
    const Weights& w = options.weights;
    return w.load * load / Share() + w.separation * std::max(0.0, load / Share() - w.crowd);
  }
  Set Group(uint64_t token) const {
    std::vector<uint64_t> order(options.experts);
    for (uint64_t e = 0; e < options.experts; ++e) order[e] = e;
    const float* logits = &batch.logits[token * options.experts];
    std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return logits[a] > logits[b]; });
    return {order.begin(), order.begin() + static_cast<ptrdiff_t>(options.Group())};
  }
  double Cosine(uint64_t token, uint64_t expert) const {
    const uint64_t width = batch.centres.size() / options.experts;
    std::vector<double> centre(width);
    for (const uint64_t e : Group(token)) {
      for (uint64_t c = 0; c < width; ++c) centre[c] += batch.centres[e * width + c];
    }
    double dot = 0, a = 0, b = 0;
    for (uint64_t c = 0; c < width; ++c) {
      const double x = batch.centres[expert * width + c];
      dot += x * centre[c];
      a += x * x;
      b += centre[c] * centre[c];
    }
    return dot / std::sqrt(a * b);
  }
  bool Names(uint64_t from, uint64_t to) const {  // `to` is one of the 7 nearest of `from`
    if (from == to || from / 128 != to / 128) return false;
    const auto product = [&](uint64_t i, uint64_t j) {
      double mi = 0, mj = 0, sum = 0;
      for (uint64_t e = 0; e < options.experts; ++e) {
        mi += batch.logits[i * options.experts + e] / static_cast<double>(options.experts);
        mj += batch.logits[j * options.experts + e] / static_cast<double>(options.experts);
      }
      for (uint64_t e = 0; e < options.experts; ++e) {
        sum += (batch.logits[i * options.experts + e] - mi) * (batch.logits[j * options.experts + e] - mj);
      }
      return sum;
    };
    const double own = product(from, to);
    int nearer = 0;
    for (uint64_t other = from / 128 * 128; other < std::min(tokens(), from / 128 * 128 + 128); ++other) {
      if (other != from && other != to && product(from, other) > own) ++nearer;
    }
    return nearer < 7;
  }
  double Utility(uint64_t token) const {
    const Weights& w = options.weights;
    double utility = 0;
    for (const uint64_t e : sets[token]) {
      utility += batch.logits[token * options.experts + e] - Cost(Load(e));
      if (w.cohesion > 0) utility += w.cohesion * Cosine(token, e);
      if (!batch.cached.empty() && batch.cached[e]) utility += w.cached;
      for (uint64_t other = 0; w.alignment > 0 && other < tokens(); ++other) {
        if ((Names(token, other) || Names(other, token)) && sets[other].contains(e)) utility += w.alignment / 7;
      }
    }
    return utility;
  }
  double Potential() const {
    double potential = 0;
    for (uint64_t t = 0; t < tokens(); ++t) {
      for (const uint64_t e : sets[t]) {
        potential += batch.logits[t * options.experts + e];
        if (options.weights.cohesion > 0) potential += options.weights.cohesion * Cosine(t, e);
        if (!batch.cached.empty() && batch.cached[e]) potential += options.weights.cached;
        for (uint64_t other = 0; options.weights.alignment > 0 && other < t; ++other) {
          if ((Names(t, other) || Names(other, t)) && sets[other].contains(e)) potential += options.weights.alignment / 7;
        }
      }
    }
    for (uint64_t e = 0; e < options.experts; ++e) {
      for (double m = 1; m <= Load(e); ++m) potential -= Cost(m);
    }
    return potential;
  }
  // The most that a token can gain by changing its set alone: all sets of its group are tried.
  double GreatestGain(uint64_t token) {
    const Set group = Group(token), own = sets[token];
    const std::vector<uint64_t> members(group.begin(), group.end());
    const double before = Utility(token);
    double gain = 0;
    std::vector<bool> pick(members.size());
    std::fill_n(pick.begin(), options.used, true);
    do {
      sets[token].clear();
      for (size_t i = 0; i < members.size(); ++i) {
        if (pick[i]) sets[token].insert(members[i]);
      }
      gain = std::max(gain, Utility(token) - before);
    } while (std::prev_permutation(pick.begin(), pick.end()));
    sets[token] = own;
    return gain;
  }
};

struct Game {
  std::vector<float> logits, centres;
  std::vector<uint8_t> cached;
  Options options;
  Batch batch() const { return {logits, centres, cached}; }
};

// Every force at work.
Game Everything(uint64_t tokens, uint64_t experts, uint64_t used, uint32_t seed = 1) {
  Game game;
  game.logits = RandomLogits(tokens, experts, seed);
  game.centres = RandomCentres(experts, 12);
  for (uint64_t e = 0; e < experts; ++e) game.cached.push_back(e % 3 == 0);
  game.options = {experts, used, 7, {1.5, 2, 1.2, 0.8, 0.7, 0.5}, 50};
  return game;
}

TEST(RoutingTest, WithoutForcesItIsTheModelsOwnChoice) {
  for (const auto& [tokens, experts, used] : std::vector<std::tuple<int, int, int>>{{300, 8, 2}, {65, 64, 8}, {1, 3, 3}, {70, 5, 1}}) {
    std::vector<float> logits = RandomLogits(tokens, experts);
    for (size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i]);  // ties
    const auto result = Route({logits, {}, {}}, {static_cast<uint64_t>(experts), static_cast<uint64_t>(used), 7, {}, 50});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->rounds.empty());
    for (int t = 0; t < tokens; ++t) {
      std::vector<uint16_t> order(experts);
      for (int e = 0; e < experts; ++e) order[e] = static_cast<uint16_t>(e);
      const float* row = &logits[static_cast<size_t>(t) * experts];
      std::stable_sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) { return row[a] > row[b]; });
      order.resize(used);
      const auto first = result->chosen.begin() + t * used;
      EXPECT_EQ(std::vector<uint16_t>(first, first + used), order) << t;
    }
  }
}

TEST(RoutingTest, EndsWhereNobodyGainsByMovingAlone) {
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    const Game game = Everything(140, 8, 2, seed);
    const Batch batch = game.batch();
    const auto result = Route(batch, game.options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->is_nash);
    EXPECT_EQ(result->rounds.back().moves, 0);
    EXPECT_GT(result->rounds.front().moves, 0);
    Plain plain(batch, game.options, result->chosen);
    for (uint64_t t = 0; t < 140; t += 11) EXPECT_LT(plain.GreatestGain(t), 2 * kLeastGain) << t;
  }
}

TEST(RoutingTest, ThePotentialRisesAndIsThePlainOne) {
  const Game game = Everything(140, 8, 2);
  const Batch batch = game.batch();
  const auto result = Route(batch, game.options);
  ASSERT_TRUE(result.ok()) << result.status();
  double before = result->start.potential;
  for (const Round& round : result->rounds) {
    if (round.moves > 0) { EXPECT_GT(round.potential, before); }
    before = round.potential;
  }
  EXPECT_NEAR(before, Plain(batch, game.options, result->chosen).Potential(), 1e-3);
  Options still = game.options;
  still.weights = {};
  EXPECT_NEAR(result->start.potential, Plain(batch, game.options, Route(batch, still)->chosen).Potential(), 1e-3);
}

// What makes better responses end: a token's gain is the potential's.
TEST(RoutingTest, AMoveChangesThePotentialByTheMoversGain) {
  const Game game = Everything(40, 6, 2);
  const Batch batch = game.batch();
  Options still = game.options;
  still.weights = {};
  Plain plain(batch, game.options, Route(batch, still)->chosen);
  for (uint64_t t = 0; t < 40; ++t) {
    const double utility = plain.Utility(t), potential = plain.Potential();
    plain.sets[t] = {t % 6, (t + 1 + t % 3) % 6};
    EXPECT_NEAR(plain.Utility(t) - utility, plain.Potential() - potential, 1e-9);
  }
}

TEST(RoutingTest, HeavierLoadsAreSharedMoreEvenly) {
  const std::vector<float> logits = RandomLogits(1000, 16);
  double before = std::numeric_limits<double>::infinity();
  for (const double load : {0.0, 0.1, 0.3, 1.0, 3.0, 10.0}) {
    const auto result = Route({logits, {}, {}}, {16, 2, 7, {.load = load}, 50});
    ASSERT_TRUE(result.ok());
    EXPECT_LT(result->load_variation, before) << load;
    before = result->load_variation;
    EXPECT_NEAR(result->load_variation, LoadVariation(result->loads), 1e-12);
  }
  EXPECT_LT(before, 0.35) << "a token reaches 7 of 16 experts only";
}

TEST(RoutingTest, SeparationActsAboveTheCrowdAlone) {
  const std::vector<float> logits = RandomLogits(1000, 16);
  const auto own = Route({logits, {}, {}}, {16, 2, 7, {}, 50});
  const double share = 1000.0 * 2 / 16;
  const auto apart = Route({logits, {}, {}}, {16, 2, 7, {.separation = 50, .crowd = 1.6}, 50});
  const auto most = [](const Result& r) { return static_cast<double>(*std::max_element(r.loads.begin(), r.loads.end())); };
  EXPECT_GT(most(*own), 2 * share);
  EXPECT_LT(most(*apart), 1.7 * share);
  const auto loose = Route({logits, {}, {}}, {16, 2, 7, {.separation = 50, .crowd = 16}, 50});
  EXPECT_EQ(loose->chosen, own->chosen);
}

TEST(RoutingTest, TheCacheAttracts) {
  const std::vector<float> logits = RandomLogits(1000, 16);
  std::vector<uint8_t> cached(16);
  for (const int e : {2, 5, 11, 12}) cached[e] = 1;
  double before = -1;
  for (const double worth : {0.0, 0.5, 2.0, 8.0}) {
    const auto result = Route({logits, {}, cached}, {16, 2, 7, {.cached = worth}, 50});
    double hits = 0;
    for (uint64_t e = 0; e < 16; ++e) hits += cached[e] ? static_cast<double>(result->loads[e]) : 0;
    EXPECT_GT(hits, before);
    before = hits;
  }
}

TEST(RoutingTest, NeighboursComeToAgree) {
  const std::vector<float> logits = RandomLogits(256, 16);
  const Options options{16, 2, 7, {.alignment = 6}, 50};
  const Batch batch{logits, {}, {}};
  const auto result = Route(batch, options);
  const auto agreement = [&](const std::vector<uint16_t>& chosen) {
    const Plain plain(batch, options, chosen);
    double same = 0, pairs = 0;
    for (uint64_t a = 0; a < 128; ++a) {
      for (uint64_t b = 0; b < a; ++b) {
        if (!plain.Names(a, b) && !plain.Names(b, a)) continue;
        ++pairs;
        for (const uint64_t e : plain.sets[a]) same += plain.sets[b].contains(e) ? 1 : 0;
      }
    }
    return same / pairs;
  };
  EXPECT_GT(agreement(result->chosen), 1.15 * agreement(Route(batch, {16, 2, 7, {}, 50})->chosen));
}

TEST(RoutingTest, CohesionBringsChoicesTowardTheGroupsCentre) {
  Game game = Everything(300, 16, 2);
  game.options.weights = {.cohesion = 4};
  const auto result = Route(game.batch(), game.options);
  EXPECT_GT(result->rounds.back().cohesion, result->start.cohesion + 0.02);
  const Batch batch = game.batch();
  const Plain plain(batch, game.options, result->chosen);
  double sum = 0;
  for (uint64_t t = 0; t < 300; ++t) {
    for (const uint64_t e : plain.sets[t]) sum += plain.Cosine(t, e) / 600;
  }
  EXPECT_NEAR(result->rounds.back().cohesion, sum, 1e-5);
}

TEST(RoutingTest, StaysWithinTheGroup) {
  const std::vector<float> logits = RandomLogits(200, 32);
  const Options options{32, 2, 7, {.load = 100}, 50};
  const Batch batch{logits, {}, {}};
  const auto result = Route(batch, options);
  const Plain plain(batch, options, result->chosen);
  for (uint64_t t = 0; t < 200; ++t) {
    const Set group = plain.Group(t);
    for (const uint64_t e : plain.sets[t]) EXPECT_TRUE(group.contains(e));
    EXPECT_EQ(plain.sets[t].size(), 2);
  }
  EXPECT_EQ((Options{32, 2, 7}).Group(), 7);
  EXPECT_EQ((Options{32, 8, 7}).Group(), 16) << "with no more than it uses a token has nothing to choose";
  EXPECT_EQ((Options{5, 2, 7}).Group(), 5);
}

TEST(RoutingTest, EndsWithinTenRoundsOnAverage) {
  double rounds = 0;
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    const std::vector<float> logits = RandomLogits(2048, 64, seed);
    const auto result = Route({logits, {}, {}}, {64, 8, 7, {.load = 1, .separation = 1}, 50});
    EXPECT_TRUE(result->is_nash);
    rounds += static_cast<double>(result->rounds.size()) / 10;
  }
  EXPECT_LE(rounds, 10);
}

TEST(RoutingTest, EveryInstructionSetGivesTheSame) {
  const Game game = Everything(333, 24, 4);
  const Batch batch = game.batch();
  ForceScalarKernels(true);
  const auto scalar = Route(batch, game.options);
  ForceScalarKernels(false);
  int targets = 0;
  for (int64_t left = KernelTargets(); left != 0; left &= left - 1) {
    UseKernelTarget(left & -left);
    const auto simd = Route(batch, game.options);
    EXPECT_EQ(simd->chosen, scalar->chosen) << SimdKernels().name;
    EXPECT_EQ(simd->rounds.size(), scalar->rounds.size());
    EXPECT_EQ(simd->rounds.back().potential, scalar->rounds.back().potential);
    ++targets;
  }
  UseKernelTarget(0);
  EXPECT_GT(targets, 0);
}

TEST(RoutingTest, RefusesWhatIsNoGame) {
  std::vector<float> logits = RandomLogits(4, 8);
  const auto reason = [&](Options options, Batch batch) { return ReasonOf(Route(batch, options).status()); };
  EXPECT_EQ(reason({8, 9}, {logits, {}, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({0, 1}, {logits, {}, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({8, 0}, {logits, {}, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({7, 2}, {logits, {}, {}}), "ROUTING_SHAPE");
  const std::vector<uint8_t> cached(7);
  EXPECT_EQ(reason({8, 2}, {logits, {}, cached}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({8, 2, 7, {.cohesion = 1}}, {logits, {}, {}}), "ROUTING_SHAPE");
  EXPECT_EQ(reason({8, 2, 7, {.load = -1}}, {logits, {}, {}}), "ROUTING_WEIGHTS");
  EXPECT_EQ(reason({8, 2, 7, {.cached = std::numeric_limits<double>::infinity()}}, {logits, {}, {}}), "ROUTING_WEIGHTS");
  logits[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(reason({8, 2}, {logits, {}, {}}), "NON_FINITE_LOGITS");
  const auto nothing = Route({{}, {}, {}}, {8, 2, 7, {.load = 1}, 50});
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_TRUE(nothing->chosen.empty());
}

}  // namespace
}  // namespace nashswarm::routing
