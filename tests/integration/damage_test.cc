// Content that loses bytes on the server's disk: whoever uses it is told, nothing wrong is made of it, and it can be put right.

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

std::string Hex(const std::string& raw) {
  std::string hex;
  for (const char c : raw) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

enum class Damage { kFlipped, kTruncated };

class DamageTest : public ::testing::TestWithParam<Damage> {
 protected:
  fs::path BlobOf(const std::string& sha256) {
    const std::string hex = Hex(sha256);
    return fs::path(server_.data()) / "blobs" / "sha256" / hex.substr(0, 2) / hex;
  }
  // The one blob whose content begins like this.
  fs::path BlobThatBegins(const std::string& beginning) {
    fs::path found;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(server_.data()) / "blobs" / "sha256")) {
      if (!entry.is_regular_file() || !ReadAll(entry.path()).starts_with(beginning)) continue;
      EXPECT_TRUE(found.empty()) << found << " " << entry.path();
      found = entry.path();
    }
    EXPECT_FALSE(found.empty()) << beginning;
    return found;
  }
  void Spoil(const fs::path& path) {
    fs::permissions(path, fs::perms::owner_all);
    if (GetParam() == Damage::kTruncated) return fs::resize_file(path, fs::file_size(path) - 1);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const int last = static_cast<int>(fs::file_size(path)) - 1;
    file.seekg(last);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(last);
    file.put(byte);
  }
  size_t SetAside() {
    size_t files = 0;
    for ([[maybe_unused]] const auto& file : fs::directory_iterator(fs::path(server_.data()) / "blobs" / "damaged")) ++files;
    return files;
  }
  v1::ErrorInfo InfoOfJob(const v1::Job& job) {
    v1::ErrorInfo info;
    EXPECT_EQ(job.error().details_size(), 1);
    if (job.error().details_size() != 1) return info;
    EXPECT_TRUE(info.ParseFromString(job.error().details(0).value()));
    return info;
  }
  v1::Job Retry(const v1::Job& job) {
    grpc::ClientContext context;
    v1::RetryJobRequest request;
    request.set_name(job.name());
    v1::Job again;
    EXPECT_TRUE(server_.jobs().RetryJob(&context, request, &again).ok());
    return server_.WaitForEnd(job.name());
  }

  ServerHarness server_;
};

