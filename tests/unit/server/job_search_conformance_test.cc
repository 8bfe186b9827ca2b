// What every Store promises about the rounds of a search, which run one after another between SOLVE and ENCODE.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/job_store_conformance.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class JobSearchConformanceTest : public JobStoreConformanceTest {
 protected:
  void SetUp() override {
    JobStoreConformanceTest::SetUp();
    if (IsSkipped()) return;
    MakeModel(store(), "m", "weights");
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(4);
    spec.mutable_calibration()->set_self(true);
    id_ = Must(CreateJobWith(store(), "m", spec)).name().substr(5);
  }
  // Up to the end of SOLVE, with one shard.
  void Solve(int search_rounds) {
    for (const Stage stage : {J::PREPARE, J::CALIBRATE, J::MEASURE}) {
      const ClaimedTask task = Claim();
      ASSERT_EQ(task.lease.key.stage, stage);
      EXPECT_EQ(task.search_rounds, 0);
      Finish(task, 1);
    }
    Finish(Claim(), 1, search_rounds);
  }
  ClaimedTask ClaimRound(int round) {
    const ClaimedTask task = Claim();
    EXPECT_EQ(task.lease.key.stage, J::SEARCH);
    EXPECT_EQ(task.lease.key.shard, round);
    return task;
  }
  v1::Job::Progress Progress() { return Job(id_).progress(); }

  std::string id_;
};

TEST_P(JobSearchConformanceTest, RoundsRunOneAfterAnother) {
  Solve(3);
  EXPECT_EQ(Progress().tasks_total(), 10) << "seven stages and three rounds";
  for (int round = 0; round < 3; ++round) {
    const ClaimedTask task = ClaimRound(round);
    EXPECT_EQ(task.search_rounds, 3);
    EXPECT_TRUE(NothingToClaim()) << "a round needs the one before it";
    EXPECT_THAT(Must(store().TaskOutputs(id_, {J::SEARCH})), SizeIs(round));
    Finish(task, 1);
  }
  EXPECT_EQ(Claim().lease.key.stage, J::ENCODE);
}

TEST_P(JobSearchConformanceTest, NoRoundsNoSearch) {
  Solve(0);
  EXPECT_EQ(Progress().tasks_total(), 7);
  EXPECT_EQ(Claim().lease.key.stage, J::ENCODE);
}

