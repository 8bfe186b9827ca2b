// What every Store does when content that rows name is lost: what a task reads is made again, what was uploaded is asked for.
#include "gmock/gmock.h"
#include "server/store/error_proto.h"
#include "tests/unit/server/job_store_conformance.h"

namespace nashswarm::server {
namespace {

using ::testing::SizeIs;

class LostInputsConformanceTest : public JobStoreConformanceTest {
 protected:
  TaskEnd Remake(const ClaimedTask& task, const std::string& content) {
    TaskFailure failure;
    failure.error = ToErrorProto(MakeError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED", "prepared.json: damaged"));
    return Must(store().RemakeInputs(task.lease, {Sha256Of(content)}, failure));
  }
  NewUpload Request(const BlobDigest& digest) {
    NewUpload upload;
    upload.tenant = kDefaultTenant;
    upload.request_id = "r";
    upload.ttl_us = 1000 * kSecond;
    upload.files = {{"w.bin", digest.size_bytes, digest.sha256, true}};
    return upload;
  }
};

// A job whose intermediate result lost its bytes failed, and failed again however often it was retried.
TEST_P(LostInputsConformanceTest, TheMakerRunsAgainAndTheReaderAfterIt) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m", /*max_attempts=*/1);
  Finish(Claim());
  under_test_.Advance(1);
  const ClaimedTask reader = Claim();
  ASSERT_EQ(reader.lease.key.stage, v1::Job::MEASURE);
  const ClaimedTask sibling = Claim();
  EXPECT_FALSE(Remake(reader, "output of prepare0").job_ended);
  EXPECT_FALSE(Remake(sibling, "output of prepare0").job_ended) << "another reader of the same";
  EXPECT_EQ(Job(id).state(), v1::Job::RUNNING);

