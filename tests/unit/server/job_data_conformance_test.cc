// What every Store promises about data files, the optional stages, and the history of a job's tasks.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/job_store_conformance.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class JobDataConformanceTest : public JobStoreConformanceTest {
 protected:
  void SetUp() override {
    JobStoreConformanceTest::SetUp();
    if (IsSkipped()) return;
    MakeModel(store(), "m", "weights");
    MakeData(store(), "wiki", "some text");
    MakeData(store(), "held-out", "another text");
  }
  std::string Create(const v1::CompressionSpec& spec) {
    return Must(CreateJobWith(store(), "m", spec)).name().substr(5);
  }
  std::string CreateError(const std::string& model, const v1::CompressionSpec& spec) {
    return ReasonOf(CreateJobWith(store(), model, spec).status());
  }
  void FinishAll(int tasks) {
    for (int i = 0; i < tasks; ++i) Finish(Claim());
  }
  void Fail() { Must(store().FailTask(Claim().lease, {})); }

  static v1::CompressionSpec Calibrated() {
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(4);
    spec.mutable_calibration()->set_text("models/wiki");
    spec.mutable_evaluation()->set_text("models/held-out");
    return spec;
  }
  static v1::CompressionSpec WithImatrix() {
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(4);
    spec.mutable_calibration()->set_imatrix("models/wiki");
    return spec;
  }
};

TEST_P(JobDataConformanceTest, ModelsHaveAKind) {
  EXPECT_EQ(Must(store().GetModel(kDefaultTenant, "m")).kind(), v1::Model::CHECKPOINT);
  EXPECT_EQ(Must(store().GetModel(kDefaultTenant, "wiki")).kind(), v1::Model::DATA);
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.kind = v1::Model::DATA;
  request.model_id = "x";
  request.files = {{"a.txt", 3, "", false}};
  const std::string id = Must(store().CreateUpload(request)).name().substr(8);
  EXPECT_EQ(Must(store().GetUploadIntent(kDefaultTenant, id)).kind, v1::Model::DATA);
  EXPECT_EQ(Must(store().GetUploadIntent(kDefaultTenant, id)).model_id, "x");
}

TEST_P(JobDataConformanceTest, ContentIsFoundByItsKindToo) {
  MakeData(store(), "copy", "weights");  // the same manifest as the checkpoint
  const std::string manifest = DigestOf("manifest weights").sha256;
  EXPECT_EQ(Must(store().FindModelByManifest(kDefaultTenant, manifest, v1::Model::DATA))->name(), "models/copy");
  EXPECT_EQ(Must(store().FindModelByManifest(kDefaultTenant, manifest, v1::Model::CHECKPOINT))->name(), "models/m");

  NewUpload upload;
  upload.tenant = kDefaultTenant;
  upload.files = {{"w.bin", DigestOf("weights").size_bytes, DigestOf("weights").sha256, true}};
  NewModel model;
  model.id = "m";
  model.kind = v1::Model::DATA;
  model.manifest = DigestOf("manifest weights");
  const v1::Upload created = Must(store().CreateUpload(upload));
  EXPECT_EQ(ReasonOf(store().PublishModel(kDefaultTenant, created.name().substr(8), model).status()), "MODEL_EXISTS");
}

