// Jobs with calibration and evaluation: data files from push to the engine, the stages they add, and what is reused.
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// With a zero byte and a line end that a text mode would change.
const std::string kText("first line\r\nsecond \0 line\n", 25);
const std::string kHeldOut = "what the model has not seen\n";

class CalibrationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Start();
    model_ = server_.Push({server_.FakePlan(2)}, "tiny").name();
  }
  v1::CompressionSpec Spec(const std::string& calibration, const std::string& evaluation, double bits_per_weight = 4) {
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(bits_per_weight);
    spec.mutable_calibration()->set_text(calibration);
    spec.mutable_evaluation()->set_text(evaluation);
    return spec;
  }
  v1::Job Run(const v1::CompressionSpec& spec) {
    const v1::Job job = server_.WaitForEnd(server_.Submit(model_, spec).name());
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
    return job;
  }
  grpc::Status Refused(const std::string& model, const v1::CompressionSpec& spec) {
    grpc::ClientContext context;
    v1::CreateJobRequest request;
    request.set_model(model);
    *request.mutable_spec() = spec;
    v1::Job job;
    const grpc::Status status = server_.jobs().CreateJob(&context, request, &job);
    EXPECT_FALSE(status.ok()) << job.ShortDebugString();
    return status;
  }
  grpc::Status RefusedUpload(const v1::CreateUploadRequest& request) {
    grpc::ClientContext context;
    v1::Upload upload;
    return server_.uploads().CreateUpload(&context, request, &upload);
  }

  ServerHarness server_;
  std::string model_;
};

TEST_F(CalibrationTest, DataGoesFromPushToEveryStage) {
  const v1::Model text = server_.PushData({"wiki.txt", kText}, "wiki");
  EXPECT_EQ(text.kind(), v1::Model::DATA);
  EXPECT_EQ(text.architecture(), "");
  EXPECT_EQ(text.total_bytes(), static_cast<int64_t>(kText.size()));
  const v1::Model held_out = server_.PushData({"held-out.txt", kHeldOut});
  EXPECT_THAT(held_out.name(), ::testing::StartsWith("models/d-"));
  EXPECT_EQ(server_.Runs()["validate:0"], 1) << "data is not validated by the engine";

  v1::CompressionSpec spec = Spec(text.name(), held_out.name());
  spec.set_max_ppl_increase(0.02);
  spec.mutable_calibration()->set_tokens(1000);
  spec.mutable_evaluation()->set_context(64);
  const v1::Job job = Run(spec);
  EXPECT_EQ(job.progress().tasks_done(), 9);
  EXPECT_EQ(job.progress().tasks_total(), 9);
  const v1::Job::Quality& quality = job.result().quality();
  EXPECT_EQ(quality.perplexity(), 12.5);
  EXPECT_EQ(quality.source_perplexity(), 12.25);
  EXPECT_EQ(quality.mean_kl(), 0.02);
  EXPECT_EQ(quality.tokens(), 4096);

  for (const char* stage : {"prepare", "calibrate", "measure", "solve", "encode", "evaluate", "publish"}) {
    const json recorded = server_.Recorded(stage);
    ASSERT_TRUE(recorded.is_object()) << stage;
    EXPECT_EQ(recorded["data"], json({{"calibration", kText}, {"evaluation", kHeldOut}})) << stage;
    const json& task = recorded["task"];
    EXPECT_EQ(task["spec"]["target"], json({{"max_ppl_increase", 0.02}}));
    EXPECT_EQ(task["spec"]["calibration"], json({{"source", "text"}, {"tokens", 1000}}));
    EXPECT_EQ(task["spec"]["evaluation"], json({{"text", true}, {"tokens", 0}, {"context", 64}}));
    EXPECT_EQ(task.contains("history"), std::string(stage) == "publish");
  }
  const json history = server_.Recorded("publish")["task"]["history"];
  std::vector<std::string> order;
  for (const json& entry : history) {
    order.push_back(entry["stage"].get<std::string>() + ":" + std::to_string(entry["shard"].get<int>()));
    EXPECT_EQ(entry["result"]["seconds"], 0.5);
    EXPECT_EQ(entry["result"]["peak_bytes"], 1 << 20);
  }
  EXPECT_THAT(order, ::testing::ElementsAre("prepare:0", "calibrate:0", "measure:0", "measure:1", "solve:0", "encode:0",
                                            "encode:1", "evaluate:0"));
}

