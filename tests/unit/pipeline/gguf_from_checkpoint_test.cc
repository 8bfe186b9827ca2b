// Checkpoints written as GGUF files that lose nothing that matters.
#include "core/pipeline/gguf_from_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "core/artifact/gguf_artifact.h"
#include "core/base/status.h"
#include "core/forward/weights.h"
#include "core/pipeline/open_model.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::WriteTestFile;
using quant::Format;

const auto kSilent = [](uint64_t, uint64_t) {};

struct Gguf {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  absl::StatusOr<WrittenGguf> written = absl::UnknownError("");
  std::string model() const { return directory.path() + "/m"; }
  std::string path() const { return directory.path() + "/model.gguf"; }
  Format FormatOf(const std::string& source) const {
    for (const auto& tensor : written->tensors) {
      if (tensor.source == source) return tensor.format;
    }
    ADD_FAILURE() << source << " was not written";
    return Format::kF32;
  }
};

Gguf Write(const TinyCheckpoint& checkpoint, int threads = 0) {
  Gguf gguf;
  checkpoint.Write(gguf.model());
  gguf.written = WriteGgufOf(gguf.model(), gguf.path(), threads, {}, {}, kSilent);
  return gguf;
}

double RelativeError(const std::vector<float>& want, const std::vector<float>& got) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (double{want[i]} - got[i]) * (double{want[i]} - got[i]);
    energy += double{want[i]} * want[i];
  }
  return energy > 0 ? error / energy : error;
}

// The file is read by the code that reads anybody's GGUF, and compared with the checkpoint as the model is mapped.
void ExpectTheModel(const Gguf& gguf) {
  NS_ASSERT_OK(gguf.written.status());
  const absl::StatusOr<artifact::OpenGguf> open = artifact::Open(gguf.path());
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(gguf.written->bytes, *FileSize(gguf.path()));
  const absl::StatusOr<OpenModel> model = OpenAndMap(gguf.model());
  NS_ASSERT_OK(model.status());
  const auto weights = forward::WeightsOf(gguf.path(), open->file, open->gguf);
  ASSERT_EQ(gguf.written->tensors.size(), model->model.tensors.size());
  double greatest = 0;
  for (size_t t = 0; t < model->model.tensors.size(); ++t) {
    const model::MappedTensor& tensor = model->model.tensors[t];
    const WrittenGguf::Tensor& entry = gguf.written->tensors[t];
    EXPECT_EQ(entry.name, tensor.name);
    EXPECT_EQ(entry.weights, tensor.weights());
    std::vector<float> want(tensor.weights()), got(tensor.weights());
    model::ReadRows(tensor, 0, tensor.rows, want.data());
    NS_ASSERT_OK(weights->Read(tensor.name, 0, tensor.vector ? 1 : tensor.rows, got.data()));
    const double error = RelativeError(want, got);
    EXPECT_NEAR(entry.relative_error, error, 1e-4 * error + 1e-12) << tensor.name;
    EXPECT_LE(error, kNegligibleError) << tensor.name;
    greatest = std::max(greatest, error);
    if (tensor.vector) {
      EXPECT_EQ(got, want) << tensor.name;
    }
  }
  EXPECT_NEAR(gguf.written->greatest_relative_error, greatest, 1e-4 * greatest);
}

TEST(GgufFromCheckpointTest, LosesNothingThatMatters) {
  for (const TinyCheckpoint& checkpoint : {TinyGpt2(), TinyLlama("llama", false), TinyLlama("gemma3_text", true), TinyLlama("mixtral", true),
                                           TinyLlama("qwen2_moe", false), TinyLlama("qwen3_moe", false), TinyLlama("olmoe", false)}) {
    const Gguf gguf = Write(checkpoint);
    ExpectTheModel(gguf);
  }
  const Gguf gguf = Write(TinyLlama("llama", false));
  EXPECT_EQ(gguf.FormatOf("model.layers.0.mlp.down_proj.weight"), Format::kQ8_0);
  EXPECT_EQ(gguf.FormatOf("model.norm.weight"), Format::kF32);
}

