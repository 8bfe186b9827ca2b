#include "client/cli/upload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The parameter: from what size on files are hashed while they are sent.
class UploadTest : public testing::TestWithParam<int64_t> {
 protected:
  UploadTest() {
    directory_.Write("config.json", "{}");
    directory_.Write("model.safetensors", weights_);
  }
  PushRequest Request() const { return {.directory = directory_.path(), .hash_later_from = GetParam()}; }
  absl::StatusOr<PushResult> PushIt() { return Push(client_.session, Request()); }

  const std::string weights_ = SomeBytes(10'500);
  FakeServer server_;
  ClientUnderTest client_{server_.address};
  TemporaryDirectory directory_;
};

TEST_P(UploadTest, SendsEveryFileInChunksTheServerAllows) {
  const auto result = PushIt();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->model.name(), "models/m");
  EXPECT_EQ(result->bytes_sent, 10'502);
  EXPECT_EQ(server_.state.bytes["model.safetensors"], weights_);
  EXPECT_EQ(server_.state.bytes["config.json"], "{}");
}

TEST_P(UploadTest, ResumesFromTheLastDurableByteAfterLostConnections) {
  server_.state.drop_write_after = {1 << 20, 3000, 2000};  // config.json gets through
  const auto result = PushIt();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.state.bytes["model.safetensors"], weights_);
  EXPECT_THAT(server_.state.write_offsets, ElementsAre(0, 0, 3000, 5000));
  EXPECT_EQ(server_.state.bytes_received, 10'502) << "a byte was sent twice";
}

TEST_P(UploadTest, ASecondRunAfterACrashGoesOnInTheSameUpload) {
  server_.state.drop_write_after = {1 << 20, 4000};
  {
    // The first run has no patience.
    ClientUnderTest first(server_.address);
    first.session.transfer.give_up_after = std::chrono::milliseconds(0);
    EXPECT_EQ(ExitCodeOf(Push(first.session, Request()).status()), kExitUnreachable);
  }
  const auto result = PushIt();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.state.uploads.size(), 1u);
  EXPECT_THAT(server_.state.write_offsets, ElementsAre(0, 0, 4000));
  EXPECT_EQ(server_.state.bytes_received, 10'502);
}

TEST_P(UploadTest, ASecondRunAfterSuccessSendsNothing) {
  ASSERT_TRUE(PushIt().ok());
  const auto again = PushIt();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->bytes_sent, 0);
  EXPECT_EQ(again->bytes_known, 10'502);
  EXPECT_EQ(again->model.name(), "models/m");
  EXPECT_EQ(server_.state.bytes_received, 10'502);
}

TEST_P(UploadTest, ADeletedModelIsPublishedAgain) {
  ASSERT_TRUE(PushIt().ok());
  server_.state.models.clear();
  const auto again = PushIt();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(server_.state.models.size(), 1u);
  if (GetParam() > 10'500) { EXPECT_EQ(again->bytes_sent, 0) << "the server had the bytes"; }
}

// What the server cannot have, since none of its files has that size, was read twice: to ask for it, and to send it.
TEST_P(UploadTest, AFileIsHashedBeforeItIsSentOnlyWhenTheServerMayHaveIt) {
  ASSERT_TRUE(PushIt().ok());
  const auto asked_with_digest = [this](const std::string& upload, int file) {
    return !server_.state.created_uploads[upload].files(file).digest().sha256().empty();
  };
  const bool later = GetParam() <= 10'500;
  EXPECT_EQ(asked_with_digest("uploads/u1", 1), !later);
  ASSERT_TRUE(PushIt().ok());
  if (later) { EXPECT_TRUE(asked_with_digest("uploads/u2", 1)) << "it has one of that size by now"; }
  // The same size and another last byte: it cannot be the one that the server has.
  std::string other = weights_;
  other.back() ^= 1;
  directory_.Write("model.safetensors", other);
  ASSERT_TRUE(PushIt().ok());
  EXPECT_EQ(asked_with_digest("uploads/u" + std::to_string(server_.state.uploads.size()), 1), !later);
  EXPECT_EQ(server_.state.bytes["model.safetensors"], other);
}

TEST_P(UploadTest, WhatTheServerLosesBeforeTheEndIsSentAgain) {
  server_.state.lost_files = {"model.safetensors"};
  const auto result = PushIt();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.state.bytes["model.safetensors"], weights_);
  EXPECT_EQ(result->bytes_sent, 10'502 + 10'500);
}

// The rest of a file must not be hashed on top of other bytes than the server has.
TEST_P(UploadTest, AFileThatChangesBetweenTwoRunsIsSentAnew) {
  server_.state.drop_write_after = {1 << 20, 4000};
  {
    ClientUnderTest first(server_.address);
    first.session.transfer.give_up_after = std::chrono::milliseconds(0);
    EXPECT_EQ(ExitCodeOf(Push(first.session, Request()).status()), kExitUnreachable);
  }
  std::string changed = weights_;
  changed[0] ^= 1;
  directory_.Write("model.safetensors", changed);
  ASSERT_TRUE(PushIt().ok());
  EXPECT_EQ(server_.state.bytes["model.safetensors"], changed);
}

TEST_P(UploadTest, LooksAgainWhereTheFileStandsWhenItsOffsetIsRefused) {
  server_.state.write_errors = {FakeError(grpc::StatusCode::ABORTED, "OFFSET_MISMATCH", "wrong offset"),
                                FakeError(grpc::StatusCode::ABORTED, "WRITER_FENCED", "another writer")};
  const auto result = PushIt();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.state.bytes["model.safetensors"], weights_);
}

TEST_P(UploadTest, WaitsForAPlaceOnABusyServer) {
  const auto busy = FakeError(grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", "busy", "try again");
  server_.state.write_errors = {busy, busy};
  EXPECT_TRUE(PushIt().ok());
  server_.state.requests.clear();
  server_.state.bytes.clear();
  server_.state.write_errors.assign(1000, busy);
  EXPECT_EQ(ExitCodeOf(PushIt().status()), kExitQuota);
}

// The network stood still, and the server gave the stream's place to somebody else.
TEST_P(UploadTest, GoesOnAfterTheServerFoundItTooSlow) {
  server_.state.write_errors = {{grpc::StatusCode::DEADLINE_EXCEEDED, "UPLOAD_TOO_SLOW: the upload sent too little"}};
  EXPECT_TRUE(PushIt().ok());
}

TEST_P(UploadTest, DamageOnTheWayIsRepairedDamageForEverIsReported) {
  server_.state.corrupt_uploads = 1;
  ASSERT_TRUE(PushIt().ok());

  server_.state.requests.clear();
  server_.state.bytes.clear();
  server_.state.corrupt_uploads = 100;
  const absl::Status status = PushIt().status();
  EXPECT_EQ(ExitCodeOf(status), kExitCorrupt);
  EXPECT_EQ(ReasonOf(status), "DIGEST_MISMATCH");
}

TEST_P(UploadTest, AnErrorWithAReasonIsNotRepeated) {
  server_.state.next_error =
      FakeError(grpc::StatusCode::RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE", "too large", "split it");
  const absl::Status status = PushIt().status();
  EXPECT_EQ(ExitCodeOf(status), kExitQuota);
  EXPECT_EQ(HintOf(status), "split it");
}

TEST_P(UploadTest, CtrlCEndsItAtOnce) {
  client_.interrupt.Trip();
  EXPECT_EQ(ExitCodeOf(PushIt().status()), kExitInterrupted);
}

TEST_P(UploadTest, GivesUpWithTheAddressWhenNobodyAnswers) {
  ClientUnderTest nobody("127.0.0.1:1");
  const absl::Status status = Push(nobody.session, Request()).status();
  EXPECT_EQ(ExitCodeOf(status), kExitUnreachable);
  EXPECT_EQ(ReasonOf(status), "SERVER_UNREACHABLE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
}

// The label with its name is a string of proto3: every server refused to read the request.
TEST_P(UploadTest, ADirectoryWhoseNameIsNotUtf8IsPushedWithoutIt) {
  const auto labels_of = [this](const std::string& name) {
    directory_.Write(name + "/config.json", "{}");
    directory_.Write(name + "/model.safetensors", weights_);
    const absl::Status status = Push(client_.session, {.directory = directory_ / name, .hash_later_from = GetParam()}).status();
    EXPECT_TRUE(status.ok()) << status;
    return server_.state.created_uploads["uploads/u" + std::to_string(server_.state.uploads.size())].labels();
  };
  EXPECT_EQ(labels_of("caf\xc3\xa9").at("name"), "caf\xc3\xa9");
  EXPECT_TRUE(labels_of("caf\xe9").empty());
}

INSTANTIATE_TEST_SUITE_P(HashedBefore, UploadTest, testing::Values(int64_t{1} << 30));
INSTANTIATE_TEST_SUITE_P(HashedWhileSent, UploadTest, testing::Values(1));

TEST(RequestId, FollowsContentAndOwner) {
  std::vector<v1::FileEntry> files(1);
  files[0].set_path("a");
  files[0].mutable_digest()->set_sha256("1");
  const std::string id = RequestIdOf({}, files, "me");
  EXPECT_THAT(id, testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(RequestIdOf({}, files, "me"), id);
  EXPECT_NE(RequestIdOf({}, files, "you"), id);
  EXPECT_NE(RequestIdOf({.model_id = "x"}, files, "me"), id);
  EXPECT_NE(RequestIdOf({.data_file = "x"}, files, "me"), id) << "the same file as data is another model";
  EXPECT_NE(RequestIdOf({.labels = {{"k", "v"}}}, files, "me"), id);
  files[0].mutable_digest()->set_sha256("2");
  EXPECT_NE(RequestIdOf({}, files, "me"), id);
}

}  // namespace
}  // namespace nashswarm::cli