TEST_F(CalibrationTest, PlainJobHasNeitherDataNorTheStages) {
  const v1::Job job = server_.WaitForEnd(server_.Submit(model_).name());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_FALSE(job.result().has_quality());
  EXPECT_EQ(server_.Recorded("publish")["task"]["data"], json::object());
  EXPECT_EQ(server_.Recorded("publish")["task"]["history"].size(), 6u);
  EXPECT_FALSE(server_.Recorded("solve")["task"]["spec"].contains("calibration"));
  EXPECT_EQ(server_.Runs().count("calibrate:0") + server_.Runs().count("evaluate:0"), 0u);
}

TEST_F(CalibrationTest, ImatrixCalibratesWithoutEvaluating) {
  const v1::Model imatrix = server_.PushData({"imatrix.gguf", "GGUF"}, "imatrix");
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.mutable_calibration()->set_imatrix(imatrix.name());
  const v1::Job job = Run(spec);
  EXPECT_FALSE(job.result().has_quality());
  EXPECT_EQ(server_.Recorded("calibrate")["data"], json({{"calibration", "GGUF"}}));
  EXPECT_EQ(server_.Recorded("calibrate")["task"]["spec"]["calibration"]["source"], "imatrix");
  EXPECT_EQ(server_.Runs().count("evaluate:0"), 0u);
}

TEST_F(CalibrationTest, SelfCalibrationNeedsNoData) {
  v1::CompressionSpec spec;
  spec.set_max_kl(0.1);
  spec.mutable_calibration()->set_self(true);
  EXPECT_TRUE(Run(spec).result().has_quality());
  EXPECT_EQ(server_.Recorded("calibrate")["data"], json::object());
}

TEST_F(CalibrationTest, AnotherTargetReusesTheCalibrationAnotherTextDoesNot) {
  const std::string wiki = server_.PushData({"wiki.txt", kText}, "wiki").name();
  const std::string held_out = server_.PushData({"held-out.txt", kHeldOut}, "held-out").name();
  const auto runs = [this](const char* key) { return server_.Runs()[key]; };
  Run(Spec(wiki, held_out, 4));
  Run(Spec(wiki, held_out, 3));
  EXPECT_EQ(runs("prepare:0"), 1);
  EXPECT_EQ(runs("calibrate:0"), 1);
  EXPECT_EQ(runs("measure:0"), 1);
  EXPECT_EQ(runs("measure:1"), 1);
  EXPECT_EQ(runs("solve:0"), 2);
  EXPECT_EQ(runs("evaluate:0"), 2) << "each artifact is measured";

  // The same bytes under another file name and another model name.
  const std::string renamed = server_.PushData({"renamed.txt", kText}, "renamed").name();
  Run(Spec(renamed, held_out, 2));
  EXPECT_EQ(runs("calibrate:0"), 1);
  EXPECT_EQ(runs("measure:0"), 1);

  const std::string other = server_.PushData({"wiki.txt", "another text"}, "other").name();
  Run(Spec(other, held_out, 4));
  EXPECT_EQ(runs("prepare:0"), 2) << "what later stages need depends on the length of the text";
  EXPECT_EQ(runs("calibrate:0"), 2);
  EXPECT_EQ(runs("measure:0"), 2);

  // Another text under a name that was used before.
  grpc::ClientContext context;
  v1::DeleteModelRequest remove;
  remove.set_name(wiki);
  google::protobuf::Empty empty;
  ASSERT_TRUE(server_.models().DeleteModel(&context, remove, &empty).ok());
  EXPECT_EQ(server_.PushData({"wiki.txt", "a third text"}, "wiki").name(), wiki);
  Run(Spec(wiki, held_out, 4));
  EXPECT_EQ(runs("calibrate:0"), 3);
}