  under_test_.Advance(1);
  const ClaimedTask again = Claim();
  EXPECT_EQ(again.lease.key.stage, v1::Job::PREPARE);
  EXPECT_TRUE(NothingToClaim()) << "the readers wait for it";
  Finish(again);
  under_test_.Advance(1);
  for (int shard = 0; shard < 2; ++shard) {
    const ClaimedTask task = Claim();
    EXPECT_EQ(task.lease.key.stage, v1::Job::MEASURE);
    EXPECT_EQ(task.attempt, 1) << "it was not the reader's fault";
    Finish(task);
  }
  while (Job(id).state() == v1::Job::RUNNING) Finish(Claim());
  EXPECT_EQ(Job(id).state(), v1::Job::SUCCEEDED);
}

TEST_P(LostInputsConformanceTest, WhatWasMadeSinceTheReaderBeganIsNotMadeAgain) {
  MakeModel(store(), "m", "weights");
  MakeJob(store(), "m");
  Finish(Claim());
  under_test_.Advance(1);
  const ClaimedTask first = Claim(), second = Claim();
  Remake(first, "output of prepare0");
  under_test_.Advance(1);
  Finish(Claim());  // PREPARE
  under_test_.Advance(1);
  Remake(second, "output of prepare0");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Claim().lease.key.stage, v1::Job::MEASURE);
}

TEST_P(LostInputsConformanceTest, WhatIsLostEveryTimeFailsTheJobAndARetryMakesItAgain) {
  MakeModel(store(), "m", "weights");
  const std::string id = MakeJob(store(), "m", /*max_attempts=*/3);
  Finish(Claim());
  int made = 1;
  for (;; ++made) {
    under_test_.Advance(1);
    if (Remake(Claim(), "output of prepare0").job_ended) break;
    ASSERT_LT(made, 10);
    Finish(Claim());
  }
  EXPECT_EQ(made, 3);
  EXPECT_EQ(Job(id).state(), v1::Job::FAILED);
  EXPECT_EQ(Job(id).error().message(), "prepared.json: damaged");
  ASSERT_TRUE(store().RetryJob(kDefaultTenant, id).ok());
  EXPECT_EQ(Claim().lease.key.stage, v1::Job::PREPARE);
}

TEST_P(LostInputsConformanceTest, AKeptResultGivesWayToWhatWasMadeInItsPlace) {
  MakeModel(store(), "m", "weights");
  for (const std::string content : {"lost", "made again"}) {
    MakeJob(store(), "m");
    const ClaimedTask task = Claim();
    TaskFinish finish;
    finish.result_json = "{}";
    finish.cache_key = Sha256Of("key");
    ASSERT_TRUE(store().RegisterBlob(DigestOf(content)).ok());
    finish.outputs = {{"prepared.json", DigestOf(content)}};
    ASSERT_TRUE(store().FinishTask(task.lease, finish).ok());
    const auto kept = Must(store().FindTaskResult(Sha256Of("key")));
    ASSERT_TRUE(kept.has_value());
    ASSERT_THAT(kept->outputs, SizeIs(1));
    EXPECT_EQ(kept->outputs[0].digest, DigestOf(content));
  }
}

TEST_P(LostInputsConformanceTest, AnUploadAsksAgainForWhatIsLost) {
  const BlobDigest digest = DigestOf("weights");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  NewUpload request = Request(digest);
  const v1::Upload first = Must(store().CreateUpload(request));
  EXPECT_TRUE(first.files(0).complete());

  request.files[0].stored = false;
  request.files[0].lost = true;
  const v1::Upload same = Must(store().CreateUpload(request));
  EXPECT_EQ(same.name(), first.name());
  EXPECT_FALSE(same.files(0).complete());
  EXPECT_EQ(same.files(0).committed_size(), 0);

  // It is sent, published, and lost once more: the request finds no way back to the upload that has ended.
  const UploadWriter writer = Must(store().OpenUploadFile(kDefaultTenant, first.name().substr(8), "w.bin", 0));
  ASSERT_TRUE(store().CompleteUploadFile(writer, digest.sha256, 1000 * kSecond).ok());
  NewModel model;
  model.id = "m";
  model.manifest = DigestOf("manifest");
  ASSERT_TRUE(store().PublishModel(kDefaultTenant, first.name().substr(8), model).ok());
  const v1::Upload fresh = Must(store().CreateUpload(request));
  EXPECT_NE(fresh.name(), first.name());
  EXPECT_EQ(fresh.state(), v1::Upload::ACTIVE);
  EXPECT_FALSE(fresh.files(0).complete());
  EXPECT_EQ(Must(store().CreateUpload(request)).name(), fresh.name()) << "idempotent";
}

TEST_P(LostInputsConformanceTest, AFileIsReopenedWhileItsUploadIsActive) {
  const BlobDigest digest = DigestOf("weights");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  const std::string id = Must(store().CreateUpload(Request(digest))).name().substr(8);
  ASSERT_TRUE(store().ReopenUploadFile(id, "w.bin").ok());
  const v1::Upload upload = Must(store().GetUpload(kDefaultTenant, id));
  EXPECT_FALSE(upload.files(0).complete());
  EXPECT_FALSE(upload.files(0).deduplicated());
  EXPECT_EQ(ReasonOf(store().PublishModel(kDefaultTenant, id, {.id = "m"}).status()), "UPLOAD_INCOMPLETE");
}

// Whoever went on with the upload lost what had come again of the file, after every break.
TEST_P(LostInputsConformanceTest, AFileThatIsBeingSentAgainKeepsItsParts) {
  const BlobDigest digest = DigestOf("0123456789");
  ASSERT_TRUE(store().RegisterBlob(digest).ok());
  NewUpload request = Request(digest);
  const std::string id = Must(store().CreateUpload(request)).name().substr(8);
  request.files[0].stored = false;
  request.files[0].lost = true;
  EXPECT_EQ(Must(store().CreateUpload(request)).files(0).committed_size(), 0);
  const UploadWriter writer = Must(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 0));
  ASSERT_TRUE(store().CommitUploadPart(writer, {"k/1", 4}, 0, "", 1000 * kSecond).ok());
  EXPECT_EQ(Must(store().CreateUpload(request)).files(0).committed_size(), 4);
  ASSERT_TRUE(store().ReopenUploadFile(id, "w.bin").ok());
  EXPECT_THAT(Must(store().OpenUploadFile(kDefaultTenant, id, "w.bin", 4)).parts, SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Stores, LostInputsConformanceTest, EveryJobStore(),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
