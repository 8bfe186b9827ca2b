// What every Store promises to those who share it: tenants, quotas, admission, poison, and many processes at once.
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "gmock/gmock.h"
#include "tests/unit/server/job_store_conformance.h"

namespace nashswarm::server {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class JobStoreSharingConformanceTest : public JobStoreConformanceTest {
 protected:
  // A model of `tenant`, of one file with this content.
  void MakeModelOf(const std::string& tenant, const std::string& id, const std::string& content) {
    const BlobDigest digest = DigestOf(content);
    ASSERT_TRUE(store().RegisterBlob(digest).ok());
    NewUpload upload;
    upload.tenant = tenant;
    upload.ttl_us = 1000 * kSecond;
    upload.files = {{"w.bin", digest.size_bytes, digest.sha256, true}};
    const v1::Upload created = Must(store().CreateUpload(upload));
    NewModel model;
    model.id = id;
    model.manifest = DigestOf("manifest " + content);
    Must(store().PublishModel(tenant, created.name().substr(8), model));
  }
  JobStore::NewJob JobOf(const std::string& tenant, const std::string& model) {
    JobStore::NewJob job;
    job.tenant = tenant;
    job.model_id = model;
    job.spec.set_bits_per_weight(4);
    job.max_queued_jobs = 100;
    job.first_task = {v1::Job::PREPARE, 0};
    return job;
  }
  std::string ReasonOfCreate(const JobStore::NewJob& job) { return ReasonOf(store().CreateJob(job).status()); }
};

TEST_P(JobStoreSharingConformanceTest, TenantsDoNotSeeEachOther) {
  MakeModelOf("a", "m", "secret of a");
  MakeModelOf("b", "m", "another of b");
  const std::string job = Must(store().CreateJob(JobOf("a", "m"))).name().substr(5);

  EXPECT_NE(Must(store().GetModel("a", "m")).files(0).digest().sha256(),
            Must(store().GetModel("b", "m")).files(0).digest().sha256());
  EXPECT_EQ(ReasonOf(store().GetModel("c", "m").status()), "MODEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().GetJob("b", job).status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().CancelJob("b", job).status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().DeleteJob("b", job)), "JOB_NOT_FOUND");
  EXPECT_THAT(Must(store().ListJobs("b", {}, v1::Job::STATE_UNSPECIFIED)).items, SizeIs(0));
  EXPECT_THAT(Must(store().ListModels("b", {})).items, SizeIs(1));
  EXPECT_EQ(ReasonOf(store().FindFile("c", "models/m", "w.bin").status()), "MODEL_NOT_FOUND");
  EXPECT_TRUE(store().DeleteModel("b", "m").ok()) << "the job is on the other's model of that name";
  EXPECT_EQ(ReasonOf(store().DeleteModel("a", "m")), "MODEL_IN_USE");
  EXPECT_EQ(Claim().tenant, "a");
}

TEST_P(JobStoreSharingConformanceTest, KnowingADigestGivesNoRightToTheContent) {
  const std::string content = "secret of a";
  MakeModelOf("a", "m", content);
  EXPECT_EQ(Must(store().TouchOwnBlob("a", Sha256Of(content))), std::optional<int64_t>(content.size()));
  EXPECT_EQ(Must(store().TouchOwnBlob("b", Sha256Of(content))), std::nullopt);
  EXPECT_EQ(Must(store().FindModelByManifest("b", Sha256Of("manifest " + content), v1::Model::CHECKPOINT)),
            std::nullopt);
}

TEST_P(JobStoreSharingConformanceTest, TwoTenantsMayUseOneRequestId) {
  MakeModelOf("a", "m", "x");
  MakeModelOf("b", "m", "x");
  JobStore::NewJob job = JobOf("a", "m");
  job.request_id = "r";
  const std::string first = Must(store().CreateJob(job)).name();
  EXPECT_EQ(Must(store().CreateJob(job)).name(), first);
  job.tenant = "b";
  EXPECT_NE(Must(store().CreateJob(job)).name(), first);
}

TEST_P(JobStoreSharingConformanceTest, QuotasAreOfOneTenant) {
  MakeModelOf("a", "m", "12345");
  MakeModelOf("b", "m", "12345");
  NewUpload upload;
  upload.tenant = "a";
  upload.files = {{"w.bin", 5, "", false}};
  upload.max_stored_bytes = 9;
  EXPECT_EQ(ReasonOf(store().CreateUpload(upload).status()), "QUOTA_EXCEEDED");
  upload.max_stored_bytes = 10;
  EXPECT_TRUE(store().CreateUpload(upload).ok());
  EXPECT_EQ(ReasonOf(store().CreateUpload(upload).status()), "QUOTA_EXCEEDED") << "what is under way counts";

  JobStore::NewJob job = JobOf("a", "m");
  job.max_tenant_queued_jobs = 1;
  EXPECT_EQ(ReasonOfCreate(job), "");
  EXPECT_EQ(ReasonOfCreate(job), "QUOTA_EXCEEDED");
  job.tenant = "b";
  EXPECT_EQ(ReasonOfCreate(job), "");

  ClaimLimits limits;
  limits.max_running_jobs = [](const std::string& tenant) { return tenant == "a" ? 1 : 100; };
  Must(store().CreateJob(JobOf("a", "m")));
  std::multiset<std::string> tenants;
  while (const auto task = Must(store().ClaimTask("w", kLease, limits))) tenants.insert(task->tenant);
  EXPECT_THAT(tenants, ElementsAre("a", "b"));
}

TEST_P(JobStoreSharingConformanceTest, TasksAreLeftToThoseWhoCanRunThem) {
  MakeModelOf("a", "m", "x");
  JobStore::NewJob job = JobOf("a", "m");
  job.first_task.need_memory_bytes = 1000;
  job.first_task.need_disk_bytes = 50;
  Must(store().CreateJob(job));
  EXPECT_EQ(Must(store().ClaimTask("small", kLease, {999, 50, nullptr})), std::nullopt);
  EXPECT_EQ(Must(store().ClaimTask("full", kLease, {1000, 49, nullptr})), std::nullopt);
  const auto task = Must(store().ClaimTask("large", kLease, {1000, 50, nullptr}));
  ASSERT_TRUE(task.has_value());
  EXPECT_EQ(task->need_memory_bytes, 1000);
}

TEST_P(JobStoreSharingConformanceTest, TasksBeyondAWorkerAreListedByJobWhileTheyWait) {
  MakeModelOf("a", "m", "x");
  JobStore::NewJob job = JobOf("a", "m");
  job.first_task.need_memory_bytes = 1000;
  job.first_task.need_disk_bytes = 50;
  const std::string id = Must(store().CreateJob(job)).name().substr(5);
  Must(store().CreateJob(JobOf("a", "m")));
  EXPECT_TRUE(Must(store().TasksBeyond(1000, 50)).empty());
  for (const auto& [memory, disk] : {std::pair{999, 50}, {1000, 49}}) {
    const std::vector<LargeTasks> large = Must(store().TasksBeyond(memory, disk));
    ASSERT_EQ(large.size(), 1u);
    EXPECT_EQ(large[0].job_id, id);
    EXPECT_EQ(large[0].tasks, 1);
    EXPECT_EQ(large[0].memory_bytes, 1000);
    EXPECT_EQ(large[0].disk_bytes, 50);
  }
  Must(store().CancelJob("a", id));
  EXPECT_TRUE(Must(store().TasksBeyond(0, 0)).empty());
}

TEST_P(JobStoreSharingConformanceTest, WhatTakesItsWorkersDownIsPoison) {
  MakeModelOf("a", "m", "x");
  const std::string id = Must(store().CreateJob(JobOf("a", "m"))).name().substr(5);
  Claim();
  under_test_.Advance(kLease + 1);
  EXPECT_THAT(Must(store().ReapExpiredLeases(2)), SizeIs(1));
  EXPECT_EQ(Must(store().GetJob("a", id)).state(), v1::Job::RUNNING);
  const ClaimedTask second = Claim();
  EXPECT_EQ(second.attempt, 1) << "a lost worker costs no attempt";
  TaskFailure crash;
  crash.retriable = crash.crashed = true;
  crash.max_losses = 2;
  crash.error.set_message("signal 11");
  EXPECT_TRUE(Must(store().FailTask(second.lease, crash)).job_ended);
  const v1::Job job = Must(store().GetJob("a", id));
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_THAT(job.error().message(), ::testing::HasSubstr("signal 11"));
  EXPECT_TRUE(NothingToClaim());
}

TEST_P(JobStoreSharingConformanceTest, HashStateIsKeptWithItsOffset) {
  NewUpload request;
  request.tenant = "a";
  request.ttl_us = 1000 * kSecond;
  request.files = {{"w.bin", 10, "", false}};
  const std::string id = Must(store().CreateUpload(request)).name().substr(8);
  const UploadWriter first = Must(store().OpenUploadFile("a", id, "w.bin", 0));
  EXPECT_EQ(first.hash_state, "");
  ASSERT_TRUE(store().CommitUploadPart(first, {"k/1", 6}, 0, std::string("state\0six", 9), kSecond).ok());
  const UploadWriter second = Must(store().OpenUploadFile("a", id, "w.bin", 6));
  EXPECT_EQ(second.hash_state, std::string("state\0six", 9));
  ASSERT_TRUE(store().ResetUploadFile(second).ok());
  EXPECT_EQ(Must(store().OpenUploadFile("a", id, "w.bin", 0)).hash_state, "");
}

// Three processes with their own connections work one queue empty: every task is run once, every job ends once.
TEST_P(JobStoreSharingConformanceTest, ManyProcessesRunEveryTaskOnce) {
  constexpr int kJobs = 12, kShards = 3;
  MakeModelOf("a", "m", "x");
  for (int i = 0; i < kJobs; ++i) Must(store().CreateJob(JobOf("a", "m")));
  std::mutex mutex;
  std::map<std::string, int> runs;
  std::atomic<int> ended{0};
  const BlobDigest digest = DigestOf("output");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  const auto work = [&](int process) {
    const std::unique_ptr<Store> own = under_test_.reopen();
    while (ended < kJobs) {
      const auto task = own->ClaimTask(absl::StrCat("w", process), kLease);
      ASSERT_TRUE(task.ok()) << task.status();
      if (!task->has_value()) continue;
      const TaskKey& key = (*task)->lease.key;
      {
        std::lock_guard<std::mutex> lock(mutex);
        ++runs[absl::StrCat(key.job_id, "/", static_cast<int>(key.stage), "/", key.shard)];
      }
      v1::JobEvent event;
      event.mutable_log()->set_text("x");
      EXPECT_TRUE(own->ReportTask((*task)->lease, kLease, {1, 1, "t"}, {event}).ok());
      TaskFinish finish;
      finish.outputs = {{absl::StrCat(static_cast<int>(key.stage), "-", key.shard), digest}};
      if (key.stage == v1::Job::PREPARE) finish.shards = kShards, finish.stage_weights = 100;
      finish.next = NextTasks(key.stage, key.shard, {kShards, 0}, (*task)->spec);
      if (key.stage == v1::Job::PUBLISH) finish.success.emplace().files = {{"model.gguf", digest}};
      const absl::StatusOr<TaskEnd> end = own->FinishTask((*task)->lease, finish);
      ASSERT_TRUE(end.ok()) << end.status();
      if (end->job_ended) ++ended;
    }
  };
  std::vector<std::thread> processes;
  for (int i = 0; i < 3; ++i) processes.emplace_back(work, i);
  for (std::thread& process : processes) process.join();
  EXPECT_EQ(ended, kJobs);
  EXPECT_THAT(runs, SizeIs(kJobs * (3 + 2 * kShards)));  // prepare, solve, publish; measure and encode
  for (const auto& [task, times] : runs) EXPECT_EQ(times, 1) << task;
  EXPECT_THAT(Must(store().ListArtifacts("a", {})).items, SizeIs(kJobs));
}

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreSharingConformanceTest, EveryJobStore(),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
