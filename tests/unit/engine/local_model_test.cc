#include "core/engine/local_model.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::engine {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;

std::string MessageOf(const std::string& message, const std::string& path) {
  return std::string(OfModel(MakeError(absl::StatusCode::kDataLoss, "R", message, "h"), path).message());
}

TEST(OfModelTest, NamesTheModelWhereTheMessageDoesNot) {
  const TemporaryDirectory dir = MakeTemporaryDirectory();
  const std::string out = dir.path();
  EXPECT_EQ(MessageOf("has no weights", out), out + ": has no weights");
  EXPECT_EQ(MessageOf("model.nsq: is cut", out), out + "/model.nsq: is cut");
  EXPECT_EQ(MessageOf(out + ": has no weights", out), out + ": has no weights");
  EXPECT_EQ(MessageOf(out + "/model.nsq: is cut", out), out + "/model.nsq: is cut");
  EXPECT_EQ(MessageOf("tensor 'a.b': is cut", "m.gguf"), "m.gguf: tensor 'a.b': is cut");
  const absl::Status status = OfModel(MakeError(absl::StatusCode::kDataLoss, "R", "m", "h"), out);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReasonOf(status), "R");
  EXPECT_EQ(HintOf(status), "h");
  EXPECT_TRUE(OfModel(absl::OkStatus(), out).ok());
}

TEST(OfModelTest, ASlashBehindADirectoryDoesNotNameItTwice) {
  const TemporaryDirectory dir = MakeTemporaryDirectory();
  const std::string out = dir.path();
  for (const char* slashes : {"/", "//"}) {
    EXPECT_EQ(MessageOf(out + "/model.nsq: is cut", out + slashes), out + "/model.nsq: is cut");
    EXPECT_EQ(MessageOf("model.nsq: is cut", out + slashes), out + "/model.nsq: is cut");
    EXPECT_EQ(MessageOf("has no weights", out + slashes), out + ": has no weights");
  }
}

}  // namespace
}  // namespace nashswarm::engine
