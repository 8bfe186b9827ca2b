#include "server/scheduler/scheduler.h"

#include <chrono>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "server/store/ids.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() : directory_(*TemporaryDirectory::Create()) {
    store_ = Must(SqlStore::Open(Must(sql::OpenSqlite(directory_.path() + "/test.db"))));
    MakeModel(*store_, "m", "weights");
    options_.process_id = "test";
    options_.work_root = directory_.path();
    options_.memory_bytes = 1000;
  }
  std::string JobThatNeeds(int64_t memory, int64_t disk) {
    JobStore::NewJob job;
    job.tenant = kDefaultTenant;
    job.model_id = std::string("m");
    job.spec.set_bits_per_weight(4);
    job.max_queued_jobs = 100;
    job.first_task = {v1::Job::PREPARE, 0, memory, disk};
    return IdOf(Must(store_->CreateJob(job)).name());
  }
  // What is logged by one look.
  std::string Note(Scheduler& scheduler) {
    ::testing::internal::CaptureStderr();
    EXPECT_TRUE(scheduler.NoteTooLarge().ok());
    return ::testing::internal::GetCapturedStderr();
  }
  std::string Exported() const { return prometheus::TextSerializer().Serialize(metrics_.registry()->Collect()); }

  TemporaryDirectory directory_;
  std::unique_ptr<SqlStore> store_;
  EventHub hub_;
  Metrics metrics_{"test"};
  TaskRunner runner_{store_.get(), nullptr, nullptr, &hub_, &metrics_, {}};  // runs nothing
  SchedulerOptions options_;
};

TEST_F(SchedulerTest, SaysOnceWhichJobsNoWorkerHereCanRun) {
  Scheduler scheduler(store_.get(), &runner_, &hub_, &metrics_, options_);
  const std::string fits = JobThatNeeds(1000, 0);
  const std::string large = JobThatNeeds(1001, 0);
  const std::string wide = JobThatNeeds(0, int64_t{1} << 55);
  const std::string log = Note(scheduler);
  EXPECT_THAT(log, HasSubstr(large));
  EXPECT_THAT(log, HasSubstr("1001"));
  EXPECT_THAT(log, HasSubstr(wide));
  EXPECT_THAT(log, Not(HasSubstr(fits)));
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_tasks_too_large 2"));
  EXPECT_THAT(Note(scheduler), Not(HasSubstr(large))) << "once is enough";

  EXPECT_TRUE(store_->CancelJob(kDefaultTenant, large).ok());
  Note(scheduler);
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_tasks_too_large 1"));
  EXPECT_TRUE(store_->RetryJob(kDefaultTenant, large).ok());
  EXPECT_THAT(Note(scheduler), HasSubstr(large)) << "whoever tries again is told again";
}

// It ran with the half of its spec that could be read.
TEST_F(SchedulerTest, AJobWhoseSpecIsLostFailsAndKeepsNoOtherWaiting) {
  const std::string lost = JobThatNeeds(0, 0), whole = JobThatNeeds(0, 0);
  const auto database = Must(sql::OpenSqlite(directory_.path() + "/test.db"));
  const absl::Status spoiled = database->Write([&](sql::Connection& db) {
    return db.Execute("UPDATE jobs SET spec = ? WHERE id = ?", sql::Blob{"\xff"}, lost).status();
  });
  ASSERT_TRUE(spoiled.ok()) << spoiled;
  const auto task = Must(store_->ClaimTask("w", 60 * kSecond));
  ASSERT_TRUE(task.has_value());
  ASSERT_EQ(task->lease.key.job_id, lost);
  TaskRunner runner(store_.get(), nullptr, nullptr, &hub_, &metrics_, {});
  runner.Run(*task);
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_task_failures_total{reason=\"DATABASE_CORRUPT\",stage=\"prepare\"} 1"));
  EXPECT_EQ(Must(store_->ClaimTask("w", 60 * kSecond))->lease.key.job_id, whole);
  EXPECT_EQ(ReasonOf(store_->GetJob(kDefaultTenant, lost).status()), "DATABASE_CORRUPT");
  const absl::Status deleted = store_->DeleteJob(kDefaultTenant, lost);
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_EQ(Must(store_->ListJobs(kDefaultTenant, {}, v1::Job::STATE_UNSPECIFIED)).items.size(), 1u);
}

TEST_F(SchedulerTest, WorkersLookByThemselves) {
  JobThatNeeds(1001, 0);
  Scheduler scheduler(store_.get(), &runner_, &hub_, &metrics_, options_);
  scheduler.Start(1);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const auto noticed = [&] { return Exported().find("nashswarm_tasks_too_large 1") != std::string::npos; };
  while (!noticed() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(noticed());
  scheduler.Stop();
}

}  // namespace
}  // namespace nashswarm::server
