// Listing, deleting, freeing space, health, metrics, start-up and limits of a real nashswarmd.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

int64_t StoredBytes(const ServerHarness& server) {
  int64_t bytes = 0;
  std::error_code gone;
  for (const auto& entry : fs::recursive_directory_iterator(server.data() + "/blobs", gone)) {
    const auto size = entry.file_size(gone);
    if (!gone && entry.is_regular_file(gone)) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

std::string HttpGet(const std::string& address, const std::string& path) {
  const int port = std::stoi(address.substr(address.rfind(':') + 1));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string response;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) response.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return response;
}

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

grpc::Status DeleteModel(ServerHarness& server, const std::string& name) {
  grpc::ClientContext context;
  google::protobuf::Empty empty;
  return server.models().DeleteModel(&context, Named<v1::DeleteModelRequest>(name), &empty);
}

TEST(AdministrationTest, ServerInfoShowsLimitsAndFormats) {
  ServerHarness server;
  server.Start({"--max-chunk=1MiB", "--max-attempts=7", "--lease=30s", "--heartbeat=5s", "--workers=3"});
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(server.server_info().GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.limits().max_chunk_bytes(), 1 << 20);
  EXPECT_EQ(info.limits().max_attempts(), 7);
  EXPECT_EQ(info.limits().lease().seconds(), 30);
  EXPECT_EQ(info.workers(), 3);
  // What its engine said: fake_engine.py.
  ASSERT_EQ(info.formats_size(), 9);
  EXPECT_EQ(info.formats(0).name(), "Q2_K");
  EXPECT_EQ(info.formats(0).bits_per_weight(), 2.625);
  EXPECT_EQ(info.formats(8).block_weights(), 1);
  EXPECT_THAT(info.architectures(), ::testing::ElementsAre("gpt2", "llama"));
  EXPECT_EQ(info.limits().max_header_bytes(), 100 << 20);
  EXPECT_THAT(info.artifact_formats(), ::testing::ElementsAre("gguf", "nsq"));
  EXPECT_EQ(info.version(), server.info()["version"].get<std::string>());
  EXPECT_EQ(server.info()["pid"].get<int>(), server.pid());
}

TEST(AdministrationTest, ListsInPagesNewestFirst) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(1)});
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.insert(names.begin(), server.Submit(model.name(), 3 + i).name());
  for (const std::string& name : names) server.WaitForEnd(name);
  std::vector<std::string> listed;
  v1::ListJobsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    ASSERT_TRUE(server.jobs().ListJobs(&context, request, &response).ok());
    for (const auto& job : response.jobs()) listed.push_back(job.name());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, names);
  EXPECT_EQ(pages, 3);

  grpc::ClientContext none_context, bad_context;
  v1::ListJobsResponse response;
  v1::ListJobsRequest failed;
  failed.set_state(v1::Job::FAILED);
  ASSERT_TRUE(server.jobs().ListJobs(&none_context, failed, &response).ok());
  EXPECT_EQ(response.jobs_size(), 0);
  request.set_page_token("nonsense");
  EXPECT_EQ(InfoOf(server.jobs().ListJobs(&bad_context, request, &response)).reason(), "BAD_PAGE_TOKEN");
}

