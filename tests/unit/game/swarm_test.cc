#include "core/game/swarm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "core/base/json.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::game {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
using Function = std::function<double(const std::vector<double>&)>;

double Sphere(const std::vector<double>& x) {
  double sum = 0;
  for (size_t d = 0; d < x.size(); ++d) sum += (x[d] - 1.5) * (x[d] - 1.5);
  return sum;
}
double Rosenbrock(const std::vector<double>& x) {
  double sum = 0;
  for (size_t d = 0; d + 1 < x.size(); ++d) sum += 100 * std::pow(x[d + 1] - x[d] * x[d], 2) + std::pow(1 - x[d], 2);
  return sum;
}
// The sphere with waves that are new at every place: as a measurement on few tokens.
double Noisy(const std::vector<double>& x) {
  double phase = 0;
  for (size_t d = 0; d < x.size(); ++d) phase += 1000 * static_cast<double>(d + 1) * x[d];
  return Sphere(x) + 0.3 * std::sin(phase);
}

std::vector<double> ValuesAt(const Swarm& swarm, const Function& f) {
  std::vector<double> values;
  for (const std::vector<double>& x : swarm.Ask()) values.push_back(f(x));
  return values;
}

Swarm Fly(const SwarmOptions& options, const Function& f, int generations) {
  Swarm swarm(options);
  for (int g = 0; g < generations; ++g) swarm.Tell(ValuesAt(swarm, f));
  return swarm;
}

TEST(SwarmTest, FindsLowPlacesOfKnownFunctions) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const SwarmOptions six{12, 6, seed, 0.5, 0.8, 4}, two{12, 2, seed, 0.5, 0.5, 4};
    EXPECT_LT(Fly(six, Sphere, 60).best_value(), 0.02 * Sphere(std::vector<double>(6, 0))) << seed;
    EXPECT_LT(Fly(two, Rosenbrock, 100).best_value(), 0.1) << seed;
    const Swarm noisy = Fly(six, Noisy, 60);
    EXPECT_LT(Sphere(noisy.best()), 0.1 * Sphere(std::vector<double>(6, 0))) << seed;
  }
}

// As it is used: some ten rounds, twenty coordinates.
TEST(SwarmTest, AFewGenerationsAreBetterThanTheStart) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const SwarmOptions options{12, 20, seed, 0.5, 1.5, 4};
    EXPECT_LT(Fly(options, Sphere, 12).best_value(), 0.6 * Sphere(std::vector<double>(20, 0))) << seed;
  }
}

TEST(SwarmTest, BeginsAtTheOriginAndNearIt) {
  const Swarm swarm({12, 5, 3, 0.25, 0.5, 4});
  ASSERT_EQ(swarm.Ask().size(), 12u);
  EXPECT_THAT(swarm.Ask()[0], ::testing::Each(0.0));
  for (size_t bird = 1; bird < 12; ++bird) {
    EXPECT_NE(swarm.Ask()[bird], swarm.Ask()[bird - 1]);
    for (const double x : swarm.Ask()[bird]) EXPECT_LE(std::abs(x), 0.25);
  }
  EXPECT_TRUE(swarm.best().empty());
  EXPECT_EQ(swarm.best_value(), kInfinity);
}

TEST(SwarmTest, RemembersTheBestItWasTold) {
  Swarm swarm({12, 4, 9, 0.5, 0.5, 4});
  double best = kInfinity;
  std::vector<double> at;
  for (int g = 0; g < 30; ++g) {
    const std::vector<double> values = ValuesAt(swarm, Noisy);
    const auto lowest = std::min_element(values.begin(), values.end());
    if (*lowest < best) {
      best = *lowest;
      at = swarm.Ask()[static_cast<size_t>(lowest - values.begin())];
    }
    swarm.Tell(values);
    EXPECT_EQ(swarm.best_value(), best);
    EXPECT_EQ(swarm.best(), at);
  }
}

TEST(SwarmTest, SameSeedSameFlight) {
  const SwarmOptions options{12, 6, 5, 0.5, 0.8, 4};
  SwarmOptions other = options;
  other.seed = 6;
  EXPECT_EQ(Fly(options, Rosenbrock, 20).state(), Fly(options, Rosenbrock, 20).state());
  EXPECT_NE(Fly(options, Rosenbrock, 20).state(), Fly(other, Rosenbrock, 20).state());
}

TEST(SwarmTest, ResumedThroughTextItFliesOnTheSame) {
  const SwarmOptions options{12, 6, 5, 0.5, 0.8, 4};
  const auto through_text = [](const std::vector<std::vector<double>>& rows) {
    return Json::parse(Json(rows).dump()).get<std::vector<std::vector<double>>>();
  };
  Swarm half = Fly(options, Noisy, 7);
  SwarmState state = half.state();
  state.positions = through_text(state.positions);
  state.velocities = through_text(state.velocities);
  state.own_best = through_text(state.own_best);
  auto resumed = Swarm::Resume(options, state);
  NS_ASSERT_OK(resumed.status());
  for (int g = 0; g < 13; ++g) resumed->Tell(ValuesAt(*resumed, Noisy));
  EXPECT_EQ(resumed->state(), Fly(options, Noisy, 20).state());
}

