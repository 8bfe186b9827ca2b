// The stores, the worker threads and the writers of uploads, used by many threads at once as a server does.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "core/base/json.h"
#include "gtest/gtest.h"
#include "server/scheduler/maintenance.h"
#include "server/scheduler/scheduler.h"
#include "server/services/upload_file_writer.h"
#include "server/store/directory_blob_store.h"
#include "server/store/s3/staged_writer.h"
#include "server/store/s3/s3_url.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/s3_fake_server.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

std::string FakeEngine() { return std::string(std::getenv("NASHSWARM_SOURCE_DIR")) + "/tests/integration/fake_engine.py"; }

class StoreThreadsTest : public ::testing::Test {
 protected:
  StoreThreadsTest() : directory_(*TemporaryDirectory::Create()) {
    store_ = Must(SqlStore::Open(Must(sql::OpenSqlite(directory_.path() + "/test.db"))));
    blobs_ = Must(DirectoryBlobStore::OpenAt(directory_.path() + "/blobs"));
  }
  // A model whose only file is the fake engine's plan.
  void PublishPlan(const std::string& id, const Json& plan) {
    const std::string content = plan.dump(), path = directory_.path() + "/" + id;
    const BlobDigest digest = DigestOf(content);
    ASSERT_TRUE(WriteFileUnsynced(path, content).ok());
    ASSERT_TRUE(blobs_->PutFile(path, digest).ok());
    ASSERT_TRUE(store_->RegisterBlob(digest).ok());
    NewUpload upload;
    upload.tenant = kDefaultTenant;
    upload.model_id = id;
    upload.kind = v1::Model::CHECKPOINT;
    upload.ttl_us = 1000 * kSecond;
    upload.files = {{"fake.json", digest.size_bytes, digest.sha256, true}};
    const v1::Upload created = Must(store_->CreateUpload(upload));
    NewModel model;
    model.id = id;
    model.kind = v1::Model::CHECKPOINT;
    model.manifest = DigestOf("manifest " + content);
    Must(store_->PublishModel(kDefaultTenant, created.name().substr(8), model));
  }

  TemporaryDirectory directory_;
  std::unique_ptr<SqlStore> store_;
  std::unique_ptr<DirectoryBlobStore> blobs_;
};

TEST_F(StoreThreadsTest, EveryTaskHasOneWorker) {
  MakeModel(*store_, "m", "weights");
  constexpr int kJobs = 12;
  for (int i = 0; i < kJobs; ++i) MakeJob(*store_, "m", /*max_attempts=*/1);
  std::atomic<int> claimed{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (;;) {
        const auto task = Must(store_->ClaimTask("w" + std::to_string(i), 60 * kSecond));
        if (!task.has_value()) return;
        ++claimed;
        EXPECT_FALSE(Must(store_->ReportTask(task->lease, 60 * kSecond, {1, 2, "t"}, {})));
        EXPECT_TRUE(store_->FailTask(task->lease, {}).ok());
      }
    });
  }
  std::thread reader([&] {
    while (!done) {
      EXPECT_TRUE(store_->ListJobs(kDefaultTenant, {}, v1::Job::STATE_UNSPECIFIED).ok());
      EXPECT_TRUE(store_->ReapExpiredLeases(2).ok());
    }
  });
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  EXPECT_EQ(claimed, kJobs);
}