TEST_P(JobDataConformanceTest, JobWithTextsGoesThroughEveryStage) {
  const std::string id = Create(Calibrated());
  std::vector<std::pair<Stage, int>> order;
  for (int i = 0; i < 9; ++i) {
    const ClaimedTask task = Claim();
    order.emplace_back(task.lease.key.stage, task.lease.key.shard);
    ASSERT_THAT(task.data, SizeIs(2));
    EXPECT_EQ(task.data[0].purpose, "calibration");
    EXPECT_EQ(task.data[0].digest, DigestOf("some text"));
    EXPECT_EQ(task.data[1].purpose, "evaluation");
    EXPECT_EQ(task.data[1].digest, DigestOf("another text"));
    EXPECT_EQ(Finish(task).job_ended, i == 8);
    EXPECT_EQ(Job(id).progress().tasks_total(), 9) << "known since the end of PREPARE";
  }
  EXPECT_THAT(order, ElementsAre(std::pair(J::PREPARE, 0), std::pair(J::CALIBRATE, 0), std::pair(J::MEASURE, 0),
                                 std::pair(J::MEASURE, 1), std::pair(J::SOLVE, 0), std::pair(J::ENCODE, 0),
                                 std::pair(J::ENCODE, 1), std::pair(J::EVALUATE, 0), std::pair(J::PUBLISH, 0)));
  EXPECT_EQ(Job(id).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(Job(id).progress().tasks_done(), 9);
}

TEST_P(JobDataConformanceTest, JobWithoutDataClaimsNone) {
  MakeJob(store(), "m");
  EXPECT_THAT(Claim().data, SizeIs(0));
}

TEST_P(JobDataConformanceTest, ReferencesMustBeOfTheRightKind) {
  v1::CompressionSpec spec = Calibrated();
  EXPECT_EQ(CreateError("wiki", spec), "NOT_A_CHECKPOINT");
  EXPECT_EQ(CreateError("none", spec), "MODEL_NOT_FOUND");
  spec.mutable_calibration()->set_text("models/m");
  EXPECT_EQ(CreateError("m", spec), "NOT_DATA");
  spec.mutable_calibration()->set_imatrix("models/m");
  EXPECT_EQ(CreateError("m", spec), "NOT_DATA");
  spec = Calibrated();
  spec.mutable_evaluation()->set_text("models/m");
  EXPECT_EQ(CreateError("m", spec), "NOT_DATA");
  spec.mutable_evaluation()->set_text("models/none");
  const absl::Status missing = CreateJobWith(store(), "m", spec).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_EQ(ReasonOf(missing), "MODEL_NOT_FOUND");
  EXPECT_THAT(HintOf(missing), HasSubstr("push"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("models/none"));
  EXPECT_TRUE(NothingToClaim()) << "none of them left a job behind";
}

TEST_P(JobDataConformanceTest, DataOfAnUnfinishedJobStays) {
  const std::string id = Create(Calibrated());
  for (const char* data : {"wiki", "held-out"}) EXPECT_EQ(ReasonOf(store().DeleteModel(kDefaultTenant, data)), "MODEL_IN_USE");
  Must(store().CancelJob(kDefaultTenant, id));
  for (const char* data : {"wiki", "held-out"}) EXPECT_TRUE(store().DeleteModel(kDefaultTenant, data).ok());
}

TEST_P(JobDataConformanceTest, RetryNeedsTheSameData) {
  const std::string id = Create(Calibrated());
  FinishAll(2);
  Fail();
  ASSERT_EQ(Job(id).state(), v1::Job::FAILED);
  ASSERT_TRUE(store().DeleteModel(kDefaultTenant, "wiki").ok());
  const absl::Status gone = store().RetryJob(kDefaultTenant, id).status();
  EXPECT_EQ(ReasonOf(gone), "MODEL_NOT_FOUND");
  EXPECT_THAT(std::string(gone.message()), HasSubstr("models/wiki"));
  EXPECT_THAT(std::string(gone.message()), HasSubstr("calibration"));
  EXPECT_EQ(Job(id).state(), v1::Job::FAILED);
  MakeData(store(), "wiki", "a text that calibrated nothing");
  EXPECT_EQ(ReasonOf(store().RetryJob(kDefaultTenant, id).status()), "DATA_CHANGED");
  ASSERT_TRUE(store().DeleteModel(kDefaultTenant, "wiki").ok());
  MakeData(store(), "wiki", "some text");
  EXPECT_EQ(Must(store().RetryJob(kDefaultTenant, id)).state(), v1::Job::QUEUED);
  EXPECT_THAT(Claim().data, SizeIs(2));
}

TEST_P(JobDataConformanceTest, DeletingAJobForgetsItsData) {
  const std::string id = Create(Calibrated());
  Must(store().CancelJob(kDefaultTenant, id));
  EXPECT_TRUE(store().DeleteJob(kDefaultTenant, id).ok());
}

TEST_P(JobDataConformanceTest, BlobsOfDataAreNoGarbage) {
  under_test_.Advance(100 * kSecond);
  EXPECT_THAT(Must(store().UnreferencedBlobs(kSecond, 10)), SizeIs(0));
  ASSERT_TRUE(store().DeleteModel(kDefaultTenant, "wiki").ok());
  EXPECT_THAT(Must(store().UnreferencedBlobs(kSecond, 10)), ElementsAre(DigestOf("some text")));
}

TEST_P(JobDataConformanceTest, HistoryHasTheFinishedTasksInOrder) {
  const std::string id = Create(Calibrated());
  EXPECT_THAT(Must(store().TaskHistory(id)), SizeIs(0));
  FinishAll(2);
  const ClaimedTask first = Claim("w1"), second = Claim("w2");
  Finish(second);  // out of order, while shard 0 still runs
  std::vector<std::pair<Stage, int>> order;
  for (const TaskRecord& record : Must(store().TaskHistory(id))) order.emplace_back(record.stage, record.shard);
  EXPECT_THAT(order,
              ElementsAre(std::pair(J::PREPARE, 0), std::pair(J::CALIBRATE, 0), std::pair(J::MEASURE, 1)));
  Finish(first);
  FinishAll(4);
  const auto history = Must(store().TaskHistory(id));
  ASSERT_THAT(history, SizeIs(8));
  EXPECT_EQ(history[3].stage, J::MEASURE);
  EXPECT_EQ(history[3].shard, 1);
  EXPECT_EQ(history[3].result_json, R"({"shard":1})");
  EXPECT_EQ(history[7].stage, J::EVALUATE);
  EXPECT_THAT(Must(store().TaskHistory("none")), SizeIs(0));
}

TEST_P(JobDataConformanceTest, NoEtaBeforeWhatCanBeKnown) {
  const std::string imatrix = Create(WithImatrix());
  Finish(Claim());
  const ClaimedTask calibrate = Claim();
  ASSERT_EQ(calibrate.lease.key.stage, J::CALIBRATE);
  under_test_.Advance(1000 * kSecond);
  EXPECT_FALSE(Must(store().ReportTask(calibrate.lease, kLease, {500, 1000, "forward"}, {})));
  EXPECT_EQ(Job(imatrix).progress().weights_done(), 500);
  EXPECT_EQ(Job(imatrix).progress().weights_total(), 1000);
  EXPECT_FALSE(Job(imatrix).progress().has_eta());
  Finish(calibrate);
  const ClaimedTask measure = Claim();
  under_test_.Advance(10 * kSecond);
  EXPECT_FALSE(Must(store().ReportTask(measure.lease, kLease, {50, 50, ""}, {})));
  // A quarter of two passes in 10 s: the 1000 s of the calibration say nothing about the rest.
  EXPECT_EQ(Job(imatrix).progress().eta().seconds(), 31);
  Must(store().CancelJob(kDefaultTenant, imatrix));
  Must(store().StopTask(measure.lease));

  const std::string evaluated = Create(Calibrated());
  FinishAll(2);
  for (const Stage stage : {J::MEASURE, J::MEASURE, J::SOLVE, J::ENCODE, J::ENCODE}) {
    const ClaimedTask task = Claim();
    ASSERT_EQ(task.lease.key.stage, stage);
    under_test_.Advance(10 * kSecond);
    EXPECT_FALSE(Must(store().ReportTask(task.lease, kLease, {50, 50, ""}, {})));
    EXPECT_FALSE(Job(evaluated).progress().has_eta()) << "nobody knows what the evaluation will take";
    Finish(task);
  }
  const ClaimedTask evaluate = Claim();
  under_test_.Advance(10 * kSecond);
  EXPECT_FALSE(Must(store().ReportTask(evaluate.lease, kLease, {250, 1000, ""}, {})));
  EXPECT_EQ(Job(evaluated).progress().eta().seconds(), 31);
}

TEST_P(JobDataConformanceTest, PlainJobHasItsEtaFromTheStart) {
  const std::string id = MakeJob(store(), "m");
  Finish(Claim());
  const ClaimedTask measure = Claim();
  under_test_.Advance(10 * kSecond);
  EXPECT_FALSE(Must(store().ReportTask(measure.lease, kLease, {50, 50, ""}, {})));
  EXPECT_EQ(Job(id).progress().eta().seconds(), 31);
  EXPECT_EQ(Job(id).progress().tasks_total(), 7);
}

INSTANTIATE_TEST_SUITE_P(Stores, JobDataConformanceTest, EveryJobStore(),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
