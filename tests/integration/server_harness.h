// Drives a real nashswarmd process with the fake engine: starts it on port 0 and a temporary directory, talks to it
// over gRPC, kills it. Nothing here sleeps for a fixed time: everything waits for a condition, with a deadline.
#ifndef NASHSWARM_TESTS_INTEGRATION_SERVER_HARNESS_H_
#define NASHSWARM_TESTS_INTEGRATION_SERVER_HARNESS_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "nlohmann/json.hpp"

namespace nashswarm::testing {

// True as soon as `condition` is; false after the deadline.
bool WaitFor(const std::function<bool()>& condition, std::chrono::seconds limit = std::chrono::seconds(30));

struct TestFile {
  std::string path, content;
};

std::string RawSha256(const std::string& content);
uint32_t TestCrc32c(const std::string& content);

// The ErrorInfo of a failed call.
v1::ErrorInfo InfoOf(const grpc::Status& status);

class ServerHarness {
 public:
  ServerHarness();
  ~ServerHarness();
  ServerHarness(const ServerHarness&) = delete;
  ServerHarness& operator=(const ServerHarness&) = delete;

  // Flags beyond --data, --metrics, --info-file and --engine; --listen=... if it is not to be a free port.
  void Start(const std::vector<std::string>& flags = {});
  // How the stubs below connect from the next Start or Connect on.
  void UseCredentials(std::shared_ptr<grpc::ChannelCredentials> credentials) { credentials_ = std::move(credentials); }
  void Connect();           // anew
  void Kill();              // SIGKILL, and waits
  void Signal(int signal);  // does not wait
  int WaitForExit();        // the wait status; kills after a deadline
  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }

  const std::string& root() const { return root_; }  // of this test
  std::string data() const { return root_ + "/data"; }
  std::string log() const;  // all the server wrote on standard error
  const nlohmann::json& info() const { return info_; }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

  v1::UploadService::Stub& uploads() { return *uploads_; }
  v1::ModelService::Stub& models() { return *models_; }
  v1::JobService::Stub& jobs() { return *jobs_; }
  v1::ArtifactService::Stub& artifacts() { return *artifacts_; }
  v1::InfoService::Stub& server_info() { return *server_info_; }

  // ---- the fake engine's instructions, as a model file
  TestFile FakePlan(int shards, const nlohmann::json& steps = nlohmann::json::object(), int search_rounds = 0) const;
  // What a task of a model with FakePlan got: {"task": its task.json, "data": {purpose: text}}.
  nlohmann::json Recorded(const std::string& stage, int shard = 0) const;
  // How often the engine ran each "stage:shard".
  std::map<std::string, int> Runs() const;
  // The same runs in the order they began.
  std::vector<std::string> RunOrder() const;

  // ---- steps most tests need; they fail the test when the call fails
  v1::Upload CreateUpload(const std::vector<TestFile>& files, const std::string& model_id = "",
                          v1::Model::Kind kind = v1::Model::CHECKPOINT);
  grpc::Status Write(const std::string& upload, const std::string& path, const std::string& content, int64_t offset,
                     bool finish, v1::WriteFileResponse* response = nullptr);
  v1::Model Push(const std::vector<TestFile>& files, const std::string& model_id = "",
                 v1::Model::Kind kind = v1::Model::CHECKPOINT);
  v1::Model PushData(const TestFile& file, const std::string& model_id = "") {
    return Push({file}, model_id, v1::Model::DATA);
  }
  v1::Job Submit(const std::string& model, double bits_per_weight = 4);
  v1::Job Submit(const std::string& model, const v1::CompressionSpec& spec);
  v1::Job Get(const std::string& job);
  v1::Job WaitForEnd(const std::string& job);
  grpc::Status Read(const std::string& name, const std::string& path, int64_t offset, int64_t limit,
                    std::string* content);

 private:
  void WaitUntilServing();

  std::string root_;
  pid_t pid_ = -1;
  std::shared_ptr<grpc::ChannelCredentials> credentials_ = grpc::InsecureChannelCredentials();
  nlohmann::json info_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::UploadService::Stub> uploads_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  std::unique_ptr<v1::InfoService::Stub> server_info_;
};

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_INTEGRATION_SERVER_HARNESS_H_
