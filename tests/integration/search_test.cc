// The stage SEARCH on a real nashswarmd: rounds one after another, what a crash or a cancellation in one of them costs, and
// what is reused. Also artifacts of the format nsq, which are directories.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::CompressionSpec Searched(double bits_per_weight = 4) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(bits_per_weight);
  spec.mutable_calibration()->set_self(true);
  return spec;
}

class SearchTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& flags = {}) { server_.Start(flags); }
  std::string Push(int search_rounds, const json& steps = json::object(), int shards = 1) {
    return server_.Push({server_.FakePlan(shards, steps, search_rounds)}).name();
  }
  v1::Job Run(const std::string& model, const v1::CompressionSpec& spec) {
    return server_.WaitForEnd(server_.Submit(model, spec).name());
  }
  json WaitStep() const {
    return {{"do", "wait"}, {"for", server_.root() + "/go"}, {"started", server_.root() + "/started"}};
  }
  // Of the engine in a WaitStep, once it is there.
  pid_t WaitingEngine() const {
    const std::string path = server_.root() + "/started";
    EXPECT_TRUE(WaitFor([&] { return fs::exists(path) && fs::file_size(path) > 0; }));
    std::ifstream in(path);
    pid_t pid = 0;
    in >> pid;
    return pid;
  }
  int StoredFiles() const {
    int files = 0;
    std::error_code gone;
    for (const auto& entry : fs::recursive_directory_iterator(server_.data() + "/blobs", gone)) {
      files += entry.is_regular_file(gone) ? 1 : 0;
    }
    return files;
  }
  int RunsOf(const std::string& key) const { return server_.Runs()[key]; }
  void Cancel(const std::string& name) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(server_.jobs().CancelJob(&context, request, &job).ok());
  }
  void Retry(const std::string& name) {
    grpc::ClientContext context;
    v1::RetryJobRequest request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status = server_.jobs().RetryJob(&context, request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  ServerHarness server_;
};

TEST_F(SearchTest, RoundsRunOneAfterAnotherHoweverManyWorkersWait) {
  Start({"--workers=4"});
  v1::CompressionSpec spec = Searched();
  spec.mutable_search()->set_context_rounds(2);
  spec.mutable_search()->set_swarm_evaluations(50);
  const v1::Job job = Run(Push(3, json::object(), 2), spec);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.progress().tasks_done(), 12);
  EXPECT_EQ(job.progress().tasks_total(), 12);
  const std::vector<std::string> order = server_.RunOrder();
  const auto solve = std::find(order.begin(), order.end(), "solve:0");
  ASSERT_GE(order.end() - solve, 5);
  EXPECT_THAT(std::vector<std::string>(solve, solve + 4), ElementsAre("solve:0", "search:0", "search:1", "search:2"));

  const json task = server_.Recorded("search", 2)["task"];
  EXPECT_EQ(task["shard"], 2);
  EXPECT_EQ(task["spec"]["search"], json({{"context_rounds", 2}, {"swarm_evaluations", 50}, {"swarm_seconds", 0.0}}));
  const json published = server_.Recorded("publish")["task"];
  std::vector<std::string> history;
  for (const json& entry : published["history"]) {
    history.push_back(entry["stage"].get<std::string>() + ":" + std::to_string(entry["shard"].get<int>()));
  }
  EXPECT_THAT(history, ElementsAre("prepare:0", "calibrate:0", "measure:0", "measure:1", "solve:0", "search:0", "search:1",
                                   "search:2", "encode:0", "encode:1", "evaluate:0"));
}

