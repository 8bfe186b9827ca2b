#include "core/pipeline/quality_search.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

// Loss falls with the size as it does in models: a factor of about four a bit.
double TrueLoss(double bytes) { return std::exp(-bytes / 100'000); }

std::vector<FrontierPoint> FrontierOf(double bias) {
  std::vector<FrontierPoint> frontier;
  for (int i = 0; i < 40; ++i) {
    const double bytes = 500'000 * std::pow(4.0, i / 39.0);
    frontier.push_back({static_cast<uint64_t>(bytes), bias * TrueLoss(bytes)});
  }
  return frontier;
}

struct Found {
  absl::StatusOr<QualityOutcome> outcome;
  int measured = 0;
};

Found Find(double bias, double limit, bool by_perplexity, const std::function<double(double)>& loss) {
  Found run{absl::UnknownError("")};
  run.outcome = FindSmallestPassing(
      FrontierOf(bias), limit, by_perplexity,
      [&](uint64_t bytes) -> absl::StatusOr<game::Plan> {
        game::Plan plan;
        plan.bytes = bytes;
        plan.loss = bias * TrueLoss(static_cast<double>(bytes));
        return plan;
      },
      [&](const game::Plan& plan) -> absl::StatusOr<Trial> {
        ++run.measured;
        Trial trial{plan.bytes, plan.loss, loss(static_cast<double>(plan.bytes)), 0, 0, false};
        trial.perplexity_change = std::expm1(trial.mean_kl);
        trial.passed = trial.mean_kl <= limit;
        return trial;
      });
  return run;
}

TEST(QualitySearchTest, FindsTheSizeWhateverThePredictionsBias) {
  for (const double bias : {0.1, 0.5, 1.0, 3.0, 20.0}) {
    for (const double limit : {5e-3, 1e-4, 1e-6}) {
      for (const bool by_perplexity : {false, true}) {
        const Found run = Find(bias, limit, by_perplexity, TrueLoss);
        ASSERT_TRUE(run.outcome.ok()) << bias << " " << limit;
        const double best = -100'000 * std::log(limit);
        EXPECT_GE(run.outcome->plan.bytes, best);
        EXPECT_LE(run.outcome->plan.bytes, best * 1.006) << bias << " " << limit;
        EXPECT_LE(run.measured, 10);
        EXPECT_EQ(static_cast<size_t>(run.measured), run.outcome->trials.size());
      }
    }
  }
}

TEST(QualitySearchTest, AGoodPredictionNeedsFewTrials) { EXPECT_LE(Find(1.0, 1e-3, false, TrueLoss).measured, 5); }

TEST(QualitySearchTest, StepsInTheMeasuredLossEndInAPassingPlan) {
  const auto steps = [](double bytes) { return TrueLoss(std::floor(bytes / 50'000) * 50'000); };
  const Found run = Find(1.0, 1e-4, false, steps);
  ASSERT_TRUE(run.outcome.ok());
  EXPECT_LE(steps(static_cast<double>(run.outcome->plan.bytes)), 1e-4);
}

TEST(QualitySearchTest, WhenTheSmallestPassesItIsTaken) {
  const Found run = Find(1.0, 0.5, false, TrueLoss);
  ASSERT_TRUE(run.outcome.ok());
  EXPECT_EQ(run.outcome->plan.bytes, 500'000u);
}

TEST(QualitySearchTest, AnUnreachableQualityIsAnError) {
  const Found run = Find(1.0, 1e-3, false, [](double) { return 0.5; });
  EXPECT_EQ(ReasonOf(run.outcome.status()), "QUALITY_UNREACHABLE");
}

}  // namespace
}  // namespace nashswarm::pipeline
