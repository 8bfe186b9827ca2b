// What every Store promises (server/store/store.h).
#include "tests/unit/server/job_store_conformance.h"

#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST_P(JobStoreConformanceTest, JobGoesThroughItsStagesAndEndsOnce) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  EXPECT_EQ(Job(id).state(), v1::Job::QUEUED);
  std::vector<std::pair<Stage, int>> order;
  for (int i = 0; i < 7; ++i) {
    const ClaimedTask task = Claim();
    ASSERT_EQ(task.lease.key.job_id, id);
    EXPECT_THAT(task.model_files, SizeIs(1));
    EXPECT_EQ(Job(id).state(), v1::Job::RUNNING);
    order.emplace_back(task.lease.key.stage, task.lease.key.shard);
    EXPECT_EQ(Finish(task).job_ended, i == 6);
  }
  using J = v1::Job;
  EXPECT_THAT(order, ElementsAre(std::pair(J::PREPARE, 0), std::pair(J::MEASURE, 0), std::pair(J::MEASURE, 1),
                                 std::pair(J::SOLVE, 0), std::pair(J::ENCODE, 0), std::pair(J::ENCODE, 1),
                                 std::pair(J::PUBLISH, 0)));
  EXPECT_TRUE(NothingToClaim());
  const v1::Job job = Job(id);
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_TRUE(job.has_end_time());
  EXPECT_EQ(job.progress().tasks_done(), 7);
  const v1::Artifact artifact = Must(store().GetArtifact(kDefaultTenant, job.result().artifact().substr(10)));
  EXPECT_THAT(artifact.files(), SizeIs(1));
  EXPECT_EQ(artifact.job(), job.name());
}

TEST_P(JobStoreConformanceTest, NextStageWaitsForEveryShard) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  Finish(Claim());
  const ClaimedTask first = Claim("w1"), second = Claim("w2");
  EXPECT_EQ(second.lease.key.shard, 1);
  Finish(second);
  EXPECT_TRUE(NothingToClaim()) << "shard 0 still runs";
  Finish(first);
  EXPECT_EQ(Claim().lease.key.stage, v1::Job::SOLVE);
}

TEST_P(JobStoreConformanceTest, OutputsAreReadByStage) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  for (int i = 0; i < 3; ++i) Finish(Claim());
  const auto outputs = Must(store().TaskOutputs(id, {v1::Job::PREPARE, v1::Job::MEASURE}));
  ASSERT_THAT(outputs, SizeIs(3));
  EXPECT_EQ(outputs[0].name, "measure-0");
  EXPECT_EQ(outputs[2].digest, DigestOf("output of prepare0"));
  EXPECT_THAT(Must(store().TaskOutputs(id, {v1::Job::SOLVE})), SizeIs(0));
}

TEST_P(JobStoreConformanceTest, UrgentJobsFirstThenOldest) {
  MakeModel(store(), "m", "weights");
  const std::string old_job = MakeJob(store(), "m");
  under_test_.Advance(1);
  const std::string new_job = MakeJob(store(), "m");
  under_test_.Advance(1);
  const std::string urgent = MakeJob(store(), "m", 3, 0);
  EXPECT_EQ(Claim().lease.key.job_id, urgent);
  EXPECT_EQ(Claim().lease.key.job_id, old_job);
  EXPECT_EQ(Claim().lease.key.job_id, new_job);
}