TEST_F(CalibrationTest, JobsAndDataOfTheWrongKindAreRefused) {
  const std::string wiki = server_.PushData({"wiki.txt", kText}, "wiki").name();
  const v1::CompressionSpec good = Spec(wiki, wiki);
  const grpc::Status not_a_checkpoint = Refused(wiki, good);
  EXPECT_EQ(not_a_checkpoint.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(not_a_checkpoint).reason(), "NOT_A_CHECKPOINT");
  const grpc::Status not_data = Refused(model_, Spec(model_, wiki));
  EXPECT_EQ(not_data.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(not_data).reason(), "NOT_DATA");
  const grpc::Status missing = Refused(model_, Spec(wiki, "models/none"));
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(InfoOf(missing).reason(), "MODEL_NOT_FOUND");
  EXPECT_THAT(InfoOf(missing).metadata().at("hint"), HasSubstr("push"));
}

TEST_F(CalibrationTest, SpecsAreValidated) {
  const auto reason = [this](const v1::CompressionSpec& spec) { return InfoOf(Refused(model_, spec)).reason(); };
  v1::CompressionSpec spec;
  for (const double bad : {0.0, -1.0, 10.5, std::numeric_limits<double>::infinity(), std::nan("")}) {
    spec.set_max_ppl_increase(bad);
    EXPECT_EQ(reason(spec), "BAD_TARGET") << bad;
  }
  for (const double bad : {0.0, -1.0, 100.5, std::numeric_limits<double>::infinity(), std::nan("")}) {
    spec.set_max_kl(bad);
    EXPECT_EQ(reason(spec), "BAD_TARGET") << bad;
  }
  spec.set_max_kl(0.1);
  const grpc::Status no_text = Refused(model_, spec);
  EXPECT_EQ(no_text.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(no_text).reason(), "NO_EVALUATION_TEXT");
  EXPECT_THAT(InfoOf(no_text).metadata().at("hint"), HasSubstr("--evaluate FILE"));
  EXPECT_THAT(InfoOf(no_text).metadata().at("hint"), HasSubstr("--calibrate"));
  spec.mutable_calibration()->set_imatrix("models/x");
  EXPECT_EQ(reason(spec), "NO_EVALUATION_TEXT") << "an importance matrix is no text";
  spec.mutable_calibration()->Clear();
  EXPECT_EQ(reason(spec), "NO_CALIBRATION_SOURCE");
  spec.mutable_calibration()->set_self(false);
  EXPECT_EQ(reason(spec), "NO_CALIBRATION_SOURCE");
  spec.mutable_calibration()->set_self(true);
  spec.mutable_calibration()->set_tokens(-1);
  EXPECT_EQ(reason(spec), "BAD_TOKENS");
  spec.mutable_calibration()->set_tokens(0);
  spec.mutable_evaluation()->set_tokens(-1);
  EXPECT_EQ(reason(spec), "BAD_TOKENS");
  spec.mutable_evaluation()->set_tokens(0);
  for (const int bad : {-1, 7, (1 << 20) + 1}) {
    spec.mutable_evaluation()->set_context(bad);
    EXPECT_EQ(reason(spec), "BAD_CONTEXT") << bad;
  }
  spec.mutable_evaluation()->set_context(8);
  spec.mutable_evaluation()->set_text("wiki");
  EXPECT_EQ(reason(spec), "BAD_NAME");
  spec.Clear();
  spec.set_bits_per_weight(4);
  spec.mutable_evaluation()->set_tokens(10);
  EXPECT_EQ(reason(spec), "NO_EVALUATION_TEXT");
}