TEST(GgufFromCheckpointTest, ExpertsOfALayerAreOneTensorOfOneType) {
  TinyCheckpoint checkpoint = TinyLlama("mixtral", false);
  const std::string spiky = "model.layers.0.block_sparse_moe.experts.2.w3.weight";
  std::vector<float>& values = checkpoint.tensors.at(spiky).values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = i % 32 == 0 ? 6.0f : 0.18f * std::sin(static_cast<float>(i));
  const Gguf gguf = Write(checkpoint);
  ExpectTheModel(gguf);
  for (int e = 0; e < 4; ++e) {
    EXPECT_EQ(gguf.FormatOf("model.layers.0.block_sparse_moe.experts." + std::to_string(e) + ".w3.weight"), Format::kF16) << e;
  }
  EXPECT_EQ(gguf.FormatOf("model.layers.0.block_sparse_moe.gate.weight"), Format::kF32);
  const auto open = artifact::Open(gguf.path());
  NS_ASSERT_OK(open.status());
  int stacks = 0;
  for (const checkpoint::GgufTensor& tensor : open->gguf.tensors) {
    if (tensor.name == "blk.1.ffn_down_exps.weight") { EXPECT_EQ(tensor.dims, (std::vector<uint64_t>{96, 64, 4})); }
    stacks += tensor.dims.size() == 3 ? 1 : 0;
  }
  EXPECT_EQ(stacks, 6);
}

// One weight of every block far above the others: rounded to 1/127 of it, a block loses (6/127)^2/12 of (36 + 31 * 0.13^2)/32,
// which is 1.6e-4.
TEST(GgufFromCheckpointTest, TypesGoByWhatTheyLose) {
  TinyCheckpoint checkpoint = TinyLlama("llama", false);
  const std::string spiky = "model.layers.0.mlp.up_proj.weight", huge = "model.layers.1.mlp.up_proj.weight";
  for (const std::string& name : {spiky, huge}) {
    std::vector<float>& values = checkpoint.tensors.at(name).values;
    const float unit = name == huge ? 2e4f : 1.0f;  // then beyond F16, too
    for (size_t i = 0; i < values.size(); ++i) values[i] = unit * (i % 32 == 0 ? 6.0f : 0.18f * std::sin(static_cast<float>(i)));
  }
  const Gguf gguf = Write(checkpoint);
  ExpectTheModel(gguf);
  EXPECT_EQ(gguf.FormatOf("model.layers.0.mlp.gate_proj.weight"), Format::kQ8_0);
  EXPECT_EQ(gguf.FormatOf(spiky), Format::kF16);
  EXPECT_EQ(gguf.FormatOf(huge), Format::kF32);
  checkpoint.dtype = checkpoint::DType::kBF16;
  EXPECT_EQ(Write(checkpoint).FormatOf(huge), Format::kBF16);
}

TEST(GgufFromCheckpointTest, SameBytesAtAnyThreadCount) {
  const Gguf one = Write(TinyGpt2(), 1), three = Write(TinyGpt2(), 3);
  NS_ASSERT_OK(one.written.status());
  NS_ASSERT_OK(three.written.status());
  EXPECT_EQ(ReadTestFile(one.path()), ReadTestFile(three.path()));
}

TEST(GgufFromCheckpointTest, WholeOrNotAtAll) {
  TinyCheckpoint checkpoint = TinyGpt2();
  checkpoint.tensors.at("h.1.mlp.c_fc.weight").values[7] = std::numeric_limits<float>::quiet_NaN();
  Gguf gguf;
  checkpoint.Write(gguf.model());
  WriteTestFile(gguf.path(), "what was there");
  gguf.written = WriteGgufOf(gguf.model(), gguf.path(), 2, {}, {}, kSilent);
  EXPECT_EQ(ReasonOf(gguf.written.status()), "NON_FINITE_WEIGHTS");
  EXPECT_NE(gguf.written.status().message().find("h.1.mlp.c_fc.weight"), std::string::npos) << gguf.written.status();
  EXPECT_EQ(ReadTestFile(gguf.path()), "what was there");
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(gguf.directory.path())) ++entries;
  EXPECT_EQ(entries, 2u);
}

}  // namespace
}  // namespace nashswarm::pipeline