// The job succeeded, with a wrong artifact.
TEST_P(DamageTest, AJobOnADamagedModelFailsAndPushingAgainPutsItRight) {
  server_.Start();
  const std::vector<TestFile> files = {server_.FakePlan(2), {"sub/weights.bin", std::string(300'000, 'w')}};
  const v1::Model model = server_.Push(files, "tiny");
  Spoil(BlobOf(RawSha256(files[1].content)));
  const v1::Job job = server_.WaitForEnd(server_.Submit(model.name()).name());
  ASSERT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error().code(), static_cast<int>(grpc::StatusCode::DATA_LOSS));
  EXPECT_THAT(job.error().message(), HasSubstr("sub/weights.bin"));
  EXPECT_EQ(InfoOfJob(job).reason(), "BLOB_DAMAGED");
  EXPECT_THAT(InfoOfJob(job).metadata().at("hint"), HasSubstr("push the model again"));
  EXPECT_EQ(server_.Runs().count("prepare:0"), 0u) << "nothing was made of it";
  EXPECT_EQ(SetAside(), 1u);
  EXPECT_THAT(server_.log(), HasSubstr("a stored blob is damaged"));

  EXPECT_EQ(InfoOfJob(Retry(job)).reason(), "BLOB_MISSING") << "until it is pushed again";
  EXPECT_EQ(server_.Push(files, "tiny").name(), model.name());
  EXPECT_EQ(Retry(job).state(), v1::Job::SUCCEEDED);
}

// Pushing the same model again was answered with the damaged copy of it.
TEST_P(DamageTest, DeduplicationDoesNotTrustADamagedBlob) {
  server_.Start();
  const std::vector<TestFile> files = {server_.FakePlan(2), {"weights.bin", std::string(300'000, 'w')}};
  const v1::Model model = server_.Push(files, "tiny");
  EXPECT_TRUE(server_.CreateUpload(files, "tiny").files(1).complete());
  Spoil(BlobOf(RawSha256(files[1].content)));
  const v1::Upload upload = server_.CreateUpload(files, "tiny");
  EXPECT_TRUE(upload.files(0).complete());
  EXPECT_FALSE(upload.files(1).complete());
  EXPECT_EQ(SetAside(), 1u);
  server_.Push(files, "tiny");
  std::string content;
  EXPECT_TRUE(server_.Read(model.name(), "weights.bin", 0, 0, &content).ok());
  EXPECT_TRUE(content == files[1].content);
}

TEST_P(DamageTest, WhatIsDamagedBeforeTheUploadIsCompleteIsAskedForAgain) {
  server_.Start();
  const std::vector<TestFile> files = {server_.FakePlan(1), {"weights.bin", std::string(300'000, 'w')}};
  const v1::Upload upload = server_.CreateUpload(files, "tiny");
  for (const TestFile& file : files) ASSERT_TRUE(server_.Write(upload.name(), file.path, file.content, 0, true).ok());
  Spoil(BlobOf(RawSha256(files[1].content)));
  const auto complete = [&] {
    grpc::ClientContext context;
    v1::CompleteUploadRequest request;
    request.set_name(upload.name());
    v1::Model model;
    return server_.uploads().CompleteUpload(&context, request, &model);
  };
  const grpc::Status refused = complete();
  EXPECT_EQ(InfoOf(refused).reason(), "UPLOAD_INCOMPLETE");
  EXPECT_THAT(refused.error_message(), HasSubstr("weights.bin"));
  ASSERT_TRUE(server_.Write(upload.name(), "weights.bin", files[1].content, 0, true).ok());
  EXPECT_TRUE(complete().ok());
}

TEST_P(DamageTest, ADamagedResultOfAStageIsMadeAgain) {
  server_.Start();
  const std::string pid_file = server_.root() + "/started", go = server_.root() + "/go";
  const json wait = {{"do", "wait"}, {"for", go}, {"started", pid_file}};
  const v1::Model model = server_.Push({server_.FakePlan(2, {{"measure:0", {wait}}})});
  const v1::Job job = server_.Submit(model.name());
  ASSERT_TRUE(WaitFor([&] { return fs::exists(pid_file) && fs::file_size(pid_file) > 0; }));
  Spoil(BlobThatBegins("{\"shards\": 2"));  // prepared.json, which measure:1 reads next
  std::ofstream(go).put('\n');
  const v1::Job ended = server_.WaitForEnd(job.name());
  ASSERT_EQ(ended.state(), v1::Job::SUCCEEDED) << ended.ShortDebugString();
  const auto runs = server_.Runs();
  EXPECT_EQ(runs.at("prepare:0"), 2);
  for (const char* once : {"measure:0", "measure:1", "solve:0", "encode:0", "encode:1", "publish:0"}) {
    EXPECT_EQ(runs.at(once), 1) << once;
  }
}

TEST_P(DamageTest, ADamagedKeptResultIsMadeAgainForTheNextJob) {
  server_.Start();
  const v1::Model model = server_.Push({server_.FakePlan(2)});
  ASSERT_EQ(server_.WaitForEnd(server_.Submit(model.name(), 4).name()).state(), v1::Job::SUCCEEDED);
  Spoil(BlobThatBegins("{\"shards\": 2"));
  for (const double bits : {3.0, 5.0}) {
    ASSERT_EQ(server_.WaitForEnd(server_.Submit(model.name(), bits).name()).state(), v1::Job::SUCCEEDED);
    EXPECT_EQ(server_.Runs().at("prepare:0"), 2) << "once, and then it is kept again";
    EXPECT_EQ(server_.Runs().at("measure:0"), 1);
  }
}

TEST_P(DamageTest, ADamagedArtifactIsNotServedAndTheSameJobPutsItRight) {
  server_.Start();
  const v1::Model model = server_.Push({server_.FakePlan(3)});
  const std::string artifact = server_.WaitForEnd(server_.Submit(model.name()).name()).result().artifact();
  std::string whole, got;
  ASSERT_TRUE(server_.Read(artifact, "model.gguf", 0, 0, &whole).ok());
  for (const auto& [offset, limit] : {std::pair(0, 0), std::pair(100, 50)}) {
    Spoil(BlobOf(RawSha256(whole)));
    const grpc::Status damaged = server_.Read(artifact, "model.gguf", offset, limit, &got);
    EXPECT_EQ(damaged.error_code(), grpc::StatusCode::DATA_LOSS);
    EXPECT_EQ(InfoOf(damaged).reason(), "BLOB_DAMAGED");
    EXPECT_THAT(damaged.error_message(), HasSubstr("model.gguf"));
    EXPECT_THAT(InfoOf(damaged).metadata().at("hint"), HasSubstr("submit the job again"));
    EXPECT_EQ(InfoOf(server_.Read(artifact, "model.gguf", offset, limit, &got)).reason(), "BLOB_MISSING");
    ASSERT_EQ(server_.WaitForEnd(server_.Submit(model.name()).name()).state(), v1::Job::SUCCEEDED);
    EXPECT_TRUE(server_.Read(artifact, "model.gguf", 0, 0, &got).ok());
    EXPECT_TRUE(got == whole);
  }
}

TEST_P(DamageTest, WhatHappensWhileTheServerIsDownIsNoticedToo) {
  server_.Start();
  const std::vector<TestFile> files = {server_.FakePlan(1), {"weights.bin", std::string(1000, 'w')}};
  server_.Push(files, "tiny");
  const fs::path blob = BlobOf(RawSha256(files[1].content));
  server_.Kill();
  const auto time = fs::last_write_time(blob);
  Spoil(blob);
  fs::last_write_time(blob, time);
  server_.Start();
  EXPECT_EQ(InfoOfJob(server_.WaitForEnd(server_.Submit("models/tiny").name())).reason(), "BLOB_DAMAGED");
}

INSTANTIATE_TEST_SUITE_P(Damage, DamageTest, ::testing::Values(Damage::kFlipped, Damage::kTruncated),
                         [](const auto& info) { return info.param == Damage::kFlipped ? "Flipped" : "Truncated"; });

}  // namespace
}  // namespace nashswarm::testing
