#include "tests/integration/server_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/hash.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;

std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string ServerProgram() {
  const char* directory = std::getenv("NASHSWARM_BIN_DIR");
  if (directory == nullptr) {
    ADD_FAILURE() << "set NASHSWARM_BIN_DIR to the directory with nashswarmd";
    return "nashswarmd";
  }
  return std::string(directory) + "/nashswarmd";
}

std::string FakeEngine() {
  if (const char* source = std::getenv("NASHSWARM_SOURCE_DIR")) {
    return std::string(source) + "/tests/integration/fake_engine.py";
  }
  return (fs::path(__FILE__).parent_path() / "fake_engine.py").string();
}

void SetDeadline(grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
}

}  // namespace

bool WaitFor(const std::function<bool()>& condition, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::string RawSha256(const std::string& content) { return Sha256Of(content); }

// Bit by bit, straight from the definition: slow, and independent of the server's.
uint32_t TestCrc32c(const std::string& content) {
  uint32_t crc = 0xffffffff;
  for (const char c : content) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

v1::ErrorInfo InfoOf(const grpc::Status& status) {
  v1::Error error;
  v1::ErrorInfo info;
  EXPECT_TRUE(error.ParseFromString(status.error_details())) << status.error_message();
  EXPECT_EQ(error.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(error.details_size(), 1);
  if (error.details_size() == 1) {
    EXPECT_EQ(error.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
    EXPECT_TRUE(info.ParseFromString(error.details(0).value()));
    EXPECT_EQ(info.domain(), "nashswarm");
  }
  return info;
}

ServerHarness::ServerHarness() {
  std::string pattern = (fs::temp_directory_path() / "nashswarm-test-XXXXXX").string();
  root_ = mkdtemp(pattern.data());
}

ServerHarness::~ServerHarness() {
  if (running()) Kill();
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "---- server log\n%s----\n", log().c_str());
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

void ServerHarness::Start(const std::vector<std::string>& flags) {
  const std::string info_file = root_ + "/info.json";
  std::error_code ignored;
  fs::remove(info_file, ignored);
  std::vector<std::string> arguments = {ServerProgram(), "--data",      data(),       "--metrics",       "127.0.0.1:0",
                                        "--info-file",   info_file,     "--engine", FakeEngine(),      "--retry-backoff",
                                        "20ms"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const bool own_address = std::any_of(flags.begin(), flags.end(),
                                       [](const std::string& flag) { return flag.starts_with("--listen="); });
  if (!own_address) arguments.push_back("--listen=127.0.0.1:0");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int log = open((root_ + "/server.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  pid_ = fork();
  if (pid_ == 0) {
    // A test that crashes must leave no server behind, nor one that holds the test runner's pipe open.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("NASHSWARM_SANDBOX_WRITABLE", root_.c_str(), 1);  // the fake engine keeps records there
    dup2(log, 1);
    dup2(log, 2);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(log);
  ASSERT_GT(pid_, 0);
  WaitUntilServing();
}

void ServerHarness::WaitUntilServing() {
  const std::string path = root_ + "/info.json";
  const bool serving = WaitFor([&] {
    int status;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return true;
    }
    return fs::exists(path);
  });
  ASSERT_TRUE(serving && running()) << log();
  info_ = nlohmann::json::parse(ReadText(path));
  Connect();
}

void ServerHarness::Connect() {
  channel_ = grpc::CreateChannel(info_["grpc"].get<std::string>(), credentials_);
  // gRPC's first connect can fail for no lasting reason on a busy machine; this waits through its retries.
  ASSERT_TRUE(channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30))) << log();
  uploads_ = v1::UploadService::NewStub(channel_);
  models_ = v1::ModelService::NewStub(channel_);
  jobs_ = v1::JobService::NewStub(channel_);
  artifacts_ = v1::ArtifactService::NewStub(channel_);
  server_info_ = v1::InfoService::NewStub(channel_);
}

void ServerHarness::Signal(int signal) { kill(pid_, signal); }

void ServerHarness::Kill() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int ServerHarness::WaitForExit() {
  int status = -1;
  if (!WaitFor([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) {
    ADD_FAILURE() << "the server did not end";
    Kill();
  }
  pid_ = -1;
  return status;
}

std::string ServerHarness::log() const { return ReadText(root_ + "/server.log"); }

TestFile ServerHarness::FakePlan(int shards, const nlohmann::json& steps, int search_rounds) const {
  return {"fake.json", nlohmann::json{{"runs", root_ + "/runs"},
                                      {"record", root_ + "/record"},
                                      {"shards", shards},
                                      {"steps", steps},
                                      {"search_rounds", search_rounds}}
                           .dump()};
}

nlohmann::json ServerHarness::Recorded(const std::string& stage, int shard) const {
  const std::string text = ReadText(root_ + "/record/" + stage + "-" + std::to_string(shard) + ".json");
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::map<std::string, int> ServerHarness::Runs() const {
  std::map<std::string, int> runs;
  for (const std::string& key : RunOrder()) ++runs[key];
  return runs;
}

std::vector<std::string> ServerHarness::RunOrder() const {
  std::vector<std::string> order;
  std::ifstream in(root_ + "/runs");
  std::string key;
  while (in >> key) order.push_back(key);
  return order;
}

v1::Upload ServerHarness::CreateUpload(const std::vector<TestFile>& files, const std::string& model_id,
                                       v1::Model::Kind kind) {
  v1::CreateUploadRequest request;
  request.set_kind(kind);
  request.set_model_id(model_id);
  for (const TestFile& file : files) {
    v1::FileEntry* entry = request.add_files();
    entry->set_path(file.path);
    entry->mutable_digest()->set_size_bytes(static_cast<int64_t>(file.content.size()));
    entry->mutable_digest()->set_sha256(RawSha256(file.content));
  }
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::Upload upload;
  const grpc::Status status = uploads_->CreateUpload(&context, request, &upload);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return upload;
}

grpc::Status ServerHarness::Write(const std::string& upload, const std::string& path, const std::string& content,
                                  int64_t offset, bool finish, v1::WriteFileResponse* response) {
  constexpr size_t kChunk = 64 << 10;
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::WriteFileResponse ignored;
  auto writer = uploads_->WriteFile(&context, response != nullptr ? response : &ignored);
  v1::WriteFileRequest message;
  message.mutable_header()->set_upload(upload);
  message.mutable_header()->set_path(path);
  message.mutable_header()->set_write_offset(offset);
  writer->Write(message);
  for (size_t at = static_cast<size_t>(offset); at < content.size(); at += kChunk) {
    message.mutable_chunk()->set_data(content.substr(at, kChunk));
    message.mutable_chunk()->set_crc32c(TestCrc32c(message.chunk().data()));
    if (!writer->Write(message)) break;
  }
  if (finish) {
    message.mutable_finish()->set_sha256(RawSha256(content));
    message.mutable_finish()->set_size_bytes(static_cast<int64_t>(content.size()));
    writer->Write(message);
  }
  writer->WritesDone();
  return writer->Finish();
}

v1::Model ServerHarness::Push(const std::vector<TestFile>& files, const std::string& model_id, v1::Model::Kind kind) {
  const v1::Upload upload = CreateUpload(files, model_id, kind);
  for (int i = 0; i < upload.files_size(); ++i) {
    if (upload.files(i).complete()) continue;
    const grpc::Status written = Write(upload.name(), files[i].path, files[i].content, 0, true);
    EXPECT_TRUE(written.ok()) << written.error_message();
  }
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::CompleteUploadRequest request;
  request.set_name(upload.name());
  v1::Model model;
  const grpc::Status status = uploads_->CompleteUpload(&context, request, &model);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return model;
}

v1::Job ServerHarness::Submit(const std::string& model, double bits_per_weight) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(bits_per_weight);
  return Submit(model, spec);
}

v1::Job ServerHarness::Submit(const std::string& model, const v1::CompressionSpec& spec) {
  v1::CreateJobRequest request;
  request.set_model(model);
  *request.mutable_spec() = spec;
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::Job job;
  const grpc::Status status = jobs_->CreateJob(&context, request, &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

v1::Job ServerHarness::Get(const std::string& name) {
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  const grpc::Status status = jobs_->GetJob(&context, request, &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

v1::Job ServerHarness::WaitForEnd(const std::string& name) {
  v1::Job job;
  const bool ended = WaitFor([&] {
    job = Get(name);
    return job.has_end_time() || ::testing::Test::HasFailure();
  });
  EXPECT_TRUE(ended) << job.ShortDebugString();
  return job;
}

grpc::Status ServerHarness::Read(const std::string& name, const std::string& path, int64_t offset, int64_t limit,
                                 std::string* content) {
  v1::ReadFileRequest request;
  request.set_name(name);
  request.set_path(path);
  request.set_read_offset(offset);
  request.set_read_limit(limit);
  grpc::ClientContext context;
  SetDeadline(&context);
  auto reader = artifacts_->ReadFile(&context, request);
  v1::ReadFileResponse message;
  content->clear();
  while (reader->Read(&message)) {
    EXPECT_EQ(TestCrc32c(message.data()), message.crc32c());
    content->append(message.data());
  }
  return reader->Finish();
}

}  // namespace nashswarm::testing
