// JobWatch without gRPC: what is written, in which order, and when it ends.
#include "server/services/job_watch.h"

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/stages/flow.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

class JobWatchTest : public ::testing::Test {
 protected:
  JobWatchTest() : directory_(*TemporaryDirectory::Create()) {
    store_ = Must(SqlStore::Open(Must(sql::OpenSqlite(directory_.path() + "/test.db"))));
    MakeModel(*store_, "m", "weights");
    job_ = MakeJob(*store_, "m");
  }
  absl::Status Watch(const JobWatch::Write& write, const std::function<bool()>& cancelled = [] { return false; }) {
    return JobWatch(store_.get(), &hub_, std::chrono::seconds(15), kDefaultTenant, job_, 0).Run(write, cancelled);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<SqlStore> store_;
  EventHub hub_;
  std::string job_;
};

TEST_F(JobWatchTest, NoEventIsLostWhileAnotherThreadWrites) {
  constexpr int kEvents = 300;
  std::thread worker([&] {
    const ClaimedTask task = *Must(store_->ClaimTask("w", 60 * kSecond));
    v1::JobEvent event;
    event.mutable_log()->set_text("x");
    for (int i = 0; i < kEvents; ++i) {
      EXPECT_TRUE(store_->ReportTask(task.lease, 60 * kSecond, {i, kEvents, "t"}, {event}).ok());
      hub_.JobChanged(job_);
    }
    EXPECT_TRUE(store_->FailTask(task.lease, {}).ok());
    hub_.JobChanged(job_);
  });
  std::vector<int64_t> sequences;
  v1::Job last;
  bool first = true;
  const absl::Status status = Watch([&](const v1::JobEvent& event) {
    EXPECT_TRUE(!first || event.has_snapshot());
    first = false;
    if (event.sequence() > 0) sequences.push_back(event.sequence());
    if (event.has_snapshot()) last = event.snapshot();
    return true;
  });
  worker.join();
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_EQ(sequences.size(), static_cast<size_t>(kEvents));
  for (int i = 0; i < kEvents; ++i) EXPECT_EQ(sequences[i], i + 1);
  EXPECT_EQ(last.state(), v1::Job::FAILED) << "the last thing seen is the end";
}

TEST_F(JobWatchTest, EndsWhenTheServerDrains) {
  std::atomic<bool> watching{false};
  std::thread drainer([&] {
    while (!watching) std::this_thread::yield();
    hub_.Drain();
  });
  const absl::Status status = Watch([&](const v1::JobEvent&) { return watching = true; });
  drainer.join();
  EXPECT_EQ(ReasonOf(status), "SHUTTING_DOWN");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(JobWatchTest, EndsWhenTheReaderGoes) {
  EXPECT_TRUE(absl::IsCancelled(Watch([](const v1::JobEvent&) { return false; })));
  EXPECT_TRUE(absl::IsCancelled(Watch([](const v1::JobEvent&) { return true; }, [] { return true; })));
}

TEST_F(JobWatchTest, EndsWhenTheJobIsDeleted) {
  Must(store_->CancelJob(kDefaultTenant, job_));
  EXPECT_TRUE(Watch([&](const v1::JobEvent& event) {
                EXPECT_EQ(event.snapshot().state(), v1::Job::CANCELLED);
                return true;
              }).ok());
  ASSERT_TRUE(store_->DeleteJob(kDefaultTenant, job_).ok());
  EXPECT_EQ(ReasonOf(Watch([](const v1::JobEvent&) { return true; })), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace nashswarm::server
