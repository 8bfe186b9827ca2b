// Uploads over the wire: resume, fencing, corruption, de-duplication, and what is left when they end.
#include <filesystem>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {
namespace {

namespace fs = std::filesystem;

std::string Content(size_t size, char seed) {
  std::string content(size, '\0');
  uint32_t state = static_cast<unsigned char>(seed);
  for (char& c : content) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return content;
}

v1::Upload GetUpload(ServerHarness& server, const std::string& name) {
  grpc::ClientContext context;
  v1::GetUploadRequest request;
  request.set_name(name);
  v1::Upload upload;
  EXPECT_TRUE(server.uploads().GetUpload(&context, request, &upload).ok());
  return upload;
}

grpc::Status Complete(ServerHarness& server, const std::string& name, v1::Model* model) {
  grpc::ClientContext context;
  v1::CompleteUploadRequest request;
  request.set_name(name);
  return server.uploads().CompleteUpload(&context, request, model);
}

int64_t StagedBytes(const std::string& staging) {
  int64_t bytes = 0;
  std::error_code gone;
  for (const auto& entry : fs::recursive_directory_iterator(staging, gone)) {
    if (entry.is_regular_file(gone)) bytes += static_cast<int64_t>(entry.file_size(gone));
  }
  return bytes;
}

// A WriteFile stream driven message by message.
class Stream {
 public:
  Stream(ServerHarness& server, const std::string& upload, const std::string& path, int64_t offset)
      : writer_(server.uploads().WriteFile(&context_, &response_)) {
    v1::WriteFileRequest message;
    message.mutable_header()->set_upload(upload);
    message.mutable_header()->set_path(path);
    message.mutable_header()->set_write_offset(offset);
    writer_->Write(message);
  }
  bool Chunk(const std::string& data, bool corrupt = false) {
    v1::WriteFileRequest message;
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(TestCrc32c(data) + (corrupt ? 1 : 0));
    return writer_->Write(message);
  }
  grpc::Status Finish(const std::string& sha256, int64_t size = 0) {
    v1::WriteFileRequest message;
    message.mutable_finish()->set_size_bytes(size);
    message.mutable_finish()->set_sha256(sha256);
    writer_->Write(message);
    return End();
  }
  grpc::Status End() {
    writer_->WritesDone();
    return writer_->Finish();
  }
  void Vanish() {
    context_.TryCancel();
    writer_->Finish();
  }
  const v1::WriteFileResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  v1::WriteFileResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::WriteFileRequest>> writer_;
};

TEST(UploadTest, ResumesAfterTheClientVanishesAndTheServerIsKilled) {
  ServerHarness server;
  server.Start({"--upload-part=65536"});
  const std::string content = Content(1 << 20, 'r');
  const v1::Upload upload = server.CreateUpload({server.FakePlan(1), {"w.bin", content}});
  const std::string staged = server.data() + "/blobs/staging";
  {
    Stream stream(server, upload.name(), "w.bin", 0);
    ASSERT_TRUE(stream.Chunk(content.substr(0, 100000)));
    ASSERT_TRUE(WaitFor([&] { return GetUpload(server, upload.name()).files(1).committed_size() == 100000; }));
    ASSERT_TRUE(stream.Chunk(content.substr(100000, 20000)));  // less than a part: durable at the end of the stream
    ASSERT_TRUE(WaitFor([&] { return fs::exists(staged) && StagedBytes(staged) == 120000; }));
    stream.Vanish();
  }
  ASSERT_TRUE(WaitFor([&] { return GetUpload(server, upload.name()).files(1).committed_size() == 120000; }))
      << "what was received before the client vanished is durable";
  server.Kill();
  server.Start({"--upload-part=65536"});
  ASSERT_EQ(GetUpload(server, upload.name()).files(1).committed_size(), 120000);

  const grpc::Status wrong = Stream(server, upload.name(), "w.bin", 5).End();
  EXPECT_EQ(wrong.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(InfoOf(wrong).reason(), "OFFSET_MISMATCH");
  EXPECT_EQ(InfoOf(wrong).metadata().at("committed_size"), "120000");

  Stream half(server, upload.name(), "w.bin", 120000);
  ASSERT_TRUE(half.Chunk(content.substr(120000, 380000)));
  ASSERT_TRUE(half.End().ok());
  EXPECT_EQ(half.response().committed_size(), 500000);
  EXPECT_FALSE(half.response().complete());

  v1::WriteFileResponse response;
  ASSERT_TRUE(server.Write(upload.name(), "w.bin", content, 500000, true, &response).ok());
  EXPECT_TRUE(response.complete());
  ASSERT_TRUE(server.Write(upload.name(), "fake.json", server.FakePlan(1).content, 0, true).ok());
  v1::Model model;
  ASSERT_TRUE(Complete(server, upload.name(), &model).ok());
  std::string stored;
  ASSERT_TRUE(server.Read(model.name(), "w.bin", 0, 0, &stored).ok());
  EXPECT_TRUE(stored == content) << "three pieces, one file";
  v1::Model again;
  ASSERT_TRUE(Complete(server, upload.name(), &again).ok()) << "idempotent";
  EXPECT_EQ(again.name(), model.name());
}

TEST(UploadTest, SecondWriterFencesTheFirst) {
  ServerHarness server;
  server.Start({"--log-level=debug"});
  const std::string content = Content(400000, 'f');
  const v1::Upload upload = server.CreateUpload({{"w.bin", content}});
  Stream first(server, upload.name(), "w.bin", 0);
  ASSERT_TRUE(first.Chunk(Content(100000, 'x')));  // other bytes: they must not survive
  // The server logs a stream's start at debug level: the first writer has the file before the second comes.
  ASSERT_TRUE(WaitFor([&] { return server.log().find("receiving") != std::string::npos; }));
  v1::WriteFileResponse response;
  ASSERT_TRUE(server.Write(upload.name(), "w.bin", content, 0, true, &response).ok());
  const grpc::Status fenced = first.End();
  EXPECT_EQ(fenced.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(InfoOf(fenced).reason(), "WRITER_FENCED");
  EXPECT_EQ(GetUpload(server, upload.name()).files(0).entry().digest().sha256(), RawSha256(content));
}

TEST(UploadTest, CorruptChunkIsRefusedAndWhatCameBeforeIsKept) {
  ServerHarness server;
  server.Start();
  const std::string content = Content(100000, 'c');
  const v1::Upload upload = server.CreateUpload({{"w.bin", content}});
  Stream stream(server, upload.name(), "w.bin", 0);
  stream.Chunk(content.substr(0, 40000));
  stream.Chunk(content.substr(40000), /*corrupt=*/true);
  const grpc::Status status = stream.End();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(InfoOf(status).reason(), "CHUNK_CORRUPT");
  EXPECT_EQ(GetUpload(server, upload.name()).files(0).committed_size(), 40000);
  EXPECT_TRUE(server.Write(upload.name(), "w.bin", content, 40000, true).ok());
}

TEST(UploadTest, WrongDigestStartsTheFileOver) {
  ServerHarness server;
  server.Start();
  const std::string content = Content(100000, 'd');
  const v1::Upload upload = server.CreateUpload({{"w.bin", content}});
  Stream stream(server, upload.name(), "w.bin", 0);
  stream.Chunk(Content(100000, 'e'));
  const grpc::Status status = stream.Finish(RawSha256(content));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(InfoOf(status).reason(), "DIGEST_MISMATCH");
  EXPECT_EQ(GetUpload(server, upload.name()).files(0).committed_size(), 0);
  EXPECT_TRUE(server.Write(upload.name(), "w.bin", content, 0, true).ok());
}

TEST(UploadTest, AFinishThatLiesAboutTheSizeIsRefusedAndCostsNothing) {
  ServerHarness server;
  server.Start();
  const std::string content = Content(1000, 'l');
  const v1::Upload upload = server.CreateUpload({{"w.bin", content}});
  Stream lie(server, upload.name(), "w.bin", 0);
  lie.Chunk(content);
  const grpc::Status refused = lie.Finish(RawSha256(content), 999);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(refused).reason(), "BAD_SIZE");
  EXPECT_EQ(GetUpload(server, upload.name()).files(0).committed_size(), 1000);
  EXPECT_TRUE(Stream(server, upload.name(), "w.bin", 1000).Finish(RawSha256(content), 1000).ok());
}

TEST(UploadTest, FinishTooEarlyAndTooManyBytes) {
  ServerHarness server;
  server.Start();
  const std::string content = Content(1000, 'g');
  const v1::Upload upload = server.CreateUpload({{"w.bin", content}});
  Stream early(server, upload.name(), "w.bin", 0);
  early.Chunk(content.substr(0, 500));
  EXPECT_EQ(InfoOf(early.Finish(RawSha256(content))).reason(), "FILE_INCOMPLETE");
  Stream more(server, upload.name(), "w.bin", 500);
  more.Chunk(std::string(501, 'x'));
  EXPECT_EQ(InfoOf(more.End()).reason(), "FILE_TOO_LONG");
  v1::Model model;
  const grpc::Status status = Complete(server, upload.name(), &model);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(InfoOf(status).reason(), "UPLOAD_INCOMPLETE");
}

TEST(UploadTest, SameContentIsSentOnceAndIsTheSameModel) {
  ServerHarness server;
  server.Start();
  const std::vector<TestFile> files = {server.FakePlan(1), {"w.bin", Content(100000, 's')}};
  const v1::Model first = server.Push(files);
  const v1::Upload upload = server.CreateUpload(files);
  for (const auto& file : upload.files()) EXPECT_TRUE(file.complete() && file.deduplicated());
  v1::Model second;
  ASSERT_TRUE(Complete(server, upload.name(), &second).ok());
  EXPECT_EQ(second.name(), first.name());
  const v1::Model named = server.Push({files[1], files[0]}, "other-name");
  EXPECT_EQ(named.name(), "models/other-name");
  EXPECT_EQ(named.manifest_digest().sha256(), first.manifest_digest().sha256()) << "the order does not matter";

  const v1::Upload clash = server.CreateUpload({server.FakePlan(2)}, "other-name");
  ASSERT_TRUE(server.Write(clash.name(), "fake.json", server.FakePlan(2).content, 0, true).ok());
  const grpc::Status status = Complete(server, clash.name(), &second);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(InfoOf(status).reason(), "MODEL_EXISTS");
}

TEST(UploadTest, EmptyFileNeedsNoChunk) {
  ServerHarness server;
  server.Start();
  const v1::Model model = server.Push({server.FakePlan(1), {"empty", ""}});
  std::string content = "x";
  ASSERT_TRUE(server.Read(model.name(), "empty", 0, 0, &content).ok());
  EXPECT_EQ(content, "");
}

TEST(UploadTest, EngineRefusesTheModelAndNothingIsPublished) {
  ServerHarness server;
  server.Start();
  const nlohmann::json error = {{"do", "error"}, {"code", 3}, {"reason", "BAD_HEADER"}, {"message", "w.bin: header"},
                                {"hint", "download it again"}};
  const TestFile plan = server.FakePlan(1, {{"validate:0", {error}}});
  const v1::Upload upload = server.CreateUpload({plan});
  ASSERT_TRUE(server.Write(upload.name(), plan.path, plan.content, 0, true).ok());
  v1::Model model;
  const grpc::Status status = Complete(server, upload.name(), &model);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(status).reason(), "BAD_HEADER");
  EXPECT_EQ(InfoOf(status).metadata().at("hint"), "download it again");
  grpc::ClientContext context;
  v1::ListModelsResponse models;
  ASSERT_TRUE(server.models().ListModels(&context, {}, &models).ok());
  EXPECT_EQ(models.models_size(), 0);
}

TEST(UploadTest, FilesThatCrashTheEngineAreNotWorthAnotherTry) {
  ServerHarness server;
  server.Start();
  const TestFile plan = server.FakePlan(1, {{"validate:0", {{{"do", "crash"}}}}});
  const v1::Upload upload = server.CreateUpload({plan});
  ASSERT_TRUE(server.Write(upload.name(), plan.path, plan.content, 0, true).ok());
  v1::Model model;
  const grpc::Status status = Complete(server, upload.name(), &model);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(InfoOf(status).reason(), "ENGINE_CRASHED");
  EXPECT_EQ(server.Runs()["validate:0"], 1);
}

TEST(UploadTest, BadRequestsNameWhatIsWrong) {
  ServerHarness server;
  server.Start({"--max-files=3", "--max-file=1MiB"});
  const auto reason_of = [&](const std::function<void(v1::CreateUploadRequest*)>& build) {
    v1::CreateUploadRequest request;
    build(&request);
    grpc::ClientContext context;
    v1::Upload upload;
    const grpc::Status status = server.uploads().CreateUpload(&context, request, &upload);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    return status.ok() ? std::string("OK") : InfoOf(status).reason();
  };
  const auto add = [](v1::CreateUploadRequest* request, const std::string& path, int64_t size) {
    v1::FileEntry* file = request->add_files();
    file->set_path(path);
    file->mutable_digest()->set_size_bytes(size);
    return file;
  };
  EXPECT_EQ(reason_of([&](auto*) {}), "NO_FILES");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "../etc/passwd", 1); }), "BAD_PATH");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "/etc/passwd", 1); }), "BAD_PATH");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a\u202Egpj.exe", 1); }), "BAD_PATH");
  EXPECT_EQ(reason_of([&](auto* r) { r->add_files()->set_path("a"); }), "BAD_SIZE");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", -1); }), "BAD_SIZE");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 2 << 20); }), "FILE_TOO_LARGE");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 1), add(r, "a", 1); }), "DUPLICATE_PATH");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 1), add(r, "a/b", 1); }), "PATH_CONFLICT");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 1)->mutable_digest()->set_sha256("short"); }), "BAD_DIGEST");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 1), r->set_model_id("Bad_Name"); }), "BAD_MODEL_ID");
  EXPECT_EQ(reason_of([&](auto* r) { add(r, "a", 1), r->set_request_id("1"); }), "BAD_REQUEST_ID");
  EXPECT_EQ(reason_of([&](auto* r) {
              for (char c = 'a'; c < 'e'; ++c) add(r, std::string(1, c), 1);
            }),
            "TOO_MANY_FILES");
}