TEST_P(JobStoreConformanceTest, ExpiredLeaseGoesToAnotherAndTheFirstIsFenced) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m", /*max_attempts=*/1);
  const ClaimedTask first = Claim("w1");
  under_test_.Advance(kLease - 1);
  EXPECT_THAT(Must(store().ReapExpiredLeases(kMaxLosses)), SizeIs(0));
  EXPECT_TRUE(NothingToClaim());
  under_test_.Advance(1);
  const std::vector<LostTask> lost = Must(store().ReapExpiredLeases(kMaxLosses));
  ASSERT_THAT(lost, SizeIs(1));
  EXPECT_EQ(lost[0].key.job_id, id);
  EXPECT_FALSE(lost[0].poison);
  EXPECT_FALSE(lost[0].end.job_ended);
  const ClaimedTask second = Claim("w1");  // even the same owner: the epoch differs
  EXPECT_GT(second.lease.epoch, first.lease.epoch);
  EXPECT_EQ(second.attempt, 1) << "a lost worker costs no attempt";

  EXPECT_EQ(ReasonOf(store().ReportTask(first.lease, kLease, {}, {}).status()), "FENCED");
  EXPECT_EQ(ReasonOf(store().FinishTask(first.lease, {}).status()), "FENCED");
  EXPECT_EQ(ReasonOf(store().FailTask(first.lease, {}).status()), "FENCED");
  EXPECT_EQ(ReasonOf(store().StopTask(first.lease).status()), "FENCED");
  EXPECT_EQ(ReasonOf(store().ReleaseTask(first.lease)), "FENCED");
  EXPECT_TRUE(Must(store().MustStop(first.lease)));
  EXPECT_FALSE(Must(store().MustStop(second.lease)));
  EXPECT_EQ(Job(id).state(), v1::Job::RUNNING);
  Finish(second);
}

TEST_P(JobStoreConformanceTest, ReportsKeepTheLease) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  const ClaimedTask task = Claim();
  for (int i = 0; i < 5; ++i) {
    under_test_.Advance(kLease - 1);
    EXPECT_FALSE(Must(store().ReportTask(task.lease, kLease, {10 * i, 100, "t"}, {})));
    EXPECT_THAT(Must(store().ReapExpiredLeases(kMaxLosses)), SizeIs(0));
  }
  EXPECT_EQ(Job(task.lease.key.job_id).progress().weights_done(), 40);
  EXPECT_EQ(Job(task.lease.key.job_id).progress().current_tensor(), "t");
}

TEST_P(JobStoreConformanceTest, TaskThatTakesItsWorkersDownEndsSomeDay) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  int claims = 0;
  while (Job(id).state() != v1::Job::FAILED && claims < 100) {
    Claim();
    ++claims;
    under_test_.Advance(kLease);
    const std::vector<LostTask> lost = Must(store().ReapExpiredLeases(kMaxLosses));
    ASSERT_THAT(lost, SizeIs(1));
    EXPECT_EQ(lost[0].poison, claims == 10);
    EXPECT_EQ(lost[0].end.job_ended, claims == 10);
    if (lost[0].end.job_ended) { EXPECT_EQ(lost[0].end.job_state, v1::Job::FAILED); }
  }
  EXPECT_EQ(claims, 10);
}

TEST_P(JobStoreConformanceTest, RestartReleasesEveryLeaseAndKeepsFinishedTasks) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  Finish(Claim());
  const ClaimedTask interrupted = Claim();
  under_test_.store = under_test_.reopen();
  EXPECT_THAT(Must(store().ReapEveryLease(kMaxLosses)), SizeIs(1));
  const ClaimedTask again = Claim();
  EXPECT_EQ(again.lease.key.stage, v1::Job::MEASURE);
  EXPECT_EQ(again.lease.key.shard, interrupted.lease.key.shard);
  EXPECT_THAT(Must(store().TaskOutputs(id, {v1::Job::PREPARE})), SizeIs(1));
}

TEST_P(JobStoreConformanceTest, RetriableFailureWaitsAndTheLastOneFailsTheJob) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m", /*max_attempts=*/2);
  TaskFailure failure;
  failure.error.set_message("boom");
  failure.retriable = true;
  failure.backoff_us = 5 * kSecond;
  EXPECT_FALSE(Must(store().FailTask(Claim().lease, failure)).job_ended);
  EXPECT_EQ(Job(id).state(), v1::Job::RUNNING);
  EXPECT_EQ(Job(id).error().message(), "boom");
  EXPECT_TRUE(NothingToClaim());
  under_test_.Advance(5 * kSecond);
  const ClaimedTask second = Claim();
  EXPECT_EQ(second.attempt, 2);
  EXPECT_TRUE(Must(store().FailTask(second.lease, failure)).job_ended);
  EXPECT_EQ(Job(id).state(), v1::Job::FAILED);
  EXPECT_TRUE(NothingToClaim());

  EXPECT_EQ(Must(store().RetryJob(kDefaultTenant, id)).state(), v1::Job::QUEUED);
  EXPECT_EQ(Claim().attempt, 1) << "a fresh budget";
}

