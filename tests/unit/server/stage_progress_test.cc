#include "server/stages/progress.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;

constexpr int64_t kStarted = 1000;

v1::CompressionSpec WithText() {
  v1::CompressionSpec spec;
  spec.mutable_calibration()->set_text("models/text");
  return spec;
}
v1::CompressionSpec WithImatrix() {
  v1::CompressionSpec spec;
  spec.mutable_calibration()->set_imatrix("models/imatrix");
  return spec;
}

JobPlan Plan(int search_rounds = 0) { return {{.shards = 2, .search_rounds = search_rounds}, 100, kStarted}; }

StageTasks At(Stage stage, int64_t done = 0, int64_t total = 0, int64_t claimed_us = 0) {
  return {.stage = stage, .count = 2, .succeeded = 1, .done = done, .total = total, .sized = 1, .claimed_us = claimed_us};
}

v1::Job::Progress Progress(const std::vector<StageTasks>& stages, const JobPlan& plan, const v1::CompressionSpec& spec = {}) {
  v1::Job::Progress progress;
  FillProgress(stages, plan, spec, &progress);
  return progress;
}

double Share(const std::vector<StageTasks>& stages, const JobPlan& plan, const v1::CompressionSpec& spec = {}) {
  const std::optional<WorkDone> work = WorkDoneOf(stages, plan, spec);
  return work.has_value() ? work->share : -1;
}

TEST(StageProgressTest, UnitAndTotalsAreTheStages) {
  EXPECT_EQ(Progress({}, Plan()).stage(), J::STAGE_UNSPECIFIED);
  const v1::Job::Progress measure = Progress({At(J::PREPARE), At(J::MEASURE, 30, 50)}, Plan());
  EXPECT_EQ(measure.stage(), J::MEASURE);
  EXPECT_EQ(measure.unit(), "weights");
  EXPECT_EQ(measure.weights_done(), 30);
  EXPECT_EQ(measure.weights_total(), 100) << "the other shard has not said its weights yet";
  EXPECT_EQ(measure.tasks_done(), 2);
  EXPECT_EQ(measure.tasks_total(), 7) << "prepare, two of measure, solve, two of encode, publish";
  const v1::Job::Progress search = Progress({At(J::SOLVE), At(J::SEARCH, 30, 50)}, Plan(3), WithText());
  EXPECT_EQ(search.unit(), "tokens");
  EXPECT_EQ(search.weights_total(), 150) << "rounds to come are like the first";
  EXPECT_EQ(search.tasks_total(), 12);
}

TEST(StageProgressTest, PassesOverTheWeightsAreTheWork) {
  EXPECT_EQ(Share({At(J::PREPARE)}, Plan()), 0);
  EXPECT_EQ(Share({At(J::PREPARE), At(J::MEASURE, 50, 100)}, Plan()), 0.25);
  EXPECT_EQ(Share({At(J::MEASURE, 100, 100), At(J::SOLVE, 5, 10)}, Plan()), 0.5);
  EXPECT_EQ(Share({At(J::MEASURE, 100, 100), At(J::ENCODE, 50, 100)}, Plan()), 0.75);
  EXPECT_EQ(Share({At(J::ENCODE, 100, 100), At(J::PUBLISH)}, Plan()), -1);
  EXPECT_EQ(Share({At(J::MEASURE, 50, 100)}, {{.shards = 2}, 0, kStarted}), -1) << "nobody knows how much a pass is";
  EXPECT_EQ(WorkDoneOf({At(J::MEASURE, 50, 100, kStarted + 5)}, Plan(), {})->since_us, kStarted);
}

TEST(StageProgressTest, StagesWithAPaceOfTheirOwnSayNothingAboutThePasses) {
  EXPECT_EQ(Share({At(J::PREPARE), At(J::CALIBRATE, 5, 10)}, Plan(), WithImatrix()), -1);
  const std::vector<StageTasks> measure = {At(J::CALIBRATE, 10, 10), At(J::MEASURE, 50, 100, kStarted + 5)};
  EXPECT_EQ(Share(measure, Plan(), WithImatrix()), 0.25);
  EXPECT_EQ(WorkDoneOf(measure, Plan(), WithImatrix())->since_us, kStarted + 5) << "the calibration's time does not count";
  EXPECT_EQ(Share({At(J::MEASURE, 100, 100), At(J::ENCODE, 50, 100)}, Plan(1), WithImatrix()), -1) << "a search was between";
  EXPECT_EQ(Share(measure, Plan(), WithText()), -1) << "an evaluation is still to come";
  const std::vector<StageTasks> evaluate = {At(J::ENCODE, 100, 100), At(J::EVALUATE, 5, 10, kStarted + 9)};
  EXPECT_EQ(Share(evaluate, Plan(1), WithText()), 0.5);
  EXPECT_EQ(WorkDoneOf(evaluate, Plan(), WithText())->since_us, kStarted + 9);
  EXPECT_EQ(Share({At(J::EVALUATE, 10, 10), At(J::PUBLISH)}, Plan(), WithText()), -1);
}

}  // namespace
}  // namespace nashswarm::server
