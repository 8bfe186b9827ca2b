#include "client/cli/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/files.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DownloadTest : public testing::Test {
 protected:
  DownloadTest() {
    server_.AddArtifact("a", {{"model.gguf", weights_}, {"manifest.json", "{}"}});
    artifact_ = server_.state.artifacts["artifacts/a"];
  }
  absl::StatusOr<std::vector<std::string>> PullIt(const std::string& out, bool force = false) {
    return Pull(client_.session, artifact_, out, force);
  }
  std::string PartName() const { return "model.gguf." + ToHex(Sha256Of(weights_)).substr(0, 12) + ".part"; }

  const std::string weights_ = SomeBytes(5'000);
  FakeServer server_;
  ClientUnderTest client_{server_.address};
  TemporaryDirectory directory_;
  v1::Artifact artifact_;
};

TEST_F(DownloadTest, WritesEveryFileAndNothingElse) {
  const auto paths = PullIt(directory_ / "out");
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_THAT(*paths, ElementsAre(directory_ / "out/manifest.json", directory_ / "out/model.gguf"));
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
  EXPECT_THAT(directory_.List(), ElementsAre("out/manifest.json", "out/model.gguf"));
}

TEST_F(DownloadTest, ASingleFileGetsItsManifestBesideIt) {
  const auto paths = PullIt(directory_ / "tiny.gguf");
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_EQ(directory_.Read("tiny.gguf"), weights_);
  EXPECT_THAT(directory_.List(), ElementsAre("tiny.gguf", "tiny.manifest.json"));
}

TEST_F(DownloadTest, ASingleFileGetsItsReportBesideIt) {
  server_.AddArtifact("b", {{"model.gguf", weights_}, {"manifest.json", "{}"}, {"report.html", "h"}, {"report.json", "j"}});
  const auto paths = Pull(client_.session, server_.state.artifacts["artifacts/b"], directory_ / "tiny.gguf", false);
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_THAT(directory_.List(), ElementsAre("tiny.gguf", "tiny.manifest.json", "tiny.report.html", "tiny.report.json"));
  EXPECT_EQ(directory_.Read("tiny.report.html"), "h");
}

TEST_F(DownloadTest, AReportInTheWayIsSeenBeforeAnyWork) {
  directory_.Write("tiny.report.html", "mine");
  directory_.Write("out/report.json", "mine");
  for (const char* out : {"tiny.gguf", "out"}) {
    EXPECT_EQ(ReasonOf(CheckOutput(directory_ / out, "gguf", false)), "FILE_EXISTS") << out;
    EXPECT_TRUE(CheckOutput(directory_ / out, "gguf", true).ok()) << out;
  }
}

TEST_F(DownloadTest, GoesOnAfterLostConnections) {
  server_.state.drop_read_after = {1 << 20, 700, 1400};  // manifest.json gets through
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
  EXPECT_THAT(server_.state.read_offsets, ElementsAre(0, 0, 700, 2100));
}

TEST_F(DownloadTest, ASecondRunGoesOnFromThePartialFile) {
  server_.state.drop_read_after = {1 << 20, 1400};
  {
    ClientUnderTest first(server_.address);
    first.session.transfer.give_up_after = std::chrono::milliseconds(0);
    EXPECT_EQ(ExitCodeOf(Pull(first.session, artifact_, directory_ / "out", false).status()), kExitUnreachable);
  }
  EXPECT_EQ(directory_.Read("out/" + PartName()).size(), 1400u);
  EXPECT_FALSE(FileExists(directory_ / "out/model.gguf"));
  const auto paths = PullIt(directory_ / "out");  // the manifest is there already, with the same content
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
  EXPECT_THAT(server_.state.read_offsets, ElementsAre(0, 0, 1400));
  EXPECT_THAT(directory_.List(), ElementsAre("out/manifest.json", "out/model.gguf"));
}

TEST_F(DownloadTest, ADamagedPartialFileIsThrownAway) {
  directory_.Write("out/" + PartName(), std::string(2000, 'x'));
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
}