TEST_P(JobStoreConformanceTest, SuccessfulAttemptClearsTheError) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  TaskFailure failure;
  failure.retriable = true;
  failure.error.set_message("boom");
  Must(store().FailTask(Claim().lease, failure));
  EXPECT_TRUE(Job(id).has_error());
  Finish(Claim());
  EXPECT_FALSE(Job(id).has_error());
}

TEST_P(JobStoreConformanceTest, PermanentFailureStopsTheOtherTasks) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  Finish(Claim(), 3);
  const ClaimedTask failing = Claim("w1"), running = Claim("w2");
  EXPECT_TRUE(Must(store().FailTask(failing.lease, {})).job_ended);
  EXPECT_EQ(Job(id).state(), v1::Job::FAILED);
  EXPECT_TRUE(NothingToClaim()) << "the third shard is cancelled";
  EXPECT_TRUE(Must(store().MustStop(running.lease)));
  EXPECT_FALSE(Must(store().StopTask(running.lease)).job_ended) << "it had ended before";
  EXPECT_EQ(Job(id).state(), v1::Job::FAILED);
}

TEST_P(JobStoreConformanceTest, RetryFencesAWorkerThatHasNotStoppedYet) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  Finish(Claim());
  const ClaimedTask failing = Claim("w1"), slow = Claim("w2");
  Must(store().FailTask(failing.lease, {}));
  Must(store().RetryJob(kDefaultTenant, id));
  EXPECT_EQ(ReasonOf(store().FinishTask(slow.lease, {}).status()), "FENCED");
  Finish(Claim());
  Finish(Claim());
  EXPECT_EQ(Claim().lease.key.stage, v1::Job::SOLVE);
}

TEST_P(JobStoreConformanceTest, CancelEndsWaitingJobsAtOnceAndRunningOnesWhenTheyStop) {
  MakeModel(store(), "m", "weights");
  const std::string waiting = MakeJob(store(), "m");
  EXPECT_EQ(Must(store().CancelJob(kDefaultTenant, waiting)).state(), v1::Job::CANCELLED);
  EXPECT_EQ(Must(store().CancelJob(kDefaultTenant, waiting)).state(), v1::Job::CANCELLED);
  EXPECT_TRUE(NothingToClaim());

  const std::string running = MakeJob(store(), "m");
  const ClaimedTask task = Claim();
  const v1::Job asked = Must(store().CancelJob(kDefaultTenant, running));
  EXPECT_EQ(asked.state(), v1::Job::RUNNING);
  EXPECT_TRUE(asked.cancel_requested());
  EXPECT_TRUE(Must(store().MustStop(task.lease)));
  EXPECT_TRUE(Must(store().ReportTask(task.lease, kLease, {}, {})));
  const TaskEnd end = Must(store().StopTask(task.lease));
  EXPECT_TRUE(end.job_ended);
  EXPECT_EQ(end.job_state, v1::Job::CANCELLED);
}

TEST_P(JobStoreConformanceTest, CancelAtTheEndOfAStageCanStillBeRetried) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  Finish(Claim(), 1);
  const ClaimedTask measure = Claim();
  Must(store().CancelJob(kDefaultTenant, id));
  EXPECT_TRUE(Finish(measure, 1).job_ended);
  EXPECT_EQ(Job(id).state(), v1::Job::CANCELLED);
  Must(store().RetryJob(kDefaultTenant, id));
  EXPECT_EQ(Claim().lease.key.stage, v1::Job::SOLVE) << "the finished stage is kept, and the next one is there";
}

TEST_P(JobStoreConformanceTest, CancelBeforePublishingEndsLeavesNoArtifact) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  for (int i = 0; i < 4; ++i) Finish(Claim(), 1);
  const ClaimedTask publish = Claim();
  ASSERT_EQ(publish.lease.key.stage, v1::Job::PUBLISH);
  Must(store().CancelJob(kDefaultTenant, id));
  EXPECT_TRUE(Finish(publish, 1).job_ended);
  EXPECT_EQ(Job(id).state(), v1::Job::CANCELLED);
  EXPECT_THAT(Must(store().ListArtifacts(kDefaultTenant, {})).items, SizeIs(0));
  Must(store().RetryJob(kDefaultTenant, id));
  EXPECT_EQ(Claim().lease.key.stage, v1::Job::PUBLISH);
}

