#include "core/artifact/gguf_artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/hash.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::GgufTensor;
using checkpoint::GgufValue;
using quant::Format;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::WriteTestFile;

const std::vector<checkpoint::GgufMetadata> kMetadata = {{"general.architecture", GgufValue::String("test")}};
const std::vector<GgufTensor> kTensors = {{"a", {2}, Format::kF32, 0, 8}, {"b", {1}, Format::kF32, 0, 4}};
const auto kSilent = [](uint64_t) {};
const auto kSilentTotal = [](uint64_t, uint64_t) {};

std::string Floats(std::initializer_list<float> values, size_t padded) {
  std::string bytes(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float));
  bytes.resize(padded, '\0');
  return bytes;
}

TEST(GgufArtifactTest, AssemblesPartsInOrder) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/p0", Floats({1, 2}, 32));
  WriteTestFile(dir.path() + "/p1", Floats({3}, 32));
  const auto written =
      WriteGguf(dir.path() + "/model.gguf", kMetadata, kTensors, {dir.path() + "/p0", dir.path() + "/p1"}, kSilent);
  NS_ASSERT_OK(written.status());
  const std::string bytes = ReadTestFile(dir.path() + "/model.gguf");
  EXPECT_EQ(written->bytes, bytes.size());
  EXPECT_EQ(written->sha256, Sha256Of(bytes));
  const auto open = Open(dir.path());
  NS_ASSERT_OK(open.status());
  const auto b = open->DataOf(open->gguf.tensors[1]);
  EXPECT_EQ(std::string(b.begin(), b.end()), Floats({3}, 4));
  NS_EXPECT_OK(Verify(*open, 1, kSilentTotal));
}

TEST(GgufArtifactTest, PartsThatDoNotAddUpLeaveNothingBehind) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/p0", Floats({1, 2}, 32));
  EXPECT_EQ(ReasonOf(WriteGguf(dir.path() + "/model.gguf", kMetadata, kTensors, {dir.path() + "/p0"}, kSilent).status()),
            "ARTIFACT_SIZE");
  EXPECT_FALSE(PathExists(dir.path() + "/model.gguf"));
}

TEST(GgufArtifactTest, VerifyNamesTheTensorThatIsNotFinite) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/p0", Floats({1, 2}, 32) + Floats({INFINITY}, 32));
  NS_ASSERT_OK(WriteGguf(dir.path() + "/x.gguf", kMetadata, kTensors, {dir.path() + "/p0"}, kSilent).status());
  const auto open = Open(dir.path() + "/x.gguf");
  NS_ASSERT_OK(open.status());
  const absl::Status status = Verify(*open, 1, kSilentTotal);
  EXPECT_EQ(ReasonOf(status), "ARTIFACT_NON_FINITE");
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("'b'"));
}

}  // namespace
}  // namespace nashswarm::artifact