TEST(AdministrationTest, JobRequestIdIsIdempotentAndSpecsAreChecked) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(1)});
  v1::CreateJobRequest request;
  request.set_model(model.name());
  request.set_request_id("123e4567-e89b-42d3-a456-426614174000");
  request.mutable_spec()->set_size_bytes(1000);
  auto* rule = request.mutable_spec()->add_rules();
  rule->set_pattern(".*");
  rule->set_format("q6_k");
  const auto create = [&](v1::Job* job) {
    grpc::ClientContext context;
    return server.jobs().CreateJob(&context, request, job);
  };
  v1::Job first, second;
  ASSERT_TRUE(create(&first).ok());
  ASSERT_TRUE(create(&second).ok());
  EXPECT_EQ(first.name(), second.name());
  EXPECT_EQ(first.spec().rules(0).format(), "Q6_K");
  EXPECT_EQ(first.spec().artifact_format(), "gguf");

  request.clear_request_id();
  const auto reason = [&] {
    v1::Job job;
    const grpc::Status status = create(&job);
    return status.ok() ? std::string("OK") : InfoOf(status).reason();
  };
  rule->set_pattern("(");
  EXPECT_EQ(reason(), "BAD_PATTERN");
  rule->set_pattern(".*");
  rule->set_format("Q99");
  EXPECT_EQ(reason(), "UNKNOWN_FORMAT");
  rule->set_format("keep");
  request.mutable_spec()->clear_target();
  EXPECT_EQ(reason(), "NO_TARGET");
  request.mutable_spec()->set_ratio(1);
  EXPECT_EQ(reason(), "BAD_TARGET");
  request.mutable_spec()->set_ratio(0.9);
  request.set_priority(10);
  EXPECT_EQ(reason(), "BAD_PRIORITY");
  request.clear_priority();
  request.set_model("models/none");
  EXPECT_EQ(reason(), "MODEL_NOT_FOUND");
  request.set_model("none");
  EXPECT_EQ(reason(), "BAD_NAME");
}

TEST(AdministrationTest, QueueLimit) {
  ServerHarness server;
  server.Start({"--max-queued-jobs=1", "--workers=1"});
  const nlohmann::json wait = {{"do", "wait"}, {"for", "/never"}};
  const v1::Model model = server.Push({server.FakePlan(1, {{"prepare:0", {wait}}})});
  const v1::Job running = server.Submit(model.name());
  ASSERT_TRUE(WaitFor([&] { return server.Get(running.name()).state() == v1::Job::RUNNING; }));
  server.Submit(model.name(), 5);
  v1::CreateJobRequest request;
  request.set_model(model.name());
  request.mutable_spec()->set_bits_per_weight(6);
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(InfoOf(status).reason(), "QUEUE_FULL");
  EXPECT_EQ(InfoOf(DeleteModel(server, model.name())).reason(), "MODEL_IN_USE");
  grpc::ClientContext delete_context;
  google::protobuf::Empty empty;
  EXPECT_EQ(InfoOf(server.jobs().DeleteJob(&delete_context, Named<v1::DeleteJobRequest>(running.name()), &empty))
                .reason(),
            "JOB_NOT_ENDED");
}

TEST(AdministrationTest, DeletingFreesSpaceAndNothingThatLives) {
  ServerHarness server;
  server.Start({"--gc-interval=50ms", "--gc-grace=100ms"});
  const TestFile shared{"shared.bin", std::string(300000, 's')};
  const v1::Model kept = server.Push({server.FakePlan(1), shared}, "kept");
  const v1::Model gone = server.Push({server.FakePlan(2), shared, {"own.bin", std::string(500000, 'o')}}, "gone");
  const v1::Job job = server.WaitForEnd(server.Submit(gone.name()).name());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  const std::string artifact = job.result().artifact();
  std::string content;

  ASSERT_TRUE(DeleteModel(server, gone.name()).ok());
  EXPECT_TRUE(WaitFor([&] { return StoredBytes(server) < 400000; }));
  EXPECT_TRUE(server.Read(kept.name(), "shared.bin", 0, 0, &content).ok());
  EXPECT_EQ(content, shared.content);
  EXPECT_TRUE(server.Read(artifact, "model.gguf", 0, 0, &content).ok()) << "the artifact outlives its model";
  EXPECT_EQ(InfoOf(server.Read(gone.name(), "own.bin", 0, 0, &content)).reason(), "MODEL_NOT_FOUND");

  grpc::ClientContext job_context, artifact_context;
  google::protobuf::Empty empty;
  ASSERT_TRUE(server.jobs().DeleteJob(&job_context, Named<v1::DeleteJobRequest>(job.name()), &empty).ok());
  EXPECT_TRUE(server.Read(artifact, "model.gguf", 0, 0, &content).ok()) << "the artifact outlives its job";
  ASSERT_TRUE(server.artifacts()
                  .DeleteArtifact(&artifact_context, Named<v1::DeleteArtifactRequest>(artifact), &empty)
                  .ok());
  ASSERT_TRUE(DeleteModel(server, kept.name()).ok());
  EXPECT_TRUE(WaitFor([&] { return StoredBytes(server) == 0; })) << StoredBytes(server) << " bytes left";
}

