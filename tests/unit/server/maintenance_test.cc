#include "server/scheduler/maintenance.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "server/store/directory_blob_store.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MaintenanceTest : public ::testing::Test {
 protected:
  MaintenanceTest() : directory_(*TemporaryDirectory::Create()) {
    store_ = Must(SqlStore::Open(Must(sql::OpenSqlite(directory_.path() + "/test.db"))));
    MakeModel(*store_, "m", "weights");
  }
  // A worker claims the next task and is never heard of again.
  void LoseAWorker() {
    ASSERT_TRUE(Must(store_->ClaimTask("w", /*lease_us=*/1)).has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::string Exported() const { return prometheus::TextSerializer().Serialize(metrics_.registry()->Collect()); }

  TemporaryDirectory directory_;
  std::unique_ptr<SqlStore> store_;
  EventHub hub_;
  Metrics metrics_{"test"};
};

TEST_F(MaintenanceTest, CountsWorkersThatVanishAndTheJobsTheyTakeAlong) {
  MakeJob(*store_, "m");
  MaintenanceOptions options;
  options.max_losses = 2;
  Maintenance maintenance(store_.get(), nullptr, &hub_, &metrics_, options);
  LoseAWorker();
  ASSERT_TRUE(maintenance.ReapOnce().ok());
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_tasks_total{outcome=\"lost\",stage=\"prepare\"} 1"));
  EXPECT_THAT(Exported(), Not(HasSubstr("POISON")));
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_job_duration_seconds_count{state=\"FAILED\"} 0"));
  LoseAWorker();
  ASSERT_TRUE(maintenance.ReapOnce().ok());
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_tasks_total{outcome=\"lost\",stage=\"prepare\"} 2"));
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_task_failures_total{reason=\"POISON\",stage=\"prepare\"} 1"));
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_job_duration_seconds_count{state=\"FAILED\"} 1"));
}

TEST_F(MaintenanceTest, CountsTheEndOfACancelledJobWhoseWorkerVanished) {
  const std::string id = MakeJob(*store_, "m");
  LoseAWorker();
  Must(store_->CancelJob(kDefaultTenant, id));
  Maintenance maintenance(store_.get(), nullptr, &hub_, &metrics_, {});
  ASSERT_TRUE(maintenance.ReapOnce().ok());
  EXPECT_THAT(Exported(), HasSubstr("nashswarm_job_duration_seconds_count{state=\"CANCELLED\"} 1"));
}

// In S3 freeing them takes long, and lost workers were not noticed meanwhile.
TEST_F(MaintenanceTest, TheBytesOfExpiredUploadsAreTheCollectorsToFree) {
  const std::unique_ptr<DirectoryBlobStore> blobs = Must(DirectoryBlobStore::OpenAt(directory_.path() + "/blobs"));
  Maintenance maintenance(store_.get(), blobs.get(), &hub_, &metrics_, {});
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.ttl_us = 0;
  request.files = {{"w.bin", 10, "", false}};
  const std::string id = Must(store_->CreateUpload(request)).name().substr(8);
  ASSERT_TRUE(Must(blobs->CreateStaged(id + "/a"))->Append("bytes").ok());
  ASSERT_TRUE(maintenance.ExpireOnce().ok());
  EXPECT_EQ(Must(store_->GetUpload(kDefaultTenant, id)).state(), v1::Upload::EXPIRED);
  EXPECT_THAT(Must(blobs->ListStagedGroups()), ::testing::ElementsAre(id));
  ASSERT_TRUE(maintenance.CollectOnce().ok());
  EXPECT_THAT(Must(blobs->ListStagedGroups()), ::testing::IsEmpty());
}

TEST_F(MaintenanceTest, SaysWhenItLastWentThroughTheGarbage) {
  const std::unique_ptr<DirectoryBlobStore> blobs = Must(DirectoryBlobStore::OpenAt(directory_.path() + "/blobs"));
  Maintenance maintenance(store_.get(), blobs.get(), &hub_, &metrics_, {});
  const auto collected = [&] {
    for (const prometheus::MetricFamily& family : metrics_.registry()->Collect()) {
      if (family.name == "nashswarm_garbage_collected_timestamp_seconds") return family.metric.at(0).gauge.value;
    }
    return 0.0;
  };
  const double start = collected();
  EXPECT_GT(start, 1e9);
  ASSERT_TRUE(maintenance.CollectOnce().ok());
  EXPECT_GT(collected(), start);
}

}  // namespace
}  // namespace nashswarm::server