TEST_F(StoreThreadsTest, UploadsAreReceivedAndWrittenAtTheSameTime) {
  const std::string content(3 << 20, 'x');
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&, i] {
      NewUpload upload;
      upload.tenant = kDefaultTenant;
      upload.model_id = "m" + std::to_string(i);
      upload.ttl_us = 1000 * kSecond;
      upload.files = {{"f", static_cast<int64_t>(content.size()), "", false}};
      const std::string id = Must(store_->CreateUpload(upload)).name().substr(8);
      UploadFileWriter writer(store_.get(), blobs_.get(), Must(store_->OpenUploadFile(kDefaultTenant, id, "f", 0)), 1 << 20,
                              1000 * kSecond);
      for (size_t at = 0; at < content.size(); at += 100000) ASSERT_TRUE(writer.Push(content.substr(at, 100000)).ok());
      ASSERT_TRUE(writer.Close().ok());
      v1::Digest digest;
      digest.set_sha256(Sha256Of(content));
      digest.set_size_bytes(static_cast<int64_t>(content.size()));
      const absl::Status finished = writer.Finish(digest);
      EXPECT_TRUE(finished.ok()) << finished;
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(StoreThreadsTest, WorkersRunStopAndAreWoken) {
  PublishPlan("plain", {{"runs", directory_.path() + "/runs"}, {"shards", 3}});
  const Json waits = {{"do", "wait"}, {"for", directory_.path() + "/never"}};
  PublishPlan("waits", {{"runs", directory_.path() + "/runs"}, {"shards", 1}, {"steps", {{"prepare:0", {waits}}}}});
  EventHub hub;
  Metrics metrics("test");
  EngineRunner engine(FakeEngine(), {.writable = {directory_.path()}});
  WorkerOptions options;
  options.work_root = directory_.path() + "/work";
  ASSERT_TRUE(MakeDirectories(options.work_root).ok());
  options.engine_digest = Sha256Of("engine");
  options.heartbeat = std::chrono::milliseconds(20);
  TaskRunner runner(store_.get(), blobs_.get(), &engine, &hub, &metrics, options);
  MaintenanceOptions often;
  often.reap_interval = often.gc_interval = std::chrono::milliseconds(10);
  Maintenance maintenance(store_.get(), blobs_.get(), &hub, &metrics, often);
  SchedulerOptions schedule;
  schedule.process_id = "test";
  schedule.work_root = options.work_root;
  Scheduler scheduler(store_.get(), &runner, &hub, &metrics, schedule);
  maintenance.Start();
  scheduler.Start(3);

  std::vector<std::string> jobs = {MakeJob(*store_, "plain"), MakeJob(*store_, "plain"), MakeJob(*store_, "waits")};
  hub.WorkAvailable();
  const auto ended = [&](const std::string& job) { return Must(store_->GetJob(kDefaultTenant, job)).has_end_time(); };
  const auto wait = [&](const std::string& job) {
    while (!ended(job)) hub.WaitForJob(job, hub.JobVersion(job), std::chrono::milliseconds(50));
  };
  wait(jobs[0]);
  wait(jobs[1]);
  EXPECT_TRUE(store_->CancelJob(kDefaultTenant, jobs[2]).ok());
  hub.WakeRunning();
  wait(jobs[2]);
  for (int i = 0; i < 2; ++i) {
    const v1::Job job = Must(store_->GetJob(kDefaultTenant, jobs[i]));
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.DebugString();
  }
  EXPECT_EQ(Must(store_->GetJob(kDefaultTenant, jobs[2])).state(), v1::Job::CANCELLED);
  const std::string last = MakeJob(*store_, "waits");  // is running, or waits, when all is stopped
  hub.WorkAvailable();
  maintenance.CollectSoon();
  scheduler.Stop();
  maintenance.Stop();
  EXPECT_FALSE(ended(last));
}

TEST(S3ThreadsTest, StagedWritersFillWhileTheySend) {
  constexpr int kWriters = 3, kSyncs = 4;
  FakeHttpServer server(std::vector<FakeHttpServer::Answer>(kWriters * kSyncs, FakeHttpServer::Of(200, "")));
  S3Client::Options options;
  options.location = Must(ParseS3Url(absl::StrCat("s3://bucket?endpoint=http://127.0.0.1:", server.port())));
  options.credentials = {"access", "secret", ""};
  S3Client client(options);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, i] {
      S3StagedWriter writer(&client, absl::StrCat("staging/", i, "/"));
      for (int sync = 0; sync < kSyncs; ++sync) {
        ASSERT_TRUE(writer.Append(absl::MakeConstSpan("some bytes", 10)).ok());
        const absl::Status synced = writer.Sync();
        ASSERT_TRUE(synced.ok()) << synced;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server.requests().size(), static_cast<size_t>(kWriters * kSyncs));
}

}  // namespace
}  // namespace nashswarm::server