TEST_F(SearchTest, NoSearchWhenTheEngineOrTheSpecWantsNone) {
  Start();
  EXPECT_EQ(Run(Push(0), Searched()).state(), v1::Job::SUCCEEDED);
  v1::CompressionSpec off = Searched();
  off.mutable_search()->set_off(true);
  EXPECT_EQ(Run(Push(3), off).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(server_.Recorded("solve")["task"]["spec"]["search"], json({{"off", true}}));
  EXPECT_EQ(server_.Runs().count("search:0"), 0u);
}

TEST_F(SearchTest, ARoundThatSaysSoIsTheLast) {
  Start();
  const v1::Job job = Run(Push(5, {{"search:1", {{{"do", "ok"}, {"done", true}}}}}), Searched());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(RunsOf("search:1"), 1);
  EXPECT_EQ(server_.Runs().count("search:2"), 0u);
  EXPECT_EQ(job.progress().tasks_done(), 9);
  EXPECT_EQ(job.progress().tasks_total(), 9);
}

TEST_F(SearchTest, KillingTheEngineCostsOneRound) {
  Start();
  const std::string model = Push(3, {{"search:1", {WaitStep()}}});
  const v1::Job job = server_.Submit(model, Searched());
  kill(WaitingEngine(), SIGKILL);
  const v1::Job ended = server_.WaitForEnd(job.name());
  ASSERT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  EXPECT_EQ(RunsOf("search:1"), 2);
  for (const char* key : {"calibrate:0", "solve:0", "search:0", "search:2", "encode:0"}) EXPECT_EQ(RunsOf(key), 1) << key;
}

TEST_F(SearchTest, KillingTheServerCostsOneRound) {
  Start({"--max-attempts=1"});
  const v1::Job job = server_.Submit(Push(3, {{"search:1", {WaitStep()}}}), Searched());
  WaitingEngine();
  server_.Kill();
  Start({"--max-attempts=1"});
  const v1::Job ended = server_.WaitForEnd(job.name());
  ASSERT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  EXPECT_EQ(RunsOf("search:1"), 2);
  for (const char* key : {"solve:0", "search:0", "search:2"}) EXPECT_EQ(RunsOf(key), 1) << key;
}

TEST_F(SearchTest, CancelDuringARoundAndRetryGoesOnWithIt) {
  Start();
  const v1::Job job = server_.Submit(Push(2, {{"search:1", {WaitStep()}}}), Searched());
  const pid_t engine = WaitingEngine();
  EXPECT_TRUE(WaitFor([&] { return server_.Get(job.name()).progress().weights_total() == 200; }))
      << "tokens of both rounds: the second is taken to be like the first";
  EXPECT_EQ(server_.Get(job.name()).progress().stage(), v1::Job::SEARCH);
  Cancel(job.name());
  EXPECT_EQ(server_.WaitForEnd(job.name()).state(), v1::Job::CANCELLED);
  EXPECT_TRUE(WaitFor([&] { return kill(engine, 0) != 0; })) << "the engine goes on";
  EXPECT_TRUE(fs::is_empty(server_.data() + "/work"));
  EXPECT_EQ(server_.Runs().count("encode:0"), 0u);
  Retry(job.name());
  EXPECT_EQ(server_.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(RunsOf("search:0"), 1);
  EXPECT_EQ(RunsOf("search:1"), 2);
}

TEST_F(SearchTest, TooManyRoundsAreTheEnginesMistake) {
  Start({"--max-attempts=1"});
  const v1::Job job = Run(Push(0, {{"solve:0", {{{"do", "ok"}, {"search_rounds", 65}}}}}), Searched());
  ASSERT_EQ(job.state(), v1::Job::FAILED);
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(job.error().details(0).value()));
  EXPECT_EQ(info.reason(), "ENGINE_PROTOCOL");
  EXPECT_THAT(job.error().message(), HasSubstr("'search_rounds' is 65"));
}

TEST_F(SearchTest, AnIdenticalJobReusesTheRoundsAnotherSearchDoesNot) {
  Start();
  const std::string model = Push(2);
  v1::CompressionSpec spec = Searched();
  spec.mutable_search()->set_context_rounds(2);
  ASSERT_EQ(Run(model, spec).state(), v1::Job::SUCCEEDED);
  const v1::Job again = Run(model, spec);
  ASSERT_EQ(again.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(again.progress().tasks_total(), 9) << "a kept SOLVE asks for its rounds too";
  for (const char* key : {"calibrate:0", "measure:0", "solve:0", "search:0", "search:1"}) EXPECT_EQ(RunsOf(key), 1) << key;
  EXPECT_EQ(RunsOf("encode:0"), 2);
  spec.mutable_search()->set_context_rounds(1);
  ASSERT_EQ(Run(model, spec).state(), v1::Job::SUCCEEDED);
  for (const char* key : {"calibrate:0", "measure:0"}) EXPECT_EQ(RunsOf(key), 1) << key;
  for (const char* key : {"solve:0", "search:0", "search:1"}) EXPECT_EQ(RunsOf(key), 2) << key;
  spec.set_bits_per_weight(3);
  ASSERT_EQ(Run(model, spec).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(RunsOf("measure:0"), 1);
  EXPECT_EQ(RunsOf("search:0"), 3);
}

TEST_F(SearchTest, ASearchWithoutACalibrationTextIsRefused) {
  Start();
  v1::CreateJobRequest request;
  request.set_model(Push(0));
  request.mutable_spec()->set_bits_per_weight(4);
  request.mutable_spec()->mutable_search()->set_context_rounds(1);
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status refused = server_.jobs().CreateJob(&context, request, &job);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(refused).reason(), "NO_SEARCH_TEXT");
  EXPECT_THAT(InfoOf(refused).metadata().at("hint"), HasSubstr("--calibrate"));
}

TEST_F(SearchTest, BothFormatsShareOneCalibration) {
  Start();
  const std::string model = Push(0);
  v1::CompressionSpec spec = Searched();
  ASSERT_EQ(Run(model, spec).state(), v1::Job::SUCCEEDED);
  spec.set_artifact_format("nsq");
  const v1::Job job = Run(model, spec);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(RunsOf("calibrate:0"), 1);
  for (const char* key : {"prepare:0", "measure:0", "solve:0"}) EXPECT_EQ(RunsOf(key), 2) << key;
}

TEST_F(SearchTest, AnArtifactMayBeADirectory) {
  Start({"--gc-interval=50ms", "--gc-grace=100ms"});
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(3);
  spec.set_artifact_format("nsq");
  const v1::Job job = Run(Push(0), spec);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  const std::string name = job.result().artifact();
  grpc::ClientContext context;
  v1::GetArtifactRequest request;
  request.set_name(name);
  v1::Artifact artifact;
  ASSERT_TRUE(server_.artifacts().GetArtifact(&context, request, &artifact).ok());
  EXPECT_EQ(artifact.format(), "nsq");
  std::vector<std::string> paths;
  for (const v1::FileEntry& file : artifact.files()) paths.push_back(file.path());
  EXPECT_THAT(paths, ElementsAre("config.json", "deep/source.json", "model.nsq", "original/tokenizer.model",
                                 "report.html", "report.json"));
  std::string content;
  ASSERT_TRUE(server_.Read(name, "original/tokenizer.model", 0, 0, &content).ok());
  EXPECT_EQ(content, "tokens");

  grpc::ClientContext artifact_context, model_context;
  v1::DeleteArtifactRequest remove;
  remove.set_name(name);
  google::protobuf::Empty empty;
  ASSERT_TRUE(server_.artifacts().DeleteArtifact(&artifact_context, remove, &empty).ok());
  EXPECT_EQ(server_.Read(name, "original/tokenizer.model", 0, 0, &content).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::DeleteModelRequest model;
  model.set_name(job.model());
  ASSERT_TRUE(server_.models().DeleteModel(&model_context, model, &empty).ok());
  EXPECT_TRUE(WaitFor([&] { return StoredFiles() == 0; })) << StoredFiles() << " files of it are left";
}

}  // namespace
}  // namespace nashswarm::testing
