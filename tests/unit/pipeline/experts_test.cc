// Jobs on mixtures of experts: GGUF stacks the experts of a layer in one tensor of one format, nsq keeps each apart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/artifact/gguf_artifact.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/status.h"
#include "core/checkpoint/checkpoint.h"
#include "core/forward/weights.h"
#include "core/pipeline/open_model.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::RunPipeline;
using ::nashswarm::testing::TinyLlama;
using ::testing::HasSubstr;

constexpr const char* kTypes[] = {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe"};

struct Job {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  absl::StatusOr<Json> result = absl::UnknownError("");
  std::string model() const { return directory.path() + "/model"; }
  std::string artifact() const { return directory.path() + "/w/artifact"; }
};

Job Compress(const std::string& type, const Spec& spec) {
  Job job;
  TinyLlama(type, type == "mixtral").Write(job.model());
  job.result = RunPipeline(job.model(), job.directory.path() + "/w", spec, 2, &job.observer);
  return job;
}

// Squared error over squared weights of `tensor`, as the reader of the artifact has it.
double ErrorOf(const forward::Weights& weights, const model::MappedTensor& tensor) {
  std::vector<float> want(tensor.weights()), got(tensor.weights());
  model::ReadRows(tensor, 0, tensor.rows, want.data());
  EXPECT_TRUE(weights.Read(tensor.name, 0, tensor.vector ? 1 : tensor.rows, got.data()).ok()) << tensor.name;
  double error = 0, energy = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (want[i] - got[i]) * (want[i] - got[i]);
    energy += want[i] * want[i];
  }
  return error / energy;
}

TEST(ExpertsTest, GgufStacksThemAndKeepsToTheTarget) {
  for (const char* type : kTypes) {
    const Job job = Compress(type, BitsPerWeight(7));
    NS_ASSERT_OK(job.result.status());
    const auto open = artifact::Open(job.artifact());
    NS_ASSERT_OK(open.status());
    EXPECT_LE(open->file->bytes().size() * 8.0 / job.result->at("parameters").get<double>(), 7);
    int stacks = 0;
    for (const checkpoint::GgufTensor& tensor : open->gguf.tensors) {
      stacks += tensor.dims.size() == 3 && tensor.dims[2] == 4 ? 1 : 0;
      EXPECT_EQ(tensor.name.find(".0.weight"), std::string::npos) << tensor.name;
    }
    EXPECT_EQ(stacks, 6) << type;
    const auto model = OpenAndMap(job.model());
    const auto weights = forward::WeightsOf("model.gguf", open->file, open->gguf);
    for (const model::MappedTensor& tensor : model->model.tensors) {
      EXPECT_LE(ErrorOf(*weights, tensor), tensor.is_player() ? 0.03 : 0.0) << type << " " << tensor.name;
    }
  }
}

TEST(ExpertsTest, NsqKeepsThemApartAndRoutersPlain) {
  Spec spec = BitsPerWeight(5);
  spec.format = "nsq";
  for (const char* type : kTypes) {
    const Job job = Compress(type, spec);
    NS_ASSERT_OK(job.result.status());
    const auto open = artifact::ReadNsq(job.artifact());
    NS_ASSERT_OK(open.status());
    const std::string dense = job.directory.path() + "/dense";
    NS_ASSERT_OK(artifact::Unpack(*open, checkpoint::DType::kF32, dense, 2, [](uint64_t, uint64_t) {}));
    const auto before = OpenAndMap(job.model()), after = OpenAndMap(dense);
    NS_ASSERT_OK(after.status());
    const auto weights = forward::WeightsOf(*after->checkpoint, after->model);
    for (const model::MappedTensor& tensor : before->model.tensors) {
      EXPECT_LE(ErrorOf(*weights, tensor), tensor.is_player() ? 0.03 : 1e-7) << type << " " << tensor.name;
    }
  }
}

TEST(ExpertsTest, CalibrationCountsTheTokensOfEachAndNamesTheUnused) {
  Spec spec = BitsPerWeight(8);
  spec.calibration = Spec::Calibration::kText;
  spec.calibration_tokens = 768;
  spec.evaluation_tokens = 256;
  Job job;
  auto tiny = TinyLlama("mixtral", true);
  std::vector<float>& router = tiny.tensors.at("model.layers.1.block_sparse_moe.gate.weight").values;
  std::fill(router.begin() + 2 * 64, router.end(), 0.0f);  // experts 2 and 3 compete at logit 0 with two that look both ways
  for (int c = 0; c < 64; ++c) router[64 + c] = -router[c];
  tiny.Write(job.model());
  const std::string text = job.directory.path() + "/text";
  nashswarm::testing::WriteTestFile(text, ReadTestFile(nashswarm::testing::TestData("text.txt")).substr(0, 6000));
  job.result = RunPipeline(job.model(), job.directory.path() + "/w", spec, 2, &job.observer, {text, ""});
  NS_ASSERT_OK(job.result.status());
  const Json report = *ParseJson(ReadTestFile(job.artifact() + "/report.json"), "report.json");
  const Json& layers = report.at("experts").at("layers");
  ASSERT_EQ(layers.size(), 2u);
  for (const Json& layer : layers) {
    uint64_t tokens = 0;
    for (const Json& count : layer.at("tokens")) tokens += count.get<uint64_t>();
    EXPECT_GT(tokens, 0u);
    EXPECT_EQ(tokens % 2, 0u) << "every token uses two";
    EXPECT_EQ(layer.at("bits_per_weight").size(), 4u);
  }
  // Of equal logits the lower expert: nobody ever takes expert 3.
  EXPECT_EQ(layers[1].at("tokens")[3], 0);
  EXPECT_THAT(job.result->at("warnings").dump(), HasSubstr("layer 1: 3"));
  EXPECT_THAT(ReadTestFile(job.artifact() + "/report.html"), HasSubstr("The experts"));
}

TEST(ExpertsTest, OneRuleForAllExpertsOfAStack) {
  Spec spec = BitsPerWeight(12);
  spec.rules = {{"model\\.layers\\.0\\.block_sparse_moe\\.experts\\.1\\.w1\\.weight", "Q8_0"}};
  const Job one = Compress("mixtral", spec);
  EXPECT_EQ(ReasonOf(one.result.status()), "RULE_INVALID");
  EXPECT_THAT(std::string(one.result.status().message()), HasSubstr("experts.1.w1.weight"));
  spec.rules = {{"model\\.layers\\.0\\.block_sparse_moe\\.experts\\..*\\.w1\\.weight", "Q8_0"}};
  NS_EXPECT_OK(Compress("mixtral", spec).result.status());
}

}  // namespace
}  // namespace nashswarm::pipeline
