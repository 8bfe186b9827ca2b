#include "core/engine/exit_code.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/checkpoint/checkpoint.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/files.h"

namespace nashswarm::engine {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::WriteTestFile;

int Of(absl::StatusCode code, const char* reason) { return ExitCodeOf(MakeError(code, reason, "m")); }

TEST(ExitCodeTest, EveryKindHasItsOwn) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(Of(absl::StatusCode::kFailedPrecondition, "X"), 1);
  EXPECT_EQ(Of(absl::StatusCode::kInvalidArgument, "TARGET_INFEASIBLE"), 1);
  EXPECT_EQ(Of(absl::StatusCode::kInvalidArgument, "USAGE"), 2);
  EXPECT_EQ(Of(absl::StatusCode::kInvalidArgument, "BAD_PATTERN"), 2);
  EXPECT_EQ(Of(absl::StatusCode::kNotFound, "X"), 3);
  EXPECT_EQ(Of(absl::StatusCode::kResourceExhausted, "NO_SPACE"), 6);
  EXPECT_EQ(Of(absl::StatusCode::kDataLoss, "X"), 7);
  EXPECT_EQ(Of(absl::StatusCode::kInvalidArgument, "JSON_SYNTAX"), 7);
}

TEST(ExitCodeTest, AnIndexThatLeavesTheDirectoryIsDamageAndNoUsage) {
  const TemporaryDirectory dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/model.safetensors.index.json", R"({"weight_map":{"a":"../x.safetensors"}})");
  EXPECT_EQ(ExitCodeOf(checkpoint::Checkpoint::Open(dir.path()).status()), 7);
}

TEST(ExitCodeTest, ATokenizerThatWasCutIsDamage) {
  const TemporaryDirectory dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0)");
  EXPECT_EQ(ExitCodeOf(tokenizer::OpenTokenizer(dir.path(), Json::object()).status()), 7);
  // Whole, but of a kind that is not read here.
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})");
  EXPECT_EQ(ExitCodeOf(tokenizer::OpenTokenizer(dir.path(), Json::object()).status()), 1);
}

}  // namespace
}  // namespace nashswarm::engine