// An upload and its model are messages with all of its files, and gRPC's clients take 4 MiB.
TEST(UploadTest, AListOfFilesThatNoClientCouldReceiveIsRefused) {
  ServerHarness server;
  server.Start({"--max-files=100000"});
  v1::CreateUploadRequest request;
  for (int i = 0; i < 4000; ++i) {
    v1::FileEntry* file = request.add_files();
    file->set_path(std::string(800, 'a' + i % 26) + std::to_string(i));
    file->mutable_digest()->set_size_bytes(1);
  }
  grpc::ClientContext context;
  v1::Upload upload;
  const grpc::Status status = server.uploads().CreateUpload(&context, request, &upload);
  EXPECT_EQ(InfoOf(status).reason(), "TOO_MANY_FILES");
}

TEST(UploadTest, RequestIdMakesCreateIdempotent) {
  ServerHarness server;
  server.Start();
  v1::CreateUploadRequest request;
  request.set_request_id("123e4567-e89b-42d3-a456-426614174000");
  request.add_files()->set_path("a");
  request.mutable_files(0)->mutable_digest()->set_size_bytes(1);
  (*request.mutable_labels())["x"] = "1";
  (*request.mutable_labels())["y"] = "2";
  v1::Upload first, second, third;
  grpc::ClientContext a, b, c;
  ASSERT_TRUE(server.uploads().CreateUpload(&a, request, &first).ok());
  ASSERT_TRUE(server.uploads().CreateUpload(&b, request, &second).ok());
  EXPECT_EQ(first.name(), second.name());
  request.set_request_id("123E4567-E89B-42D3-A456-426614174000");
  grpc::ClientContext capitals;
  ASSERT_TRUE(server.uploads().CreateUpload(&capitals, request, &third).ok());
  EXPECT_EQ(first.name(), third.name()) << "a UUID is the same in capitals";
  request.mutable_files(0)->set_path("b");
  const grpc::Status reused = server.uploads().CreateUpload(&c, request, &third);
  EXPECT_EQ(InfoOf(reused).reason(), "REQUEST_ID_REUSED");
}