TEST_P(JobStoreConformanceTest, CancelledJobOfADeadWorkerEndsWhenReaped) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  Claim();
  Must(store().CancelJob(kDefaultTenant, id));
  under_test_.Advance(kLease);
  Must(store().ReapExpiredLeases(kMaxLosses));
  EXPECT_EQ(Job(id).state(), v1::Job::CANCELLED);
}

TEST_P(JobStoreConformanceTest, ReleasedTaskCostsNoAttempt) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m", 1);
  for (int i = 0; i < 20; ++i) {
    const ClaimedTask task = Claim();
    EXPECT_EQ(task.attempt, 1);
    EXPECT_TRUE(store().ReleaseTask(task.lease).ok());
  }
}

TEST_P(JobStoreConformanceTest, EventsHaveIncreasingSequences) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m");
  const ClaimedTask task = Claim();
  v1::JobEvent event;
  event.mutable_log()->set_text("a");
  Must(store().ReportTask(task.lease, kLease, {}, {event, event}));
  event.mutable_log()->set_text("b");
  Must(store().ReportTask(task.lease, kLease, {}, {event}));
  const auto events = Must(store().EventsAfter(kDefaultTenant, id, 1, 10));
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].sequence(), 2);
  EXPECT_EQ(events[1].sequence(), 3);
  EXPECT_EQ(events[1].log().text(), "b");
  EXPECT_EQ(events[1].time().seconds(), *under_test_.clock / kSecond);
  EXPECT_THAT(Must(store().EventsAfter(kDefaultTenant, id, 0, 2)), SizeIs(2));
}

TEST_P(JobStoreConformanceTest, IdenticalTaskIsFoundUntilItsModelGoes) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  const ClaimedTask task = Claim();
  TaskFinish finish;
  const BlobDigest digest = DigestOf("curves");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  finish.outputs = {{"prepared.json", digest}};
  finish.result_json = R"({"shards":1})";
  finish.cache_key = Sha256Of("key");
  finish.cache_model = task.model_manifest.sha256;
  finish.shards = 1;
  Must(store().FinishTask(task.lease, finish));
  const auto kept = Must(store().FindTaskResult(Sha256Of("key")));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->result_json, finish.result_json);
  ASSERT_THAT(kept->outputs, SizeIs(1));
  EXPECT_EQ(kept->outputs[0].digest, digest);
  EXPECT_FALSE(Must(store().FindTaskResult(Sha256Of("other"))).has_value());
  Must(store().CancelJob(kDefaultTenant, task.lease.key.job_id));
  ASSERT_TRUE(store().DeleteModel(kDefaultTenant, "m").ok());
  EXPECT_FALSE(Must(store().FindTaskResult(Sha256Of("key"))).has_value());
}

// It was stored, and nobody could read it, nor the list it was in.
TEST_P(JobStoreConformanceTest, AJobWhoseSpecCannotBeReadAgainIsNotMade) {
  MakeModel(store(), "m", "weights");
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.set_model_name("half a code point: \xe4");
  const google::protobuf::LogSilencer quiet;  // it prints every string that is no UTF-8
  EXPECT_EQ(ReasonOf(CreateJobWith(store(), "m", spec).status()), "DATABASE_CORRUPT");
  EXPECT_THAT(Must(store().ListJobs(kDefaultTenant, {}, v1::Job::STATE_UNSPECIFIED)).items, SizeIs(0));
  EXPECT_TRUE(NothingToClaim());
}

