#include <gtest/gtest.h>

#include "core/checkpoint/checkpoint.h"
#include "core/engine/commands.h"
#include "tests/unit/artifact/nsq_sample.h"

namespace nashswarm::engine {
namespace {

using checkpoint::DType;

// The type of the weights that unpack makes of an artifact whose config.json says `type` beside its quantization.
DType UnpackedAs(const std::string& type, const std::string& flag) {
  const TemporaryDirectory dir = testing::MakeTemporaryDirectory();
  const std::string artifact = dir.path() + "/nsq", out = dir.path() + "/out";
  artifact::Sample sample;
  sample.AddPlain("norm", DType::kF16, {1, -2.5f});
  sample.AddMatrix("straight.weight", 12, 20, false, 0.5);
  sample.WriteTo(artifact);
  testing::WriteTestFile(artifact + "/config.json", "{" + type + R"("quantization_config": {"quant_method": "nashswarm", "version": 1}})");
  UnpackFlags flags;
  flags.path = artifact;
  flags.out = out;
  flags.dtype = flag;
  EXPECT_EQ(RunUnpack(flags, /*json=*/false), 0) << type;
  const auto open = checkpoint::Checkpoint::Open(out);
  if (!open.ok()) {
    ADD_FAILURE() << open.status();
    return DType::kU8;
  }
  EXPECT_EQ((*open)->tensors().size(), 2u);
  for (const checkpoint::SourceTensor& tensor : (*open)->tensors()) EXPECT_EQ(tensor.dtype, (*open)->tensors()[0].dtype);
  return (*open)->tensors()[0].dtype;
}

TEST(UnpackCommandTest, WithoutATypeItIsTheCheckpoints) {
  EXPECT_EQ(UnpackedAs(R"("dtype": "bfloat16", )", ""), DType::kBF16);
  EXPECT_EQ(UnpackedAs(R"("dtype": "float16", )", ""), DType::kF16);
  EXPECT_EQ(UnpackedAs(R"("dtype": "float32", "torch_dtype": "bfloat16", )", ""), DType::kF32);
  EXPECT_EQ(UnpackedAs(R"("torch_dtype": "bfloat16", )", ""), DType::kBF16);
  EXPECT_EQ(UnpackedAs(R"("torch_dtype": "torch.float16", )", ""), DType::kF16);
  EXPECT_EQ(UnpackedAs(R"("dtype": null, "torch_dtype": "float16", )", ""), DType::kF16);
  EXPECT_EQ(UnpackedAs("", ""), DType::kF32);
  EXPECT_EQ(UnpackedAs(R"("dtype": "bfloat16", )", "f16"), DType::kF16);
}

}  // namespace
}  // namespace nashswarm::engine
