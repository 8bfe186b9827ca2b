// The search for steps that meet a budget, on sizes made up.
#include "core/pipeline/step_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "absl/status/status.h"

namespace nashswarm::pipeline {
namespace {

constexpr uint64_t kWeights = 1'000'000;

// Three bits a weight at a factor of 1, and `slope` bits an octave, with leaps of `leap` bytes that depend on the place.
uint64_t Bytes(double log_factor, double slope, double leap) {
  const double bits = 3 - slope * log_factor;
  return static_cast<uint64_t>(bits * kWeights / 8 + leap * std::sin(log_factor * 9876.5));
}

struct Found {
  uint64_t bytes = 0;
  double log_factor = 0;
  int tries = 0;
};

Found Find(uint64_t budget, double slope, double leap, double close, int tries) {
  StepSearch search(budget, kWeights, close, tries);
  Found found;
  uint64_t kept = 0;
  while (!search.done()) {
    if (++found.tries > 100) {
      ADD_FAILURE() << "does not end";
      break;
    }
    const double at = search.log_factor();
    const uint64_t bytes = Bytes(at, slope, leap);
    if (search.Took(bytes)) kept = bytes, found.log_factor = at;
  }
  found.bytes = search.bytes();
  EXPECT_EQ(found.bytes, kept);
  EXPECT_EQ(found.log_factor, search.best_log_factor());
  EXPECT_LE(found.bytes, budget);
  return found;
}

TEST(StepSearchTest, MeetsTheBudgetFromEitherSide) {
  for (const double slope : {0.6, 0.9, 1.0, 1.1}) {
    for (const uint64_t budget : {250'000u, 360'000u, 374'000u, 376'000u, 480'000u}) {
      const Found found = Find(budget, slope, 0, 0.0005, 8);
      EXPECT_GE(static_cast<double>(found.bytes), 0.9995 * static_cast<double>(budget)) << slope << ", " << budget;
      EXPECT_LE(found.tries, 8);
    }
  }
}

TEST(StepSearchTest, WhatFitsAtOnceIsNotTouched) {
  const Found found = Find(375'000, 1, 0, 0.0005, 5);
  EXPECT_EQ(found.tries, 1);
  EXPECT_EQ(found.log_factor, 0);
}

// Bytes leap by half a percent: the best of the tries stays, not the last.
TEST(StepSearchTest, LeapsDoNotMisleadIt) {
  for (const uint64_t budget : {300'000u, 361'000u, 400'000u}) {
    const Found found = Find(budget, 0.9, 1500, 0.0005, 5);
    EXPECT_GE(static_cast<double>(found.bytes), 0.99 * static_cast<double>(budget));
  }
}

// One try that does not fit is no result.
TEST(StepSearchTest, GoesOnUntilSomethingFits) {
  StepSearch search(1000, 1000, 0.001, 1);
  EXPECT_FALSE(search.Took(1200));
  EXPECT_FALSE(search.done());
  EXPECT_GT(search.log_factor(), 0);
  EXPECT_TRUE(search.Took(900));
  EXPECT_TRUE(search.done());
}

TEST(StepSearchTest, TheLeftoverGoesToTheLargestThatCanUseIt) {
  // Tensor 2 is the largest, and leaps over the budget; 0 is next, and takes half of what is left over; 1 takes the rest.
  const std::vector<Spender> spenders = {{0, 4000, 1000, 0.5}, {1, 3000, 900, 0.25}, {2, 8000, 2000, 0.125}};
  std::vector<size_t> asked, stayed;
  std::vector<double> steps;
  const auto encode = [&](size_t tensor, double step) -> absl::StatusOr<uint64_t> {
    asked.push_back(tensor);
    steps.push_back(step);
    return tensor == 2 ? 2101 : tensor == 0 ? 1050 : 950;
  };
  EXPECT_TRUE(SpendLeftover(4000, 3900, 0.0001, spenders, encode, [&](size_t tensor, bool stays) {
                if (stays) stayed.push_back(tensor);
              }).ok());
  EXPECT_EQ(asked, (std::vector<size_t>{2, 0, 1}));
  EXPECT_EQ(stayed, (std::vector<size_t>{0, 1}));
  EXPECT_NEAR(steps[0], 0.125 * std::exp2(-0.9 * 8 * 100 / 8000), 1e-12);
  EXPECT_NEAR(steps[2], 0.25 * std::exp2(-0.9 * 8 * 50 / 3000), 1e-12);
}

TEST(StepSearchTest, SpendingEndsWhenItIsNearEnoughAndOnErrors) {
  int calls = 0;
  const auto encode = [&](size_t, double) -> absl::StatusOr<uint64_t> {
    ++calls;
    return absl::CancelledError("stop");
  };
  EXPECT_TRUE(SpendLeftover(1000, 999, 0.01, {{0, 10, 999, 1}}, encode, [](size_t, bool) {}).ok());
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(SpendLeftover(1000, 900, 0.01, {{0, 1000, 900, 1}, {1, 10, 1, 1}}, encode, [](size_t, bool) {}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace nashswarm::pipeline
