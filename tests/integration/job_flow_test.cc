// A job from push to pull on a real nashswarmd, and what interrupts it.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::steady_clock;

bool ProcessGone(const std::string& pid_file) {
  std::ifstream in(pid_file);
  pid_t pid = 0;
  in >> pid;
  return pid > 0 && kill(pid, 0) != 0;
}

grpc::Status CancelJob(ServerHarness& server, const std::string& job) {
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_name(job);
  v1::Job response;
  return server.jobs().CancelJob(&context, request, &response);
}

TEST(JobFlowTest, PushSubmitWatchPull) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(3), {"sub/weights.bin", std::string(3 << 20, 'w')}}, "tiny");
  EXPECT_EQ(model.name(), "models/tiny");
  EXPECT_EQ(model.architecture(), "gpt2");
  EXPECT_EQ(model.parameter_count(), 1000);
  EXPECT_EQ(model.files_size(), 2);

  const v1::Job submitted = server.Submit(model.name());
  grpc::ClientContext context;
  v1::WatchJobRequest watch;
  watch.set_name(submitted.name());
  auto reader = server.jobs().WatchJob(&context, watch);
  v1::JobEvent event;
  std::vector<std::string> tensors;
  int64_t sequence = 0;
  int snapshots = 0, logs = 0;
  v1::Job last;
  bool first = true;
  while (reader->Read(&event)) {
    EXPECT_TRUE(!first || event.has_snapshot());
    first = false;
    EXPECT_TRUE(event.has_time());
    if (event.has_snapshot()) last = event.snapshot(), ++snapshots;
    if (event.has_tensor_done()) tensors.push_back(event.tensor_done().tensor());
    if (event.has_log()) ++logs;
    if (event.sequence() != 0) {
      EXPECT_GT(event.sequence(), sequence);
      sequence = event.sequence();
    }
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(tensors, ::testing::UnorderedElementsAre("t0", "t1", "t2"));
  EXPECT_EQ(logs, 1);
  EXPECT_GE(snapshots, 2);
  ASSERT_EQ(last.state(), v1::Job::SUCCEEDED) << last.ShortDebugString();
  EXPECT_EQ(last.result().bits_per_weight(), 4.5);
  EXPECT_EQ(last.progress().tasks_done(), 9);
  EXPECT_EQ(last.progress().tasks_total(), 9);

  std::string whole, part;
  ASSERT_TRUE(server.Read(last.result().artifact(), "model.gguf", 0, 0, &whole).ok());
  EXPECT_EQ(static_cast<int64_t>(whole.size()), last.result().output_bytes());
  ASSERT_TRUE(server.Read(last.result().artifact(), "model.gguf", 100, 50, &part).ok());
  EXPECT_EQ(part, whole.substr(100, 50));
  const grpc::Status past = server.Read(last.result().artifact(), "model.gguf", 1 << 30, 0, &part);
  EXPECT_EQ(past.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(InfoOf(past).reason(), "RANGE_PAST_END");
  std::string weights;
  ASSERT_TRUE(server.Read(model.name(), "sub/weights.bin", 0, 0, &weights).ok());
  EXPECT_EQ(weights, std::string(3 << 20, 'w'));
}

// The half of a character at the end made a job that no client could read.
TEST(JobFlowTest, ALabelTooLongForANameIsCutBetweenCharacters) {
  ServerHarness server;
  server.Start();
  const TestFile plan = server.FakePlan(1);
  v1::CreateUploadRequest create;
  create.add_files()->set_path(plan.path);
  create.mutable_files(0)->mutable_digest()->set_size_bytes(static_cast<int64_t>(plan.content.size()));
  std::string name(199, 'n');
  name.append("\u00e9");  // two bytes, the second beyond a name's 200
  (*create.mutable_labels())["name"] = name;
  v1::Upload upload;
  grpc::ClientContext creating, completing;
  ASSERT_TRUE(server.uploads().CreateUpload(&creating, create, &upload).ok());
  ASSERT_TRUE(server.Write(upload.name(), plan.path, plan.content, 0, true).ok());
  v1::CompleteUploadRequest complete;
  complete.set_name(upload.name());
  v1::Model model;
  ASSERT_TRUE(server.uploads().CompleteUpload(&completing, complete, &model).ok());
  EXPECT_EQ(server.Submit(model.name()).spec().model_name(), std::string(199, 'n'));
}

TEST(JobFlowTest, WatchAgainContinuesAfterTheLastSequence) {
  ServerHarness server;
  server.Start();
  const v1::Job job = server.Submit(server.Push({server.FakePlan(4)}).name());
  ASSERT_EQ(server.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
  const auto sequences_after = [&](int64_t after) {
    grpc::ClientContext context;
    v1::WatchJobRequest watch;
    watch.set_name(job.name());
    watch.set_after_sequence(after);
    auto reader = server.jobs().WatchJob(&context, watch);
    std::vector<int64_t> sequences;
    v1::JobEvent event;
    while (reader->Read(&event)) {
      if (event.sequence() != 0) sequences.push_back(event.sequence());
    }
    EXPECT_TRUE(reader->Finish().ok());
    return sequences;
  };
  EXPECT_THAT(sequences_after(0), ::testing::ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(sequences_after(3), ::testing::ElementsAre(4, 5));
}

TEST(JobFlowTest, SecondTargetSkipsPrepareAndMeasure) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(2)});
  ASSERT_EQ(server.WaitForEnd(server.Submit(model.name(), 4).name()).state(), v1::Job::SUCCEEDED);
  ASSERT_EQ(server.WaitForEnd(server.Submit(model.name(), 3).name()).state(), v1::Job::SUCCEEDED);
  const auto runs = server.Runs();
  EXPECT_EQ(runs.at("prepare:0"), 1);
  EXPECT_EQ(runs.at("measure:0"), 1);
  EXPECT_EQ(runs.at("measure:1"), 1);
  EXPECT_EQ(runs.at("solve:0"), 2);
  EXPECT_EQ(runs.at("encode:1"), 2);
}

