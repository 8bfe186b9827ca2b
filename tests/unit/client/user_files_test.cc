// Errors by the names that the user knows.
#include "client/cli/user_files.h"

#include <gtest/gtest.h>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

const UserFiles kFiles = {.directory = "models/gpt2", .calibration = "train.txt", .evaluation = "my/test.txt"};

std::string Said(const std::string& message, const std::string& reason = "R", const UserFiles& files = kFiles) {
  return std::string(InUserTerms(MakeError(absl::StatusCode::kInvalidArgument, reason, message), files).message());
}

TEST(UserFilesTest, FilesOfTheCheckpointAreNamedWithinTheUsersDirectory) {
  EXPECT_EQ(Said("model.safetensors: ends early"), "models/gpt2/model.safetensors: ends early");
  EXPECT_EQ(Said("model.safetensors.index.json names 'b.safetensors', which is not there"),
            "models/gpt2/model.safetensors.index.json names 'b.safetensors', which is not there");
  EXPECT_EQ(Said("the model: has no tokenizer"), "models/gpt2: has no tokenizer");
  EXPECT_EQ(Said("h.0.attn has no partner", "MODEL_TENSOR_MISSING"), "models/gpt2: h.0.attn has no partner");
}

TEST(UserFilesTest, TextsAreNamedByTheUsersPath) {
  EXPECT_EQ(Said("calibration: is empty"), "train.txt: is empty");
  EXPECT_EQ(Said("evaluation: is empty"), "my/test.txt: is empty");
  const absl::Status error = MakeError(absl::StatusCode::kInvalidArgument, "TEXT_NOT_UTF8", "calibration: the text is UTF-16",
                                       "convert it: iconv -f UTF-16 -t UTF-8 calibration > text.txt");
  EXPECT_EQ(HintOf(InUserTerms(error, kFiles)), "convert it: iconv -f UTF-16 -t UTF-8 train.txt > text.txt");
  EXPECT_EQ(Said("calibration: is empty", "R", {.directory = "d"}), "calibration: is empty") << "there is no such file";
}

TEST(UserFilesTest, OtherErrorsAndNamesThatAreThereStayAsTheyAre) {
  for (const char* message : {"no size is small enough", "models/gpt2/config.json: is no JSON", "models/gpt2: is empty",
                              "rule 'x': matches no tensor", "/var/lib/x.json: is gone", ""}) {
    EXPECT_EQ(Said(message), message);
  }
  EXPECT_EQ(Said("config.json: x", "R", {}), "config.json: x") << "no directory is known";
  EXPECT_TRUE(InUserTerms(absl::OkStatus(), kFiles).ok());
  const absl::Status error = InUserTerms(MakeError(absl::StatusCode::kDataLoss, "R", "config.json: x", "h"), kFiles);
  EXPECT_EQ(ReasonOf(error), "R");
  EXPECT_EQ(HintOf(error), "h");
  EXPECT_EQ(error.code(), absl::StatusCode::kDataLoss);
}

TEST(UserFilesTest, AShortDirectoryIsNotFoundInEveryMessage) {
  EXPECT_EQ(Said("config.json: 1.5 is no number", "R", {.directory = "."}), "./config.json: 1.5 is no number");
}

}  // namespace
}  // namespace nashswarm::cli
