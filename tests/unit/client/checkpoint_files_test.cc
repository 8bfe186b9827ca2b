#include "client/cli/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/errors.h"
#include "client/cli/files.h"
#include "client/cli/safe_path.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Names(const std::vector<LocalFile>& files) {
  std::vector<std::string> names;
  for (const LocalFile& file : files) names.push_back(file.name);
  return names;
}

TEST(CheckpointFiles, TakesWhatACheckpointNeeds) {
  const TemporaryDirectory directory;
  for (const char* name :
       {"model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json", "tokenizer.model",
        "merges.txt", "vocab.json", "vocab.bpe", "chat_template.jinja", "README.md", "LICENSE", "LICENSE.txt",
        // and nothing of these
        ".gitattributes", ".secret.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "model.onnx", "a.gguf",
        "flax_model.msgpack", "tf_model.h5", "consolidated.safetensors", "onnx/model.json", "training.log"}) {
    directory.Write(name, "x");
  }
  const auto files = SelectFiles(directory.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(Names(*files), ElementsAre("LICENSE", "LICENSE.txt", "README.md", "chat_template.jinja", "config.json",
                                         "merges.txt", "model-00001-of-00002.safetensors",
                                         "model.safetensors.index.json", "tokenizer.model", "vocab.bpe", "vocab.json"));
}

TEST(CheckpointFiles, FollowsLinksAsInTheHuggingFaceCache) {
  const TemporaryDirectory directory;
  directory.Write("blobs/abc", "weights");
  directory.Write("snapshot/config.json", "{}");
  ASSERT_EQ(symlink("../blobs/abc", (directory / "snapshot/model.safetensors").c_str()), 0);
  const auto files = SelectFiles(directory / "snapshot");
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(Names(*files), ElementsAre("config.json", "model.safetensors"));
  EXPECT_EQ((*files)[1].size, 7);
}

// A README.md that is a link to ~/.ssh/id_rsa was sent, and stood in the artifact.
TEST(CheckpointFiles, RefusesALinkThatLeadsOut) {
  const TemporaryDirectory directory;
  directory.Write("secret", "key");
  directory.Write("cache/blobs/abc", "{}");
  directory.Write("cache/snapshots/1/model.safetensors", "x");
  directory.Write("cache/snapshots/1/real.json", "{}");
  const std::string model = directory / "cache/snapshots/1";
  ASSERT_EQ(symlink("../../blobs/abc", (model + "/config.json").c_str()), 0);
  ASSERT_EQ(symlink("real.json", (model + "/tokenizer.json").c_str()), 0);
  ASSERT_TRUE(SelectFiles(model).ok()) << SelectFiles(model).status();
  ASSERT_EQ(symlink("../../../secret", (model + "/README.md").c_str()), 0);
  const auto refused = SelectFiles(model);
  EXPECT_EQ(ReasonOf(refused.status()), "LINK_OUTSIDE");
  EXPECT_NE(refused.status().message().find("README.md"), absl::string_view::npos);
}

TEST(CheckpointFiles, KeepsALoneConsolidatedFile) {
  const TemporaryDirectory directory;
  directory.Write("config.json", "{}");
  directory.Write("consolidated.safetensors", "x");
  EXPECT_THAT(Names(*SelectFiles(directory.path())), ElementsAre("config.json", "consolidated.safetensors"));
}

TEST(CheckpointFiles, SaysWhatWasSkippedAndHowToConvertPickle) {
  const TemporaryDirectory directory;
  directory.Write("config.json", "{}");
  directory.Write("pytorch_model.bin", "x");
  const absl::Status status = SelectFiles(directory.path()).status();
  EXPECT_EQ(ReasonOf(status), "NO_WEIGHTS");
  EXPECT_EQ(ExitCodeOf(status), kExitNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("pytorch_model.bin"));
  EXPECT_THAT(HintOf(status), HasSubstr("convert"));
}

TEST(CheckpointFiles, ExplainsWhatElseMayBeWrong) {
  const TemporaryDirectory directory;
  directory.Write("model.safetensors", "x");
  EXPECT_EQ(ReasonOf(SelectFiles(directory.path()).status()), "NO_CONFIG");
  EXPECT_EQ(ExitCodeOf(SelectFiles(directory / "nowhere").status()), kExitNotFound);
  EXPECT_EQ(ExitCodeOf(SelectFiles(directory / "model.safetensors").status()), kExitUsage);
}

TEST(CheckpointFiles, GgufIsNoSource) {
  const TemporaryDirectory directory;
  directory.Write("config.json", "{}");
  directory.Write("q4.gguf", "GGUF");
  directory.Write("renamed", "GGUF\3");
  for (const std::string& given : {directory.path(), directory / "q4.gguf", directory / "renamed"}) {
    const absl::Status status = SelectFiles(given).status();
    EXPECT_EQ(ReasonOf(status), "GGUF_AS_SOURCE");
    EXPECT_EQ(ExitCodeOf(status), kExitFailed);
    EXPECT_THAT(std::string(status.message()), HasSubstr(given == directory.path() ? directory / "q4.gguf" : given));
    EXPECT_THAT(HintOf(status), HasSubstr("original safetensors checkpoint"));
  }
}

TEST(CheckpointFiles, AdaptersNameTheirBase) {
  const TemporaryDirectory directory;
  directory.Write("adapter_model.safetensors", "x");
  EXPECT_EQ(ReasonOf(SelectFiles(directory.path()).status()), "ADAPTER_AS_SOURCE");
  directory.Write("adapter_config.json", R"({"base_model_name_or_path":"org/base"})");
  const absl::Status status = SelectFiles(directory.path()).status();
  EXPECT_EQ(ReasonOf(status), "ADAPTER_AS_SOURCE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("merged into its base model org/base"));
  directory.Write("model.safetensors", "x");  // the whole model beside it
  directory.Write("config.json", "{}");
  EXPECT_TRUE(SelectFiles(directory.path()).ok());
}

TEST(NameOfCheckpointTest, IsWhatPeopleCallTheModel) {
  EXPECT_EQ(NameOfCheckpoint("/models/My-Tune-6M"), "My-Tune-6M");
  EXPECT_EQ(NameOfCheckpoint("/models/./x/../My-Tune-6M//"), "My-Tune-6M");
  EXPECT_EQ(NameOfCheckpoint("."), std::filesystem::current_path().filename().string());
  EXPECT_EQ(NameOfCheckpoint("/"), "");
  const std::string hub = "/home/me/.cache/huggingface/hub/";
  EXPECT_EQ(NameOfCheckpoint(hub + "models--org--name-1b/snapshots/0123abc"), "org/name-1b");
  EXPECT_EQ(NameOfCheckpoint(hub + "models--gpt2/snapshots/0123abc/"), "gpt2");
  EXPECT_EQ(NameOfCheckpoint(hub + "models--org--a--b/snapshots/0123abc"), "org/a--b");
  EXPECT_EQ(NameOfCheckpoint(hub + "datasets--org--name/snapshots/0123abc"), "0123abc");
  EXPECT_EQ(NameOfCheckpoint(hub + "models--org--name/blobs/0123abc"), "0123abc");
}

TEST(NameOfCheckpointTest, HoldsNothingThatANameMustNot) {
  const std::string e = "\u00e9";
  EXPECT_EQ(NameOfCheckpoint("/models/caf" + e), "caf" + e);
  EXPECT_EQ(NameOfCheckpoint("/models/a\"b\\c"), "a\"b\\c");
  for (const char* none : {"caf\xe9", "caf\xc3", "\xed\xa0\x80", "two\nlines", "bell\a", "del\x7f"}) {
    EXPECT_EQ(NameOfCheckpoint(std::string("/models/") + none), "") << none;
  }
  EXPECT_EQ(NameOfCheckpoint("/models/" + std::string(201, 'n')), std::string(200, 'n'));
  EXPECT_EQ(NameOfCheckpoint("/models/" + std::string(199, 'n') + e), std::string(199, 'n'));
  EXPECT_EQ(NameOfCheckpoint("/models/" + std::string(198, 'n') + e), std::string(198, 'n') + e);
}

TEST(Files, KnowsWhichPathsStayInside) {
  for (const char* path : {"a", "a/b", "model.gguf", "..a", "a..b/c"}) EXPECT_TRUE(IsSafeRelativePath(path)) << path;
  for (const char* path : {"", "/a", "a/", "..", "../a", "a/../b", "a//b", "./a", "a\\b"}) {
    EXPECT_FALSE(IsSafeRelativePath(path)) << path;
  }
}

}  // namespace
}  // namespace nashswarm::cli