TEST(JobFlowTest, CancelStopsARunningTaskWithinASecond) {
  ServerHarness server;
  server.Start();
  const std::string pid_file = server.root() + "/started";
  const json wait = {{"do", "wait"}, {"for", "/never"}, {"started", pid_file}, {"grandchild", true}};
  const v1::Job job = server.Submit(server.Push({server.FakePlan(1, {{"encode:0", {wait}}})}).name());
  ASSERT_TRUE(WaitFor([&] { return fs::exists(pid_file) && fs::file_size(pid_file) > 0; }));
  // The engine's last report is in: nothing but the cancellation itself can stop it now.
  ASSERT_TRUE(WaitFor([&] { return server.Get(job.name()).progress().current_tensor() == "t0"; }));
  const auto start = steady_clock::now();
  ASSERT_TRUE(CancelJob(server, job.name()).ok());
  ASSERT_TRUE(WaitFor([&] { return ProcessGone(pid_file); }));
  ASSERT_EQ(server.WaitForEnd(job.name()).state(), v1::Job::CANCELLED);
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_TRUE(CancelJob(server, job.name()).ok()) << "idempotent";
  EXPECT_TRUE(fs::is_empty(server.data() + "/work"));

  // A retry keeps the finished tasks.
  grpc::ClientContext context;
  v1::RetryJobRequest retry;
  retry.set_name(job.name());
  v1::Job retried;
  ASSERT_TRUE(server.jobs().RetryJob(&context, retry, &retried).ok());
  EXPECT_EQ(server.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(server.Runs().at("prepare:0"), 1);
  EXPECT_EQ(server.Runs().at("measure:0"), 1);
  const grpc::Status ended = CancelJob(server, job.name());
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(InfoOf(ended).reason(), "JOB_ENDED");
}

TEST(JobFlowTest, CrashIsRetriedAndTheJobSucceeds) {
  ServerHarness server;
  server.Start();
  const json steps = {{"measure:0", {{{"do", "crash"}}}}, {"encode:1", {{{"do", "garbage"}}}}};
  const v1::Job job = server.Submit(server.Push({server.FakePlan(2, steps)}).name());
  const v1::Job ended = server.WaitForEnd(job.name());
  EXPECT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  const auto runs = server.Runs();
  EXPECT_EQ(runs.at("measure:0"), 2);
  EXPECT_EQ(runs.at("encode:1"), 2);
  EXPECT_EQ(runs.at("encode:0"), 1);
}

TEST(JobFlowTest, CrashingTwiceIsPoison) {
  ServerHarness server;
  server.Start({"--max-attempts=5"});
  const json steps = {{"prepare:0", {{{"do", "exit"}}, {{"do", "exit"}}, {{"do", "exit"}}}}};
  const v1::Job ended = server.WaitForEnd(server.Submit(server.Push({server.FakePlan(1, steps)}).name()).name());
  ASSERT_EQ(ended.state(), v1::Job::FAILED);
  EXPECT_EQ(server.Runs().at("prepare:0"), 2);
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(ended.error().details(0).value()));
  EXPECT_EQ(info.reason(), "POISON");
  EXPECT_THAT(ended.error().message(), ::testing::HasSubstr("last words"));
}

TEST(JobFlowTest, WhatTheInputCausedIsNotRetried) {
  ServerHarness server;
  server.Start();
  const json error = {{"do", "error"}, {"code", 3}, {"reason", "TARGET_INFEASIBLE"}, {"message", "too small"},
                      {"hint", "ask for more"}};
  const v1::Job ended =
      server.WaitForEnd(server.Submit(server.Push({server.FakePlan(1, {{"solve:0", {error}}})}).name()).name());
  ASSERT_EQ(ended.state(), v1::Job::FAILED);
  EXPECT_EQ(server.Runs().at("solve:0"), 1);
  EXPECT_EQ(ended.error().code(), 3);
  EXPECT_EQ(ended.error().message(), "too small");
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(ended.error().details(0).value()));
  EXPECT_EQ(info.reason(), "TARGET_INFEASIBLE");
  EXPECT_EQ(info.metadata().at("hint"), "ask for more");
}