TEST_P(JobSearchConformanceTest, ARoundThatIsDoneDropsTheRest) {
  Solve(5);
  EXPECT_EQ(Progress().tasks_total(), 12);
  Finish(ClaimRound(0), 1);
  Finish(ClaimRound(1), 1, 2);
  EXPECT_EQ(Progress().tasks_total(), 9);
  for (const Stage stage : {J::ENCODE, J::EVALUATE, J::PUBLISH}) {
    const ClaimedTask task = Claim();
    EXPECT_EQ(task.lease.key.stage, stage);
    EXPECT_EQ(Finish(task, 1).job_ended, stage == J::PUBLISH);
  }
  EXPECT_EQ(Job(id_).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(Progress().tasks_done(), 9);
}

TEST_P(JobSearchConformanceTest, ALostWorkerCostsOneRound) {
  Solve(3);
  Finish(ClaimRound(0), 1);
  const ClaimedTask lost = ClaimRound(1);
  under_test_.Advance(kLease);
  Must(store().ReapExpiredLeases(kMaxLosses));
  const ClaimedTask again = ClaimRound(1);
  EXPECT_GT(again.lease.epoch, lost.lease.epoch);
  EXPECT_EQ(ReasonOf(store().FinishTask(lost.lease, {}).status()), "FENCED");
  Finish(again, 1);
  ClaimRound(2);
}

TEST_P(JobSearchConformanceTest, AFencedRoundDoesNotEndTheSearch) {
  Solve(3);
  const ClaimedTask lost = ClaimRound(0);
  under_test_.Advance(kLease);
  Must(store().ReapExpiredLeases(kMaxLosses));
  TaskFinish done;
  done.search_rounds = 1;
  EXPECT_EQ(ReasonOf(store().FinishTask(lost.lease, done).status()), "FENCED");
  EXPECT_EQ(ClaimRound(0).search_rounds, 3);
}

TEST_P(JobSearchConformanceTest, ARetryGoesOnWithTheRoundThatFailed) {
  Solve(3);
  Finish(ClaimRound(0), 1);
  EXPECT_TRUE(Must(store().FailTask(ClaimRound(1).lease, {})).job_ended);
  EXPECT_EQ(Job(id_).state(), v1::Job::FAILED);
  EXPECT_EQ(Must(store().RetryJob(kDefaultTenant, id_)).state(), v1::Job::QUEUED);
  const ClaimedTask again = ClaimRound(1);
  EXPECT_EQ(again.attempt, 1);
  EXPECT_EQ(again.search_rounds, 3);
  EXPECT_EQ(Job(id_).state(), v1::Job::RUNNING);
  EXPECT_EQ(Progress().tasks_done(), 5);
  EXPECT_EQ(Progress().tasks_total(), 10);
  Finish(again, 1);
  Finish(ClaimRound(2), 1);
  EXPECT_EQ(Claim().lease.key.stage, J::ENCODE);
}

TEST_P(JobSearchConformanceTest, CancelBetweenRoundsCanBeRetried) {
  Solve(3);
  const ClaimedTask round = ClaimRound(0);
  EXPECT_TRUE(Must(store().CancelJob(kDefaultTenant, id_)).cancel_requested());
  EXPECT_TRUE(Must(store().MustStop(round.lease)));
  EXPECT_TRUE(Finish(round, 1).job_ended) << "it was done before it heard";
  EXPECT_EQ(Job(id_).state(), v1::Job::CANCELLED);
  EXPECT_TRUE(NothingToClaim());
  Must(store().RetryJob(kDefaultTenant, id_));
  ClaimRound(1);
}

TEST_P(JobSearchConformanceTest, HistoryHasTheRoundsBetweenSolveAndEncode) {
  Solve(2);
  Finish(ClaimRound(0), 1);
  Finish(ClaimRound(1), 1);
  Finish(Claim(), 1);
  std::vector<std::pair<Stage, int>> order;
  for (const TaskRecord& record : Must(store().TaskHistory(id_))) order.emplace_back(record.stage, record.shard);
  EXPECT_THAT(order, ElementsAre(std::pair(J::PREPARE, 0), std::pair(J::CALIBRATE, 0), std::pair(J::MEASURE, 0),
                                 std::pair(J::SOLVE, 0), std::pair(J::SEARCH, 0), std::pair(J::SEARCH, 1),
                                 std::pair(J::ENCODE, 0)));
}

TEST_P(JobSearchConformanceTest, ProgressTakesTheRoundsToComeToBeLikeTheOthers) {
  Solve(4);
  const auto report = [this](const ClaimedTask& task, int64_t done) {
    EXPECT_FALSE(Must(store().ReportTask(task.lease, kLease, {done, 100, "round"}, {})));
  };
  const ClaimedTask first = ClaimRound(0);
  EXPECT_EQ(Progress().stage(), J::SEARCH);
  EXPECT_EQ(Progress().weights_total(), 0) << "nobody knows yet";
  report(first, 50);
  EXPECT_EQ(Progress().weights_done(), 50);
  EXPECT_EQ(Progress().weights_total(), 400);
  EXPECT_EQ(Progress().unit(), "tokens");
  EXPECT_FALSE(Progress().has_eta());
  Finish(first, 1);
  Finish(ClaimRound(1), 1);  // as one that is reused: it never says anything
  report(ClaimRound(2), 50);
  EXPECT_EQ(Progress().weights_done(), 150);
  EXPECT_EQ(Progress().weights_total(), 300);
}

TEST_P(JobSearchConformanceTest, TimeSpentSearchingSaysNothingAboutEncoding) {
  const std::string plain = MakeJob(store(), "m");  // nothing is evaluated, so the passes over the weights set the pace
  Must(store().CancelJob(kDefaultTenant, id_));
  for (const Stage stage : {J::PREPARE, J::MEASURE}) {
    const ClaimedTask task = Claim();
    ASSERT_EQ(task.lease.key.stage, stage);
    Finish(task, 1);
  }
  Finish(Claim(), 1, 1);
  const ClaimedTask round = ClaimRound(0);
  under_test_.Advance(1000 * kSecond);
  EXPECT_FALSE(Must(store().ReportTask(round.lease, kLease, {50, 100, ""}, {})));
  EXPECT_FALSE(Job(plain).progress().has_eta());
  Finish(round, 1);
  const ClaimedTask encode = Claim();
  EXPECT_FALSE(Must(store().ReportTask(encode.lease, kLease, {50, 100, ""}, {})));
  EXPECT_FALSE(Job(plain).progress().has_eta());
}

INSTANTIATE_TEST_SUITE_P(Stores, JobSearchConformanceTest, EveryJobStore(),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