TEST_F(DownloadTest, APartialFileThatIsTooLongIsThrownAway) {
  directory_.Write("out/" + PartName(), std::string(9000, 'x'));
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
}

TEST_F(DownloadTest, AWholePartialFileIsOnlyVerified) {
  directory_.Write("out/" + PartName(), weights_);
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_THAT(server_.state.read_offsets, ElementsAre(0));  // manifest.json alone
}

TEST_F(DownloadTest, ADamagedChunkIsFetchedAgain) {
  server_.state.corrupt_chunks = 1;
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
}

TEST_F(DownloadTest, WrongContentIsExit7AndLeavesNothing) {
  server_.state.wrong_content = true;
  const absl::Status status = PullIt(directory_ / "out").status();
  EXPECT_EQ(ExitCodeOf(status), kExitCorrupt);
  EXPECT_EQ(ReasonOf(status), "DIGEST_MISMATCH");
  EXPECT_THAT(directory_.List(), ElementsAre());
}

// Asking again, three times with growing pauses, cannot bring it back.
TEST_F(DownloadTest, WhatTheServerHasLostIsSaidAtOnceWithWhatToDo) {
  for (const char* reason : {"BLOB_DAMAGED", "BLOB_MISSING"}) {
    server_.state.read_offsets.clear();
    server_.state.read_errors = {FakeError(grpc::StatusCode::DATA_LOSS, reason, "'manifest.json' is gone", "submit again")};
    const absl::Status status = PullIt(directory_ / "out").status();
    EXPECT_EQ(ExitCodeOf(status), kExitCorrupt);
    EXPECT_EQ(HintOf(status), "submit again");
    EXPECT_EQ(server_.state.read_offsets.size(), 1u);
    EXPECT_THAT(directory_.List(), testing::IsEmpty());
  }
  EXPECT_TRUE(PullIt(directory_ / "out").ok());
}

TEST_F(DownloadTest, RefusesToOverwriteUnlessForced) {
  directory_.Write("out/model.gguf", "mine");
  const absl::Status status = PullIt(directory_ / "out").status();
  EXPECT_EQ(ReasonOf(status), "FILE_EXISTS");
  EXPECT_THAT(HintOf(status), HasSubstr("--force"));
  EXPECT_EQ(directory_.Read("out/model.gguf"), "mine");
  ASSERT_TRUE(PullIt(directory_ / "out", /*force=*/true).ok());
  EXPECT_EQ(directory_.Read("out/model.gguf"), weights_);
}

TEST_F(DownloadTest, APathThatLeavesTheDirectoryIsRefused) {
  artifact_.mutable_files(0)->set_path("../evil");
  const absl::Status status = PullIt(directory_ / "out").status();
  EXPECT_EQ(ReasonOf(status), "UNSAFE_PATH");
  EXPECT_EQ(ExitCodeOf(status), kExitCorrupt);
}

TEST_F(DownloadTest, AnEmptyFileIsAFile) {
  server_.AddArtifact("b", {{"empty", ""}});
  artifact_ = server_.state.artifacts["artifacts/b"];
  ASSERT_TRUE(PullIt(directory_ / "out").ok());
  EXPECT_THAT(directory_.List(), ElementsAre("out/empty"));
}

// As an nsq artifact is: a directory, with files in directories of their own.
class NestedDownloadTest : public DownloadTest {
 protected:
  NestedDownloadTest() {
    server_.AddArtifact("n",
                        {{"config.json", "{}"},
                         {"model.nsq", weights_},
                         {"original/deep/params.json", "p"},
                         {"original/tokenizer.model", SomeBytes(2000, 2)}},
                        kNsq);
    artifact_ = server_.state.artifacts["artifacts/n"];
  }
  // Breaks off in the last file, when the `others` are written.
  std::vector<std::string> PullBroken(const std::string& out, size_t others = 3) {
    server_.state.drop_read_after.assign(others, 1 << 20);
    server_.state.drop_read_after.push_back(700);
    ClientUnderTest client(server_.address);
    client.session.transfer.give_up_after = std::chrono::milliseconds(0);
    std::vector<std::string> written;
    EXPECT_FALSE(Pull(client.session, artifact_, out, false, &written).ok());
    return written;
  }
};