TEST(SwarmTest, RefusesAStateThatDoesNotFit) {
  const SwarmOptions options{12, 6, 5, 0.5, 0.8, 4};
  const SwarmState good = Fly(options, Sphere, 2).state();
  const auto refused = [&](const std::function<void(SwarmState*)>& spoil) {
    SwarmState state = good;
    spoil(&state);
    return ReasonOf(Swarm::Resume(options, state).status()) == "SWARM_STATE";
  };
  EXPECT_FALSE(refused([](SwarmState*) {}));
  EXPECT_TRUE(refused([](SwarmState* s) { s->positions.pop_back(); }));
  EXPECT_TRUE(refused([](SwarmState* s) { s->velocities[3].pop_back(); }));
  EXPECT_TRUE(refused([](SwarmState* s) { s->velocities[3][1] = kInfinity; }));
  EXPECT_TRUE(refused([](SwarmState* s) { s->own_best[2].clear(); }));
  EXPECT_TRUE(refused([](SwarmState* s) { s->own_value[2] = std::nan(""); }));
}

TEST(SwarmTest, NeighboursAreTheNearestOfAll) {
  std::mt19937_64 random(3);
  std::uniform_int_distribution<int> grid(0, 4);  // many at equal distances
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<double>> positions(12, std::vector<double>(2));
    for (auto& p : positions) {
      for (double& x : p) x = grid(random);
    }
    for (size_t bird = 0; bird < positions.size(); ++bird) {
      std::vector<size_t> all;
      for (size_t other = 0; other < positions.size(); ++other) {
        if (other != bird) all.push_back(other);
      }
      std::stable_sort(all.begin(), all.end(), [&](size_t a, size_t b) {
        const auto distance = [&](size_t i) {
          return std::hypot(positions[i][0] - positions[bird][0], positions[i][1] - positions[bird][1]);
        };
        return distance(a) < distance(b);
      });
      all.resize(7);
      EXPECT_EQ(NearestNeighbours(positions, bird, 7), all);
    }
  }
  EXPECT_EQ(NearestNeighbours({{0.0}, {1.0}}, 0, 7), std::vector<size_t>{1});
}

TEST(SwarmTest, NobodyFliesFasterThanTheLimitOrOutOfReach) {
  const SwarmOptions options{12, 6, 5, 0.5, 0.4, 1.0};
  Swarm swarm(options);
  double fastest = 0, farthest = 0;
  for (int g = 0; g < 40; ++g) {
    const std::vector<std::vector<double>> before = swarm.Ask();
    swarm.Tell(ValuesAt(swarm, [](const std::vector<double>& x) { return -100 * x[0] - x[1]; }));
    for (size_t bird = 0; bird < before.size(); ++bird) {
      double squares = 0;
      for (size_t d = 0; d < 6; ++d) {
        const double x = swarm.Ask()[bird][d];
        squares += (x - before[bird][d]) * (x - before[bird][d]);
        farthest = std::max(farthest, std::abs(x));
      }
      fastest = std::max(fastest, std::sqrt(squares));
    }
  }
  EXPECT_LE(fastest, 0.4 * (1 + 1e-12));
  EXPECT_GT(fastest, 0.2);
  EXPECT_EQ(farthest, 1.0);
}

// Two flocks that differ in one bird far away: those who do not see it fly the same.
TEST(SwarmTest, ABirdLooksAtItsNeighboursOnly) {
  const SwarmOptions options{9, 1, 5, 0.5, 100, 1000};
  SwarmState state = Swarm(options).state();
  for (size_t bird = 0; bird < 8; ++bird) state.positions[bird][0] = static_cast<double>(bird);
  SwarmState near = state, far = state;
  near.positions[8][0] = 100;
  far.positions[8][0] = 500;
  Swarm a = *Swarm::Resume(options, near), b = *Swarm::Resume(options, far);
  const std::vector<double> nothing(9, kInfinity);
  a.Tell(nothing);
  b.Tell(nothing);
  for (size_t bird = 0; bird < 8; ++bird) EXPECT_EQ(a.Ask()[bird], b.Ask()[bird]) << bird;
  EXPECT_NE(a.Ask()[8], b.Ask()[8]);
}

TEST(SwarmTest, WhatWasNotTriedIsNotRemembered) {
  Swarm swarm({12, 3, 1, 0.5, 0.5, 4});
  std::vector<double> values(12, kInfinity);
  values[4] = 2;
  values[5] = std::nan("");
  const std::vector<double> fifth = swarm.Ask()[4];
  swarm.Tell(values);
  EXPECT_EQ(swarm.best(), fifth);
  EXPECT_EQ(swarm.best_value(), 2);
  for (size_t bird = 0; bird < 12; ++bird) EXPECT_EQ(swarm.state().own_best[bird].empty(), bird != 4);
}

// Birds on one spot do not stay there, and birds that know nothing stay together.
TEST(SwarmTest, KeepsApartAndTogether) {
  const SwarmOptions options{8, 2, 5, 0.5, 0.1, 100};
  SwarmState crowd = Swarm(options).state();
  for (auto& position : crowd.positions) position = {0.001 * position[0], 0.001 * position[1]};
  for (auto& velocity : crowd.velocities) velocity = {0, 0};
  Swarm swarm = *Swarm::Resume(options, crowd);
  const std::vector<double> nothing(8, kInfinity);
  for (int g = 0; g < 30; ++g) swarm.Tell(nothing);
  double least = kInfinity, most = 0;
  for (size_t a = 0; a < 8; ++a) {
    for (size_t b = 0; b < a; ++b) {
      const double distance = std::hypot(swarm.Ask()[a][0] - swarm.Ask()[b][0], swarm.Ask()[a][1] - swarm.Ask()[b][1]);
      least = std::min(least, distance);
      most = std::max(most, distance);
    }
  }
  EXPECT_GT(least, 0.001);
  EXPECT_LT(most, 0.3);
}

}  // namespace
}  // namespace nashswarm::game