// For the cache of one program: everything goes but what later jobs can use, of that the last used.
TEST_P(JobStoreConformanceTest, OnlyTheResultsUsedLastAreKept) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  const auto finish = [&](const std::string& key, const std::string& content) {
    const ClaimedTask task = Claim();
    TaskFinish finish;
    const BlobDigest digest = DigestOf(content);
    ASSERT_TRUE(store().RegisterBlob(digest).ok());
    finish.outputs = {{"out", digest}};
    finish.result_json = "{}";
    finish.cache_key = Sha256Of(key);
    finish.cache_model = task.model_manifest.sha256;
    finish.shards = 3;
    if (task.lease.key.stage == v1::Job::PREPARE) finish.next = NextTasks(v1::Job::PREPARE, 0, {3, 0}, task.spec);
    Must(store().FinishTask(task.lease, finish));
    under_test_.Advance(kSecond);
  };
  finish("oldest", std::string(10, 'a'));
  finish("middle", std::string(20, 'b'));
  finish("newest", std::string(30, 'c'));
  const auto kept = [&](const char* key) { return Must(store().FindTaskResult(Sha256Of(key))).has_value(); };
  ASSERT_TRUE(store().ForgetAllButResults(60).ok());
  EXPECT_EQ(ReasonOf(store().GetModel(kDefaultTenant, "m").status()), "MODEL_NOT_FOUND");
  EXPECT_TRUE(NothingToClaim());
  EXPECT_TRUE(kept("newest") && kept("middle"));
  under_test_.Advance(kSecond);
  EXPECT_TRUE(kept("oldest")) << "60 bytes are room for all; and now it is the one used last";
  ASSERT_TRUE(store().ForgetAllButResults(45).ok());
  EXPECT_TRUE(kept("oldest"));
  // What is left has a name, what is not has none: it can be collected at once.
  const auto garbage = Must(store().UnreferencedBlobs(0, 100));
  EXPECT_THAT(garbage, ::testing::Not(::testing::Contains(DigestOf(std::string(10, 'a')))));
  EXPECT_THAT(garbage, ::testing::Contains(DigestOf("weights")));
  ASSERT_TRUE(store().ForgetAllButResults(0).ok());
  EXPECT_FALSE(kept("oldest") || kept("middle") || kept("newest"));
  // And it is a store as any other afterwards.
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  Claim();
}

TEST_P(JobStoreConformanceTest, UnknownIdsAreNotFound) {
  EXPECT_EQ(ReasonOf(store().GetJob(kDefaultTenant, "x").status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().CancelJob(kDefaultTenant, "x").status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().GetModel(kDefaultTenant, "x").status()), "MODEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().DeleteModel(kDefaultTenant, "x")), "MODEL_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().GetArtifact(kDefaultTenant, "x").status()), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().DeleteArtifact(kDefaultTenant, "x")), "ARTIFACT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().GetUpload(kDefaultTenant, "x").status()), "UPLOAD_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().OpenUploadFile(kDefaultTenant, "x", "y", 0).status()), "UPLOAD_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().FindFile(kDefaultTenant, "models/x", "y").status()), "MODEL_NOT_FOUND");
}

TEST_P(JobStoreConformanceTest, WriterEpochFencesTheOlderWriter) {
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.ttl_us = 100 * kSecond;
  request.files = {{"w.bin", 10, "", false}};
  const std::string id = Must(store().CreateUpload(request)).name().substr(8);
  const UploadWriter first = Must(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 0));
  ASSERT_TRUE(store().CommitUploadPart(first, {"k/1", 4}, 0, "", kSecond).ok());
  ASSERT_TRUE(store().CommitUploadPart(first, {"k/1", 6}, 0, "", kSecond).ok());
  const UploadWriter second = Must(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 6));
  ASSERT_THAT(second.parts, SizeIs(1));
  EXPECT_EQ(second.parts[0].size_bytes, 6);
  EXPECT_EQ(ReasonOf(store().CommitUploadPart(first, {"k/1", 8}, 0, "", kSecond)), "WRITER_FENCED");
  EXPECT_EQ(ReasonOf(store().CompleteUploadFile(first, Sha256Of("x"), kSecond)), "WRITER_FENCED");
  EXPECT_EQ(ReasonOf(store().ResetUploadFile(first)), "WRITER_FENCED");
  EXPECT_EQ(ReasonOf(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 8).status()), "OFFSET_MISMATCH");
  ASSERT_TRUE(store().CommitUploadPart(second, {"k/2", 4}, 6, "", kSecond).ok());
  ASSERT_TRUE(store().RegisterBlob(DigestOf("0123456789")).ok());
  ASSERT_TRUE(store().CompleteUploadFile(second, Sha256Of("0123456789"), kSecond).ok());
  EXPECT_TRUE(Must(store().GetUpload(kDefaultTenant, id)).files(0).complete());
}