TEST(UploadTest, AbortAndExpiryFreeTheBytes) {
  ServerHarness server;
  server.Start({"--gc-interval=50ms", "--gc-grace=100ms", "--upload-ttl=1s"});
  const std::string content = Content(100000, 'a');
  const auto staged = [&] { return fs::is_empty(server.data() + "/blobs/staging"); };
  const v1::Upload aborted = server.CreateUpload({{"w.bin", content}, {"v.bin", content + "v"}});
  Stream stream(server, aborted.name(), "w.bin", 0);
  stream.Chunk(content.substr(0, 50000));
  stream.End();
  EXPECT_FALSE(staged());
  grpc::ClientContext context;
  v1::AbortUploadRequest abort;
  abort.set_name(aborted.name());
  google::protobuf::Empty empty;
  ASSERT_TRUE(server.uploads().AbortUpload(&context, abort, &empty).ok());
  EXPECT_EQ(GetUpload(server, aborted.name()).state(), v1::Upload::ABORTED);
  EXPECT_TRUE(WaitFor(staged));
  EXPECT_EQ(InfoOf(Stream(server, aborted.name(), "w.bin", 50000).End()).reason(), "UPLOAD_NOT_ACTIVE");

  const v1::Upload abandoned = server.CreateUpload({{"w.bin", content}});
  ASSERT_TRUE(server.Write(abandoned.name(), "w.bin", content, 0, true).ok());
  EXPECT_TRUE(WaitFor([&] { return GetUpload(server, abandoned.name()).state() == v1::Upload::EXPIRED; }));
  EXPECT_TRUE(WaitFor([&] {
    for (const auto& entry : fs::recursive_directory_iterator(server.data() + "/blobs/sha256")) {
      if (entry.is_regular_file()) return false;
    }
    return true;
  })) << "nothing names the finished file any more";
}

}  // namespace
}  // namespace nashswarm::testing