TEST_F(CalibrationTest, DataIsOneFileOfALimitedSize) {
  v1::CreateUploadRequest request;
  request.set_kind(v1::Model::DATA);
  request.add_files()->set_path("a.txt");
  v1::Digest* digest = request.mutable_files(0)->mutable_digest();
  digest->set_size_bytes(0);
  EXPECT_EQ(InfoOf(RefusedUpload(request)).reason(), "EMPTY_FILE");
  digest->set_size_bytes((1LL << 30) + 1);
  const grpc::Status large = RefusedUpload(request);
  EXPECT_EQ(InfoOf(large).reason(), "FILE_TOO_LARGE");
  EXPECT_THAT(large.error_message(), HasSubstr("1073741824"));
  digest->set_size_bytes(1LL << 30);
  EXPECT_TRUE(RefusedUpload(request).ok());
  digest->set_size_bytes(1);
  *request.add_files() = request.files(0);
  request.mutable_files(1)->set_path("b.txt");
  EXPECT_EQ(InfoOf(RefusedUpload(request)).reason(), "NOT_ONE_FILE");
  request.mutable_files()->RemoveLast();
  request.set_kind(static_cast<v1::Model::Kind>(9));
  EXPECT_EQ(InfoOf(RefusedUpload(request)).reason(), "BAD_KIND");
}

TEST_F(CalibrationTest, SameBytesCanBeACheckpointAndData) {
  const TestFile plan = server_.FakePlan(2);
  const v1::Model data = server_.PushData(plan);
  EXPECT_EQ(data.kind(), v1::Model::DATA);
  EXPECT_NE(data.name(), model_);
  EXPECT_EQ(server_.PushData(plan).name(), data.name()) << "the same data is the same model";
  const v1::Model checkpoint = server_.Push({plan});
  EXPECT_EQ(checkpoint.name(), model_);
  EXPECT_EQ(checkpoint.kind(), v1::Model::CHECKPOINT);

  grpc::ClientContext context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(server_.models().ListModels(&context, {}, &list).ok());
  std::map<std::string, v1::Model::Kind> kinds;
  for (const v1::Model& model : list.models()) kinds[model.name()] = model.kind();
  EXPECT_EQ(kinds[model_], v1::Model::CHECKPOINT);
  EXPECT_EQ(kinds[data.name()], v1::Model::DATA);
}

TEST_F(CalibrationTest, DataInUseStaysAndARetryWithoutItIsRefused) {
  const json error = {{"do", "error"}, {"code", 3}, {"reason", "TEXT_TOO_SHORT"}, {"message", "too short"}};
  const json wait = {{"do", "wait"}, {"for", server_.root() + "/go"}};
  const std::string model = server_.Push({server_.FakePlan(1, {{"calibrate:0", {wait}}, {"evaluate:0", {error}}})}).name();
  const std::string wiki = server_.PushData({"wiki.txt", kText}, "wiki").name();
  const v1::Job job = server_.Submit(model, Spec(wiki, wiki));
  const auto remove = [&] {
    grpc::ClientContext context;
    v1::DeleteModelRequest request;
    request.set_name(wiki);
    google::protobuf::Empty empty;
    return server_.models().DeleteModel(&context, request, &empty);
  };
  EXPECT_EQ(InfoOf(remove()).reason(), "MODEL_IN_USE");
  std::ofstream(server_.root() + "/go") << "go";
  const v1::Job ended = server_.WaitForEnd(job.name());
  ASSERT_EQ(ended.state(), v1::Job::FAILED);
  EXPECT_EQ(ended.error().message(), "too short");
  ASSERT_TRUE(remove().ok());
  grpc::ClientContext context;
  v1::RetryJobRequest retry;
  retry.set_name(job.name());
  v1::Job ignored;
  const grpc::Status gone = server_.jobs().RetryJob(&context, retry, &ignored);
  EXPECT_EQ(InfoOf(gone).reason(), "MODEL_NOT_FOUND");
  EXPECT_THAT(gone.error_message(), HasSubstr(wiki));

  server_.PushData({"wiki.txt", kText}, "wiki");
  grpc::ClientContext again;
  ASSERT_TRUE(server_.jobs().RetryJob(&again, retry, &ignored).ok());
  EXPECT_EQ(server_.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(server_.Runs()["calibrate:0"], 1) << "what was finished is not repeated";
}

}  // namespace
}  // namespace nashswarm::testing
