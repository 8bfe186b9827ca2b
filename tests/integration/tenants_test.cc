// Two tenants on one nashswarmd: neither sees, uses or spends what is the other's.
#include <chrono>
#include <fstream>
#include <memory>

#include "core/base/hash.h"
#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/any_method.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

class TenantsTest : public ::testing::Test {
 protected:
  void Serve(const std::string& quotas = "{}", std::vector<std::string> flags = {}) {
    std::string tokens;
    for (const char* tenant : {"a", "b"}) {
      tokens += std::string("team-") + tenant + " someone sha256:" + ToHex(RawSha256(tenant)) + "\n";
    }
    Write("tokens", tokens);
    Write("tenants", quotas);
    // gRPC sends a token over plaintext on a Unix socket alone.
    flags.insert(flags.end(), {"--listen=unix:" + Path("socket"), "--tokens=" + Path("tokens"),
                               "--tenants=" + Path("tenants")});
    server_.UseCredentials(With("a"));
    server_.Start(flags);
  }
  // Whose calls follow.
  void As(const std::string& token) {
    server_.UseCredentials(With(token));
    server_.Connect();
  }
  std::string Path(const std::string& name) const { return server_.root() + "/" + name; }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name + ".new")) << content;
    ASSERT_EQ(rename(Path(name + ".new").c_str(), Path(name).c_str()), 0);
  }
  grpc::Status Call(const std::string& method, const Message& request) {
    return CallByName(server_.channel(), "/nashswarm.v1." + method, request.SerializeAsString());
  }
  grpc::Status TrySubmit(const std::string& model, const v1::CompressionSpec& spec = Spec()) {
    v1::CreateJobRequest request;
    request.set_model(model);
    *request.mutable_spec() = spec;
    return Call("JobService/CreateJob", request);
  }
  grpc::Status TryUpload(int64_t size) {
    v1::CreateUploadRequest request;
    request.set_kind(v1::Model::DATA);
    request.add_files()->set_path("data.txt");
    request.mutable_files(0)->mutable_digest()->set_size_bytes(size);
    return Call("UploadService/CreateUpload", request);
  }
  static v1::CompressionSpec Spec() {
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(4);
    return spec;
  }

  ServerHarness server_;

 private:
  static std::shared_ptr<grpc::ChannelCredentials> With(const std::string& token) {
    return grpc::CompositeChannelCredentials(grpc::experimental::LocalCredentials(UDS),
                                             grpc::AccessTokenCredentials(token));
  }
};

void ExpectQuotaExceeded(const grpc::Status& status) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(ReasonOf(status), "QUOTA_EXCEEDED");
}

// What a tenant has, as the API names it, by the first part of the name.
using Names = std::map<std::string, std::string>;

// Requests of `method` for what is there, one for each thing it could be about; none for one that names nothing.
std::vector<std::unique_ptr<Message>> RequestsFor(const google::protobuf::MethodDescriptor& method,
                                                  const Names& names) {
  std::vector<std::unique_ptr<Message>> requests;
  const auto add = [&](const std::string& field, const std::string& value) {
    std::unique_ptr<Message> request(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    const FieldDescriptor* descriptor = request->GetDescriptor()->FindFieldByName(field);
    ASSERT_NE(descriptor, nullptr) << method.full_name();
    request->GetReflection()->SetString(request.get(), descriptor, value);
    if (auto* read = dynamic_cast<v1::ReadFileRequest*>(request.get())) read->set_path("fake.json");
    if (auto* job = dynamic_cast<v1::CreateJobRequest*>(request.get())) job->mutable_spec()->set_bits_per_weight(4);
    requests.push_back(std::move(request));
  };
  const std::string service = method.service()->name();
  if (method.name() == "ReadFile") {
    add("name", names.at("models"));
    add("name", names.at("artifacts"));
  } else if (method.name() == "CreateJob") {
    add("model", names.at("models"));
  } else if (method.name() == "WriteFile") {
    auto request = std::make_unique<v1::WriteFileRequest>();
    request->mutable_header()->set_upload(names.at("uploads"));
    request->mutable_header()->set_path("rest.txt");
    requests.push_back(std::move(request));
  } else if (!method.name().starts_with("List") && method.name() != "CreateUpload" && service != "InfoService") {
    add("name", names.at(service == "UploadService"  ? "uploads"
                         : service == "ModelService" ? "models"
                         : service == "JobService"   ? "jobs"
                                                     : "artifacts"));
  }
  return requests;
}

TEST_F(TenantsTest, WhatAnotherHasIsNotThere) {
  Serve();
  Names names;
  names["models"] = server_.Push({server_.FakePlan(1)}, "m").name();
  const v1::Job job = server_.WaitForEnd(server_.Submit(names["models"]).name());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.ShortDebugString();
  names["jobs"] = job.name();
  names["artifacts"] = job.result().artifact();
  names["uploads"] = server_.CreateUpload({{"rest.txt", "bytes"}}, "", v1::Model::DATA).name();

  As("b");
  int asked = 0;
  for (const auto* method : AllMethods()) {
    for (const auto& request : RequestsFor(*method, names)) {
      const grpc::Status status = CallByName(server_.channel(), PathOf(*method), request->SerializeAsString());
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND)
          << method->full_name() << " " << request->ShortDebugString() << ": " << status.error_message();
      ++asked;
    }
  }
  EXPECT_GE(asked, 16);
  grpc::ClientContext models_call, jobs_call, artifacts_call;
  v1::ListModelsResponse models;
  v1::ListJobsResponse jobs;
  v1::ListArtifactsResponse artifacts;
  EXPECT_TRUE(server_.models().ListModels(&models_call, {}, &models).ok());
  EXPECT_TRUE(server_.jobs().ListJobs(&jobs_call, {}, &jobs).ok());
  EXPECT_TRUE(server_.artifacts().ListArtifacts(&artifacts_call, {}, &artifacts).ok());
  EXPECT_EQ(models.models_size() + jobs.jobs_size() + artifacts.artifacts_size(), 0);
  EXPECT_EQ(server_.Push({server_.FakePlan(2)}, "m").name(), names["models"]) << "an id is taken by its tenant alone";

  As("a");  // and none of that did anything to it
  std::string content;
  EXPECT_TRUE(server_.Read(names["models"], "fake.json", 0, 0, &content).ok());
  EXPECT_EQ(content, server_.FakePlan(1).content);
  EXPECT_TRUE(server_.Read(names["artifacts"], "model.gguf", 0, 0, &content).ok());
  EXPECT_EQ(server_.Get(names["jobs"]).state(), v1::Job::SUCCEEDED);
  EXPECT_TRUE(server_.Write(names["uploads"], "rest.txt", "bytes", 0, true).ok());
}

