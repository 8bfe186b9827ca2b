#include "core/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/half.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::checkpoint {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::SafetensorsImage;
using ::nashswarm::testing::WriteTestFile;
using ::testing::HasSubstr;

std::string OneTensor(const std::string& name) {
  return SafetensorsImage(R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234");
}

TEST(CheckpointTest, ReadsShardsThroughTheIndex) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/m-1.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/m-2.safetensors", OneTensor("b"));
  WriteTestFile(dir.path() + "/model.safetensors.index.json",
                R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  WriteTestFile(dir.path() + "/config.json", R"({"model_type":"x"})");
  const auto checkpoint = Checkpoint::Open(dir.path());
  NS_ASSERT_OK(checkpoint.status());
  EXPECT_EQ((*checkpoint)->tensors().size(), 2u);
  ASSERT_NE((*checkpoint)->Find("b"), nullptr);
  EXPECT_EQ((*checkpoint)->Find("b")->file, "m-2.safetensors");
  EXPECT_EQ((*checkpoint)->Find("c"), nullptr);
  EXPECT_EQ((*checkpoint)->config()["model_type"], "x");
  EXPECT_EQ((*checkpoint)->weight_bytes(), 2 * OneTensor("a").size());
}

TEST(CheckpointTest, MissingShardIsNamed) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/m-1.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/model.safetensors.index.json",
                R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  const auto status = Checkpoint::Open(dir.path()).status();
  EXPECT_EQ(ReasonOf(status), "SHARD_MISSING");
  EXPECT_THAT(std::string(status.message()), HasSubstr("m-2.safetensors"));
}

TEST(CheckpointTest, ShardPathMayNotLeaveTheDirectory) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/secret.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/model/model.safetensors.index.json", R"({"weight_map":{"a":"../secret.safetensors"}})");
  const auto status = Checkpoint::Open(dir.path() + "/model").status();
  EXPECT_EQ(ReasonOf(status), "INDEX_INVALID");  // of the file, not of what the user typed
  EXPECT_THAT(std::string(status.message()), HasSubstr("../secret.safetensors"));
}

TEST(CheckpointTest, IndexAndShardsMustAgree) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/m-1.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/model.safetensors.index.json",
                R"({"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors"}})");
  EXPECT_EQ(ReasonOf(Checkpoint::Open(dir.path()).status()), "SHARD_MISMATCH");
}

TEST(CheckpointTest, SameTensorInTwoShards) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/m-1.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/m-2.safetensors",
                SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                 "12345678"));
  WriteTestFile(dir.path() + "/model.safetensors.index.json",
                R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  EXPECT_EQ(ReasonOf(Checkpoint::Open(dir.path()).status()), "TENSOR_DUPLICATE");
}

TEST(CheckpointTest, NoWeightsOrNoDirectory) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/config.json", "{}");
  EXPECT_EQ(Checkpoint::Open(dir.path()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Checkpoint::Open(dir.path() + "/absent").status().code(), absl::StatusCode::kNotFound);
}

TEST(CheckpointTest, BadConfigIsNamed) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/model.safetensors", OneTensor("a"));
  WriteTestFile(dir.path() + "/config.json", "{");
  EXPECT_THAT(std::string(Checkpoint::Open(dir.path()).status().message()), HasSubstr("config.json"));
  WriteTestFile(dir.path() + "/config.json", "[]");
  EXPECT_EQ(ReasonOf(Checkpoint::Open(dir.path()).status()), "CONFIG_INVALID");
}

TEST(DTypeTest, ConvertsEveryWeightType) {
  const double wide = 0.1;
  const float single = 0.1f;
  const uint16_t half = FloatToHalf(0.5f), brain = FloatToBFloat16(-2.0f);
  float out;
  ToFloat(DType::kF64, reinterpret_cast<const uint8_t*>(&wide), 1, &out);
  EXPECT_EQ(out, 0.1f);
  ToFloat(DType::kF32, reinterpret_cast<const uint8_t*>(&single), 1, &out);
  EXPECT_EQ(out, 0.1f);
  ToFloat(DType::kF16, reinterpret_cast<const uint8_t*>(&half), 1, &out);
  EXPECT_EQ(out, 0.5f);
  ToFloat(DType::kBF16, reinterpret_cast<const uint8_t*>(&brain), 1, &out);
  EXPECT_EQ(out, -2.0f);
  EXPECT_FALSE(IsWeight(DType::kI32));
  EXPECT_EQ(DTypeByName("BF16"), DType::kBF16);
  EXPECT_EQ(DTypeByName("bf16"), std::nullopt);
}

}  // namespace
}  // namespace nashswarm::checkpoint
