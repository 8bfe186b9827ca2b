#include "core/artifact/gguf_artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/artifact/dense.h"
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

TEST(GgufArtifactTest, HalfASplitModelIsNotOk) {
  const auto dir = MakeTemporaryDirectory();
  const auto part = [&](uint64_t number, const std::string& name, float value) {
    std::vector<GgufTensor> tensors = {{name, {1}, Format::kF32, 0, 4}};
    const std::vector<checkpoint::GgufMetadata> metadata = {{"split.no", {checkpoint::GgufType::kUint16, {}, number}},
                                                            {"split.count", {checkpoint::GgufType::kUint16, {}, uint64_t{2}}}};
    WriteTestFile(dir.path() + "/m-0000" + std::to_string(number + 1) + "-of-00002.gguf",
                  checkpoint::SerializeGgufHeader(metadata, &tensors) + Floats({value}, 32));
  };
  part(0, "a", 1);
  const std::string first = dir.path() + "/m-00001-of-00002.gguf";
  EXPECT_EQ(ReasonOf(Open(first).status()), "GGUF_PART_MISSING");
  part(1, "b", 2);
  const auto open = Open(first);
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(open->parts, 2u);
  EXPECT_EQ(open->bytes, *FileSize(first) * 2);
  NS_EXPECT_OK(Verify(*open, 1, kSilentTotal));
  part(1, "b", INFINITY);
  const auto damaged = Open(first);
  NS_ASSERT_OK(damaged.status());
  EXPECT_EQ(ReasonOf(Verify(*damaged, 1, kSilentTotal)), "ARTIFACT_NON_FINITE");
}

TEST(GgufArtifactTest, TypesWithoutACodecAreNeitherOkNorDamage) {
  const auto dir = MakeTemporaryDirectory();
  std::vector<GgufTensor> tensors = {{"a", {256}, static_cast<Format>(18), 0, 98}};
  WriteTestFile(dir.path() + "/m.gguf", checkpoint::SerializeGgufHeader(kMetadata, &tensors) + std::string(128, 'x'));
  const auto open = Open(dir.path() + "/m.gguf");
  NS_ASSERT_OK(open.status());
  const absl::Status verified = Verify(*open, 1, kSilentTotal);
  EXPECT_EQ(verified.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(verified.message()), ::testing::HasSubstr("IQ3_XXS is not supported"));
  EXPECT_EQ(WriteDense(*open, checkpoint::DType::kF32, dir.path() + "/out.safetensors", kSilentTotal).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace nashswarm::artifact