TEST_F(TenantsTest, ADigestThatAnotherKnowsOpensNothing) {
  Serve();
  const TestFile file = {"data.txt", "a secret of team-a"};
  const std::string data = server_.PushData(file, "text").name();
  EXPECT_TRUE(server_.CreateUpload({file}, "", v1::Model::DATA).files(0).complete()) << "one's own is not sent again";

  As("b");
  const v1::Upload upload = server_.CreateUpload({file}, "", v1::Model::DATA);
  EXPECT_FALSE(upload.files(0).complete());
  EXPECT_EQ(upload.files(0).committed_size(), 0);
  v1::CompleteUploadRequest complete;
  complete.set_name(upload.name());
  EXPECT_EQ(ReasonOf(Call("UploadService/CompleteUpload", complete)), "UPLOAD_INCOMPLETE");
  const std::string model = server_.Push({server_.FakePlan(1)}).name();
  v1::CompressionSpec spec = Spec();
  spec.mutable_calibration()->set_text(data);
  const grpc::Status submitted = TrySubmit(model, spec);
  EXPECT_EQ(ReasonOf(submitted), "MODEL_NOT_FOUND") << submitted.error_message();

  // Both have it by now: who deletes it deletes a name.
  ASSERT_TRUE(server_.Write(upload.name(), file.path, file.content, 0, true).ok());
  ASSERT_TRUE(Call("UploadService/CompleteUpload", complete).ok());
  As("a");
  v1::DeleteModelRequest remove;
  remove.set_name(data);
  ASSERT_TRUE(Call("ModelService/DeleteModel", remove).ok());
  As("b");
  EXPECT_TRUE(server_.CreateUpload({file}, "", v1::Model::DATA).files(0).complete());
}

TEST_F(TenantsTest, ATenantStoresNoMoreThanItsQuota) {
  Serve(R"({"tenants": {"team-a": {"max_stored_bytes": 5000}}})");
  const std::string model = server_.Push({server_.FakePlan(1)}).name();
  ExpectQuotaExceeded(TryUpload(5000));
  ASSERT_TRUE(TryUpload(4000).ok());
  ExpectQuotaExceeded(TryUpload(4000));  // what an upload is to bring counts from its beginning
  As("b");
  EXPECT_TRUE(TryUpload(1'000'000).ok());

  Write("tenants", R"({"tenants": {"team-a": {"max_stored_bytes": 10}}})");
  As("a");
  ASSERT_TRUE(WaitFor([&] { return ReasonOf(TryUpload(1)) == "QUOTA_EXCEEDED"; }, std::chrono::seconds(3)));
  ExpectQuotaExceeded(TrySubmit(model));
  Write("tenants", "{}");
  EXPECT_TRUE(WaitFor([&] { return TryUpload(5000).ok(); }, std::chrono::seconds(3)));
  EXPECT_TRUE(TrySubmit(model).ok());
}

TEST_F(TenantsTest, ATenantQueuesAndRunsNoMoreJobsThanItsQuota) {
  Serve(R"({"tenants": {"team-a": {"max_queued_jobs": 1, "max_running_jobs": 1}}})", {"--workers=2"});
  const nlohmann::json wait = {{"prepare:0", {{{"do", "wait"}, {"for", Path("go")}}}}};
  const std::string model = server_.Push({server_.FakePlan(1, wait)}).name();
  const v1::Job first = server_.Submit(model);
  ASSERT_TRUE(WaitFor([&] { return server_.Get(first.name()).state() == v1::Job::RUNNING; }));
  const v1::Job second = server_.Submit(model);
  ExpectQuotaExceeded(TrySubmit(model));

  As("b");  // the other worker is free, for others
  const v1::Job other = server_.Submit(server_.Push({server_.FakePlan(1)}).name());
  EXPECT_EQ(server_.WaitForEnd(other.name()).state(), v1::Job::SUCCEEDED);
  As("a");
  EXPECT_EQ(server_.Get(first.name()).state(), v1::Job::RUNNING);
  EXPECT_EQ(server_.Get(second.name()).state(), v1::Job::QUEUED);
  Write("go", "");
  EXPECT_EQ(server_.WaitForEnd(first.name()).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(server_.WaitForEnd(second.name()).state(), v1::Job::SUCCEEDED);
}

}  // namespace
}  // namespace nashswarm::testing