TEST(JobFlowTest, Kill9InTheMiddleOfAJobLosesOneTask) {
  ServerHarness server;
  server.Start({"--max-attempts=1"});
  const std::string pid_file = server.root() + "/started";
  const json wait = {{"do", "wait"}, {"for", "/never"}, {"started", pid_file}};
  const v1::Model model = server.Push({server.FakePlan(3, {{"encode:1", {wait}}})});
  const v1::Job job = server.Submit(model.name());
  ASSERT_TRUE(WaitFor([&] { return fs::exists(pid_file) && fs::file_size(pid_file) > 0; }));
  server.Kill();
  EXPECT_TRUE(WaitFor([&] { return ProcessGone(pid_file); })) << "the engine outlived its server";
  server.Start({"--max-attempts=1"});
  const v1::Job ended = server.WaitForEnd(job.name());
  ASSERT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  const auto runs = server.Runs();
  EXPECT_EQ(runs.at("encode:1"), 2);
  for (const char* key : {"prepare:0", "measure:0", "measure:1", "measure:2", "solve:0", "encode:0", "encode:2"}) {
    EXPECT_EQ(runs.at(key), 1) << key;
  }
  EXPECT_TRUE(fs::is_empty(server.data() + "/work"));
}

TEST(JobFlowTest, SigtermReleasesTasksEndsWatchesAndExitsZero) {
  ServerHarness server;
  server.Start({"--max-attempts=1"});
  const std::string pid_file = server.root() + "/started";
  const json wait = {{"do", "wait"}, {"for", "/never"}, {"started", pid_file}};
  const v1::Job job = server.Submit(server.Push({server.FakePlan(1, {{"solve:0", {wait}}})}).name());
  ASSERT_TRUE(WaitFor([&] { return fs::exists(pid_file) && fs::file_size(pid_file) > 0; }));
  grpc::ClientContext context;
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  auto reader = server.jobs().WatchJob(&context, watch);
  v1::JobEvent event;
  ASSERT_TRUE(reader->Read(&event));
  const auto start = steady_clock::now();
  server.Signal(SIGTERM);
  while (reader->Read(&event)) {
  }
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(InfoOf(ended).reason(), "SHUTTING_DOWN");
  const int status = server.WaitForExit();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_TRUE(ProcessGone(pid_file));
  server.Start({"--max-attempts=1"});  // a counted attempt would fail the job now
  EXPECT_EQ(server.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
}

TEST(JobFlowTest, TwoClientsAtOnce) {
  ServerHarness server;
  server.Start({"--workers=2"});
  std::atomic<int> succeeded{0};
  const auto client = [&](int index) {
    const v1::Model model = server.Push({server.FakePlan(2), {"weights", std::string(200000, 'a' + index)}});
    if (server.WaitForEnd(server.Submit(model.name()).name()).state() == v1::Job::SUCCEEDED) ++succeeded;
  };
  std::thread a(client, 0), b(client, 1);
  a.join();
  b.join();
  EXPECT_EQ(succeeded, 2);
}

TEST(JobFlowTest, WatcherThatLeavesIsNoticed) {
  ServerHarness server;
  server.Start({"--max-streams=1"});
  const json wait = {{"do", "wait"}, {"for", "/never"}};
  const v1::Job job = server.Submit(server.Push({server.FakePlan(1, {{"prepare:0", {wait}}})}).name());
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  v1::JobEvent event;
  grpc::ClientContext first;
  auto reader = server.jobs().WatchJob(&first, watch);
  ASSERT_TRUE(reader->Read(&event));
  grpc::ClientContext second;
  auto refused = server.jobs().WatchJob(&second, watch);
  EXPECT_FALSE(refused->Read(&event));
  const grpc::Status status = refused->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(InfoOf(status).reason(), "TOO_MANY_STREAMS");
  EXPECT_TRUE(WaitFor([&] { return server.Get(job.name()).state() == v1::Job::RUNNING; })) << "unary calls find a thread";
  first.TryCancel();
  reader->Finish();
  EXPECT_TRUE(WaitFor([&] {
    grpc::ClientContext again;
    auto next = server.jobs().WatchJob(&again, watch);
    const bool read = next->Read(&event);
    again.TryCancel();
    next->Finish();
    return read;
  }));
}

TEST(JobFlowTest, WatchIsNeverSilentForLong) {
  ServerHarness server;
  server.Start({"--keepalive=100ms"});
  const json wait = {{"do", "wait"}, {"for", "/never"}};
  const v1::Job job = server.Submit(server.Push({server.FakePlan(1, {{"prepare:0", {wait}}})}).name());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  auto reader = server.jobs().WatchJob(&context, watch);
  v1::JobEvent event;
  int keepalives = 0;
  while (keepalives < 3 && reader->Read(&event)) keepalives += event.has_keepalive() ? 1 : 0;
  EXPECT_EQ(keepalives, 3);
  context.TryCancel();
  reader->Finish();
}

}  // namespace
}  // namespace nashswarm::testing