// Once no worker is busy: a job's end is seen a moment before its last task is counted.
std::string MetricsAtRest(const ServerHarness& server) {
  std::string text;
  EXPECT_TRUE(WaitFor([&] {
    text = HttpGet(server.info()["metrics"].get<std::string>(), "/metrics");
    return text.find("nashswarm_workers_busy 0") != std::string::npos;
  }));
  return text;
}

TEST(AdministrationTest, MetricsCountCallsAndWork) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(2), {"w.bin", std::string(100000, 'w')}});
  ASSERT_EQ(server.WaitForEnd(server.Submit(model.name()).name()).state(), v1::Job::SUCCEEDED);
  grpc::ClientContext context;
  v1::Job job;
  server.jobs().GetJob(&context, Named<v1::GetJobRequest>("jobs/none"), &job);
  const std::string metrics = MetricsAtRest(server);
  for (const char* line :
       {"grpc_server_started_total{grpc_method=\"WriteFile\",grpc_service=\"nashswarm.v1.UploadService\","
        "grpc_type=\"client_stream\"} 2",
        "grpc_server_handled_total{grpc_code=\"NotFound\",grpc_method=\"GetJob\",grpc_service=\"nashswarm.v1.JobService\","
        "grpc_type=\"unary\"} 1",
        "grpc_server_handling_seconds_bucket{", "grpc_server_msg_received_total{", "grpc_server_msg_sent_total{",
        "nashswarm_jobs{state=\"succeeded\"} 1", "nashswarm_jobs{state=\"queued\"} 0",
        "nashswarm_job_duration_seconds_count{state=\"SUCCEEDED\"} 1", "nashswarm_queue_depth 0",
        "nashswarm_tensors_encoded_total{format=\"Q4_K\"} 2", "nashswarm_weights_processed_total{stage=\"encode\"} 200",
        "nashswarm_tasks_total{outcome=\"succeeded\",stage=\"measure\"} 2", "nashswarm_workers 1",
        "nashswarm_workers_busy 0", "nashswarm_compressed_input_bytes_total 4000", "nashswarm_blob_store_bytes ",
        "nashswarm_build_info{version="}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST(AdministrationTest, MetricsCountAJobThatIsCancelledWhileItWaits) {
  ServerHarness server;
  server.Start();
  const std::string started = server.root() + "/started";
  const nlohmann::json wait = {{"do", "wait"}, {"for", "/never"}, {"started", started}};
  const v1::Model model = server.Push({server.FakePlan(1, {{"prepare:0", {wait}}})});
  server.Submit(model.name());  // keeps the one worker busy
  ASSERT_TRUE(WaitFor([&] { return std::filesystem::exists(started); }));
  const std::string job = server.Submit(model.name()).name();
  for (int i = 0; i < 2; ++i) {  // the second finds it cancelled
    grpc::ClientContext context;
    v1::Job cancelled;
    ASSERT_TRUE(server.jobs().CancelJob(&context, Named<v1::CancelJobRequest>(job), &cancelled).ok());
    EXPECT_EQ(cancelled.state(), v1::Job::CANCELLED);
  }
  EXPECT_THAT(HttpGet(server.info()["metrics"].get<std::string>(), "/metrics"),
              HasSubstr("nashswarm_job_duration_seconds_count{state=\"CANCELLED\"} 1"));
}

TEST(AdministrationTest, MetricsOfACalibratedJobCountTokensAndQuality) {
  ServerHarness server;
  server.Start();
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.mutable_calibration()->set_self(true);
  const v1::Model model = server.Push({server.FakePlan(2, nlohmann::json::object(), /*search_rounds=*/2)});
  ASSERT_EQ(server.WaitForEnd(server.Submit(model.name()).name()).state(), v1::Job::SUCCEEDED);
  EXPECT_THAT(MetricsAtRest(server), HasSubstr("nashswarm_job_mean_kl_count 0")) << "nothing was measured";
  ASSERT_EQ(server.WaitForEnd(server.Submit(model.name(), spec).name()).state(), v1::Job::SUCCEEDED);
  const std::string text = MetricsAtRest(server);
  for (const char* line :
       {"nashswarm_job_mean_kl_count 1", "nashswarm_tasks_total{outcome=\"succeeded\",stage=\"calibrate\"} 1",
        "nashswarm_tasks_total{outcome=\"succeeded\",stage=\"evaluate\"} 1",
        "nashswarm_task_duration_seconds_count{stage=\"calibrate\"} 1",
        "nashswarm_tasks_total{outcome=\"succeeded\",stage=\"search\"} 2",
        "nashswarm_tokens_processed_total{stage=\"search\"} 200",
        "nashswarm_tokens_processed_total{stage=\"evaluate\"} 100",
        "nashswarm_job_mean_kl_bucket{le=\"0.01\"} 0", "nashswarm_job_mean_kl_bucket{le=\"0.03\"} 1",
        "nashswarm_job_mean_kl_sum 0.02"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, ::testing::Not(HasSubstr("nashswarm_weights_processed_total{stage=\"evaluate\"}")));
}

TEST(AdministrationTest, HealthIsServing) {
  ServerHarness server;
  server.Start();
  grpc::GenericStub stub(server.channel());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice empty("");
  const grpc::ByteBuffer request(&empty, 1);  // an empty HealthCheckRequest
  grpc::ByteBuffer response;
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  grpc::Slice slice;
  ASSERT_TRUE(response.DumpToSingleSlice(&slice).ok());
  EXPECT_EQ(std::string(slice.begin(), slice.end()), std::string("\x08\x01", 2)) << "status: SERVING";
}

// Runs nashswarmd with these flags and returns its exit status.
int ExitOf(const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {std::string(std::getenv("NASHSWARM_BIN_DIR")) + "/nashswarmd"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    close(2);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  const bool ended = WaitFor([&] { return waitpid(pid, &status, WNOHANG) == pid; }, std::chrono::seconds(10));
  if (!ended) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AdministrationTest, ProbesAndTheDelayBeforeTheEnd) {
  ServerHarness server;
  server.Start({"--drain-delay=3s"});
  const std::string admin = server.info()["metrics"];
  EXPECT_THAT(HttpGet(admin, "/healthz"), HasSubstr("200 OK"));
  EXPECT_TRUE(WaitFor([&] { return HttpGet(admin, "/readyz").find("200 OK") != std::string::npos; }));
  EXPECT_THAT(HttpGet(admin, "/metrics/"), HasSubstr("404"));
  EXPECT_THAT(HttpGet(admin, "/"), HasSubstr("404"));
  server.Signal(SIGTERM);
  ASSERT_TRUE(WaitFor([&] { return HttpGet(admin, "/readyz").find("503") != std::string::npos; }));
  EXPECT_THAT(HttpGet(admin, "/healthz"), HasSubstr("200 OK"));
  // Balancers have not noticed yet: whoever comes is served.
  grpc::ClientContext context;
  v1::ListModelsResponse models;
  EXPECT_TRUE(server.models().ListModels(&context, v1::ListModelsRequest(), &models).ok());
  const int status = server.WaitForExit();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// Threads of gRPC that take the signal themselves would end the process without a word; it is a matter of chance, hence the rounds.
TEST(AdministrationTest, ASignalThatComesEarlyEndsTheServerProperly) {
  for (int round = 0; round < 10; ++round) {
    ServerHarness server;
    server.Start();
    server.Signal(SIGTERM);
    const int status = server.WaitForExit();
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "round " << round << ": " << status;
  }
}

TEST(AdministrationTest, TheTraceOfAJobIsKeptAndLogged) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736", header = "00-" + trace + "-00f067aa0ba902b7-01";
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(1)});
  const auto create = [&](const std::vector<std::string>& headers) {
    grpc::ClientContext context;
    for (const std::string& value : headers) context.AddMetadata("traceparent", value);
    v1::CreateJobRequest request;
    request.set_model(model.name());
    request.mutable_spec()->set_bits_per_weight(4);
    v1::Job job;
    const grpc::Status status = server.jobs().CreateJob(&context, request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(server.WaitForEnd(job.name()).state(), v1::Job::SUCCEEDED);
    return server.Get(job.name());
  };
  EXPECT_EQ(create({"not a trace"}).traceparent(), "") << "the standard says to ignore it";
  EXPECT_EQ(create({header, header}).traceparent(), "");
  EXPECT_EQ(server.log().find("trace_id"), std::string::npos);
  const v1::Job job = create({header});
  EXPECT_EQ(job.traceparent(), header);
  for (const char* message : {"job created", "task started", "task ended", "job ended"}) {
    bool found = false;
    std::istringstream lines(server.log());
    for (std::string line; std::getline(lines, line);) {
      const auto entry = nlohmann::json::parse(line, nullptr, false);
      found |= entry.is_object() && entry.value("msg", "") == message && entry.value("trace_id", "") == trace;
    }
    EXPECT_TRUE(found) << message;
  }
}

TEST(AdministrationTest, RefusesToStartWhereItMustNot) {
  ServerHarness server;
  server.Start();
  const std::string other = server.root() + "/other";
  const std::string engine = "--engine=/bin/true";
  EXPECT_EQ(ExitOf({"--data", server.data(), "--listen=127.0.0.1:0", "--metrics=none", engine}), 1) << "data in use";
  const std::string taken = "--listen=" + server.info()["grpc"].get<std::string>();
  EXPECT_EQ(ExitOf({"--data", other, taken, "--metrics=none", engine}), 1) << "port in use";
  EXPECT_EQ(ExitOf({"--data", other, "--listen=127.0.0.1:0", "--metrics=none", "--engine=/none"}), 1);
  EXPECT_EQ(ExitOf({"--data", other, "--listen=0.0.0.0:0", "--metrics=none", engine}), 2) << "insecure";
  EXPECT_EQ(ExitOf({"--listen=127.0.0.1:0"}), 2) << "no data directory";
}

TEST(AdministrationTest, TheDataDirectoryIsItsOwnersAlone) {
  ServerHarness server;
  const auto mode = [&] { return fs::status(server.data()).permissions() & fs::perms::mask; };
  server.Start();
  EXPECT_EQ(mode(), fs::perms::owner_all);
  server.Kill();
  fs::permissions(server.data(), fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read);
  server.Start();
  EXPECT_EQ(mode(), fs::perms::owner_all) << "of an older version";
}

TEST(AdministrationTest, ServesOnAPrivateUnixSocket) {
  ServerHarness server;
  const std::string path = server.root() + "/s.sock";
  server.Start({"--listen=unix:" + path});
  EXPECT_EQ(server.info()["grpc"].get<std::string>(), "unix:" + path);
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(server.server_info().GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(fs::status(path).permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none);
  EXPECT_EQ(ExitOf({"--data", server.root() + "/other", "--listen=unix:" + path, "--metrics=none",
                    "--engine=/bin/true"}),
            1)
      << "somebody listens there";
}

}  // namespace
}  // namespace nashswarm::testing