TEST_F(NestedDownloadTest, KeepsTheDirectories) {
  const auto paths = PullIt(directory_ / "out");
  ASSERT_TRUE(paths.ok()) << paths.status();
  EXPECT_THAT(directory_.List(), ElementsAre("out/config.json", "out/model.nsq", "out/original/deep/params.json",
                                             "out/original/tokenizer.model"));
  EXPECT_EQ(directory_.Read("out/model.nsq"), weights_);
  EXPECT_EQ(directory_.Read("out/original/deep/params.json"), "p");
  EXPECT_TRUE(PullIt(directory_ / "out").ok()) << "all there already";
}

TEST_F(NestedDownloadTest, DoesNotFitIntoOneFile) {
  const absl::Status status = PullIt(directory_ / "tiny.gguf").status();
  EXPECT_EQ(ExitCodeOf(status), kExitUsage);
  EXPECT_EQ(HintOf(status), "give a directory: -o " + (directory_ / "tiny"));
  EXPECT_THAT(directory_.List(), ElementsAre());
  EXPECT_EQ(ExitCodeOf(CheckOutput(directory_ / "tiny.gguf", kNsq, true)), kExitUsage);
  EXPECT_TRUE(CheckOutput(directory_ / "tiny", kNsq, false).ok());
}

TEST_F(NestedDownloadTest, ABrokenPullCanBeUndone) {
  const std::vector<std::string> written = PullBroken(directory_ / "out");
  EXPECT_THAT(written, ElementsAre(directory_ / "out/config.json", directory_ / "out/model.nsq",
                                   directory_ / "out/original/deep/params.json"));
  RemoveBrokenPull(artifact_, directory_ / "out", written);
  EXPECT_THAT(directory_.List(), ElementsAre());
  EXPECT_FALSE(FileExists(directory_ / "out/original"));
}

TEST_F(NestedDownloadTest, UndoingLeavesWhatWasThereBefore) {
  directory_.Write("out/config.json", "{}");
  directory_.Write("out/original/mine.txt", "mine");
  RemoveBrokenPull(artifact_, directory_ / "out", PullBroken(directory_ / "out", 2));  // config.json needs no reading
  EXPECT_THAT(directory_.List(), ElementsAre("out/config.json", "out/original/mine.txt"));
  EXPECT_FALSE(FileExists(directory_ / "out/original/deep"));
}

TEST(CheckOutput, SeesTheFilesOfEitherFormat) {
  const TemporaryDirectory directory;
  directory.Write("nsq/model.nsq", "x");
  directory.Write("old/model.safetensors", "x");
  directory.Write("gguf/model.gguf", "x");
  for (const char* taken : {"nsq", "old"}) {
    EXPECT_EQ(ReasonOf(CheckOutput(directory / taken, kNsq, false)), "FILE_EXISTS") << taken;
  }
  EXPECT_TRUE(CheckOutput(directory / "nsq", kNsq, true).ok());
  EXPECT_TRUE(CheckOutput(directory / "nsq", "gguf", false).ok());
  EXPECT_TRUE(CheckOutput(directory / "gguf", kNsq, false).ok());
}

TEST(CheckOutput, RefusesBeforeTheWork) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(CheckOutput(directory / "new", "gguf", false).ok());
  EXPECT_TRUE(CheckOutput(directory / "new.gguf", "gguf", false).ok());
  directory.Write("out/model.gguf", "x");
  directory.Write("a.manifest.json", "x");
  EXPECT_FALSE(CheckOutput(directory / "out", "gguf", false).ok());
  EXPECT_TRUE(CheckOutput(directory / "out", "gguf", true).ok());
  EXPECT_FALSE(CheckOutput(directory / "a.gguf", "gguf", false).ok());
  EXPECT_TRUE(CheckOutput(directory / "a.gguf", "gguf", true).ok());
  EXPECT_FALSE(CheckOutput(directory / "a.manifest.json", "gguf", true).ok()) << "a file where a directory must be";
}

}  // namespace
}  // namespace nashswarm::cli