TEST_P(JobStoreConformanceTest, UploadExpiresUnlessBytesArrive) {
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.ttl_us = 100 * kSecond;
  request.files = {{"w.bin", 10, "", false}};
  const std::string id = Must(store().CreateUpload(request)).name().substr(8);
  const UploadWriter writer = Must(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 0));
  under_test_.Advance(99 * kSecond);
  ASSERT_TRUE(store().CommitUploadPart(writer, {"k/1", 4}, 0, "", 100 * kSecond).ok());
  under_test_.Advance(99 * kSecond);
  EXPECT_EQ(Must(store().ExpireUploads()), 0);
  under_test_.Advance(1 * kSecond);
  EXPECT_EQ(Must(store().ExpireUploads()), 1);
  EXPECT_EQ(Must(store().GetUpload(kDefaultTenant, id)).state(), v1::Upload::EXPIRED);
  EXPECT_EQ(ReasonOf(store().CommitUploadPart(writer, {"k/1", 8}, 0, "", kSecond)), "WRITER_FENCED");
  EXPECT_THAT(Must(store().ActiveUploads()), SizeIs(0));
}

TEST_P(JobStoreConformanceTest, GarbageIsWhatNothingNamesAfterTheGrace) {
  MakeModel(store(), "m", "named by a model");
  const BlobDigest loose = DigestOf("named by nothing");
  ASSERT_TRUE(store().RegisterBlob(loose).ok());
  under_test_.Advance(10 * kSecond);
  EXPECT_THAT(Must(store().UnreferencedBlobs(11 * kSecond, 10)), SizeIs(0)) << "grace";
  EXPECT_THAT(Must(store().UnreferencedBlobs(9 * kSecond, 10)), ElementsAre(loose));
  int removed = 0;
  const auto remove = [&] {
    ++removed;
    return absl::OkStatus();
  };
  EXPECT_FALSE(Must(store().RemoveBlob(Sha256Of("named by a model"), 0, remove)));
  ASSERT_TRUE(store().RegisterBlob(loose).ok());
  EXPECT_FALSE(Must(store().RemoveBlob(loose.sha256, 9 * kSecond, remove))) << "touched in between";
  EXPECT_EQ(removed, 0);
  under_test_.Advance(10 * kSecond);
  EXPECT_FALSE(store().RemoveBlob(loose.sha256, 9 * kSecond, [] { return absl::UnavailableError("disk"); }).ok());
  EXPECT_THAT(Must(store().UnreferencedBlobs(9 * kSecond, 10)), ElementsAre(loose)) << "not removed, not forgotten";
  EXPECT_TRUE(Must(store().RemoveBlob(loose.sha256, 9 * kSecond, remove)));
  EXPECT_EQ(removed, 1);
  EXPECT_THAT(Must(store().UnreferencedBlobs(9 * kSecond, 10)), SizeIs(0));
}

TEST_P(JobStoreConformanceTest, OutputsBeingStoredByALongTaskAreNoGarbage) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  const ClaimedTask task = Claim();
  const BlobDigest output = DigestOf("first of many outputs");
  ASSERT_TRUE(store().RegisterBlob(output).ok());
  under_test_.Advance(50 * kSecond);
  EXPECT_THAT(Must(store().UnreferencedBlobs(kSecond, 10)), SizeIs(0));
  EXPECT_FALSE(Must(store().RemoveBlob(output.sha256, kSecond, [] { return absl::OkStatus(); })));
  ASSERT_TRUE(store().ReleaseTask(task.lease).ok());
  EXPECT_THAT(Must(store().UnreferencedBlobs(kSecond, 10)), SizeIs(1));
}

TEST_P(JobStoreConformanceTest, PagesCoverEverythingOnceAtEqualTimes) {
  for (int i = 0; i < 7; ++i) MakeModel(store(), absl::StrCat("m", i), absl::StrCat("content ", i));
  std::vector<std::string> names;
  PageRequest request;
  request.size = 3;
  for (;;) {
    const Page<v1::Model> page = Must(store().ListModels(kDefaultTenant, request));
    for (const v1::Model& model : page.items) names.push_back(model.name());
    if (!page.next.has_value()) break;
    request.after = page.next;
  }
  EXPECT_THAT(names, ElementsAre("models/m6", "models/m5", "models/m4", "models/m3", "models/m2", "models/m1",
                                 "models/m0"));
}

// gRPC's clients refuse messages above 4 MiB.
TEST_P(JobStoreConformanceTest, PagesOfModelsWithManyFilesStayBelowWhatClientsTake) {
  const BlobDigest digest = DigestOf("the same content everywhere");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  std::vector<std::string> expected;
  for (int i = 0; i < 5; ++i) {
    NewUpload upload;
    upload.tenant = kDefaultTenant;
    upload.ttl_us = 1000 * kSecond;
    for (int file = 0; file < 900; ++file) {
      upload.files.push_back({absl::StrCat(std::string(1000, 'd'), "/", file), digest.size_bytes, digest.sha256, true});
    }
    NewModel model;
    model.id = absl::StrCat("m", i);
    model.manifest = DigestOf(model.id);
    Must(store().PublishModel(kDefaultTenant, Must(store().CreateUpload(upload)).name().substr(8), model));
    expected.insert(expected.begin(), absl::StrCat("models/m", i));
    under_test_.Advance(kSecond);
  }
  std::vector<std::string> names;
  int pages = 0;
  PageRequest request;
  request.size = 1000;
  for (;; ++pages) {
    const Page<v1::Model> page = Must(store().ListModels(kDefaultTenant, request));
    v1::ListModelsResponse response;
    for (const v1::Model& model : page.items) {
      names.push_back(model.name());
      *response.add_models() = model;
    }
    EXPECT_LT(response.ByteSizeLong(), size_t{4} << 20);
    if (!page.next.has_value()) break;
    request.after = page.next;
  }
  EXPECT_EQ(names, expected) << "each once, in order";
  EXPECT_GT(pages, 0);
}

TEST_P(JobStoreConformanceTest, AnUploadThatTheDiskHasNoRoomForIsRefusedUnlessItIsThereAlready) {
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.request_id = "123e4567-e89b-42d3-a456-426614174000";
  request.request_digest = std::string(32, 'r');
  request.ttl_us = 1000 * kSecond;
  const BlobDigest stored = DigestOf("stored");
  ASSERT_TRUE(store().RegisterBlob(stored).ok());
  request.files = {{"a", 1000, "", false}, {"b", stored.size_bytes, stored.sha256, true}};
  request.room_bytes = 1000;  // the names take room as well
  const absl::Status refused = store().CreateUpload(request).status();
  EXPECT_EQ(ReasonOf(refused), "NO_SPACE");
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  request.room_bytes = 2000;
  const std::string name = Must(store().CreateUpload(request)).name();
  request.room_bytes = 0;
  EXPECT_EQ(Must(store().CreateUpload(request)).name(), name) << "its room is taken: the same request goes on";
}

TEST_P(JobStoreConformanceTest, UploadsExpireAndAreForgottenANumberAtATime) {
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.ttl_us = kSecond;
  request.files = {{"w.bin", 10, "", false}};
  constexpr int kUploads = 130;
  for (int i = 0; i < kUploads; ++i) Must(store().CreateUpload(request));
  under_test_.Advance(2 * kSecond);
  int64_t expired = 0;
  while (const int64_t some = Must(store().ExpireUploads())) {
    EXPECT_LT(some, kUploads) << "in a transaction that others wait for";
    expired += some;
  }
  EXPECT_EQ(expired, kUploads);
  under_test_.Advance(2 * kSecond);
  int64_t forgotten = 0;
  while (const int64_t some = Must(store().ExpireRecords(kSecond, kSecond))) forgotten += some;
  EXPECT_EQ(forgotten, kUploads);
}

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreConformanceTest, EveryJobStore(),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
