// What is asked of an artifact kind, and that nothing of it takes a time that grows with the square of the tensors.
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/needs.h"
#include "core/pipeline/players.h"
#include "core/pipeline/search_moves.h"
#include "core/pipeline/stage_inputs.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::TinyMixture;
using ::nashswarm::testing::WriteTestFile;
using ::testing::HasSubstr;

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const ArtifactKind* kind : AllKinds()) names.emplace_back(kind->name());
  return names;
}

class KindTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, KindTest, ::testing::ValuesIn(Names()), [](const auto& info) { return info.param; });

TEST(KindsTest, AreFoundByTheirNames) {
  for (const ArtifactKind* kind : AllKinds()) {
    const auto found = FindKind(kind->name());
    NS_ASSERT_OK(found.status());
    EXPECT_EQ(*found, kind);
  }
  EXPECT_EQ(AllKinds().front()->name(), Spec().format) << "a spec that says nothing asks for the first";
  const absl::Status unknown = FindKind("zip").status();
  EXPECT_EQ(ReasonOf(unknown), "SPEC_INVALID");
  EXPECT_EQ(HintOf(unknown), "gguf and nsq are known");
}

// Factors of the rotary embedding are a tensor that only GGUF has: from there on, places in the artifact and in the model differ.
TinyCheckpoint WithConstant() {
  TinyCheckpoint checkpoint = TinyLlama("llama", /*tied=*/true);
  checkpoint.config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0},
                                       {"original_max_position_embeddings", 32}};
  checkpoint.config["max_position_embeddings"] = 256;
  return checkpoint;
}

TEST_P(KindTest, ATensorKnowsItsSource) {
  const auto dir = MakeTemporaryDirectory();
  const std::string model = dir.path() + "/model";
  WithConstant().Write(model);
  RecordingObserver observer;
  Task task{model, dir.path(), dir.path(), BitsPerWeight(8), 0, 1, "00", &observer};
  task.spec.format = GetParam();
  NS_ASSERT_OK(Prepare(task).status());
  const auto in = StageInputs::Open(task);
  NS_ASSERT_OK(in.status());
  const auto constant = std::count_if(in->open.model.tensors.begin(), in->open.model.tensors.end(),
                                      [](const model::MappedTensor& tensor) { return tensor.source == nullptr; });
  ASSERT_EQ(constant, 1);
  ASSERT_GT(in->prepared.tensors.size(), 10u);
  for (size_t t = 0; t < in->prepared.tensors.size(); ++t) {
    EXPECT_EQ(in->source(t).name, in->prepared.tensors[t].name);
    EXPECT_EQ(in->source(t).source_name(), in->prepared.tensors[t].source);
  }
}

TEST_P(KindTest, ATensorThatTheModelDoesNotHaveIsAnError) {
  const auto dir = MakeTemporaryDirectory();
  const std::string model = dir.path() + "/model", path = dir.path() + "/prepared.json";
  TinyLlama("llama", /*tied=*/true).Write(model);
  RecordingObserver observer;
  Task task{model, dir.path(), dir.path(), BitsPerWeight(8), 0, 1, "00", &observer};
  task.spec.format = GetParam();
  NS_ASSERT_OK(Prepare(task).status());
  Json json = *ParseJson(ReadTestFile(path), "prepared.json");
  json["tensors"][3]["name"] = "blk.7.attn_q.weight";
  WriteTestFile(path, json.dump());
  for (const char* stage : {"measure", "solve", "encode", "publish"}) {
    const absl::Status status = RunStage(stage, task).status();
    EXPECT_EQ(ReasonOf(status), "STAGE_FILE_INVALID") << stage;
    EXPECT_THAT(std::string(status.message()), HasSubstr("prepared.json: 'tensors[3].name'")) << stage;
  }
}

// 20,400 matrices of experts, all zero: a hole in a file.
constexpr int kLayers = 2, kExperts = 3400;
constexpr uint64_t kWidth = 64, kFfn = 32;

void WriteManyTensors(const std::string& directory) {
  TinyCheckpoint checkpoint = TinyMixture("mixtral", 4);
  checkpoint.config["intermediate_size"] = kFfn;
  checkpoint.config["num_local_experts"] = kExperts;
  checkpoint.Write(directory);
  Json header = Json::object();
  uint64_t offset = 0;
  const auto add = [&](const std::string& name, const std::vector<uint64_t>& shape) {
    uint64_t bytes = 2;
    for (const uint64_t size : shape) bytes *= size;
    header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  };
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.find(".block_sparse_moe.") == std::string::npos) add(name, tensor.shape);
  }
  for (int l = 0; l < kLayers; ++l) {
    const std::string moe = "model.layers." + std::to_string(l) + ".block_sparse_moe.";
    add(moe + "gate.weight", {kExperts, kWidth});
    for (int e = 0; e < kExperts; ++e) {
      const std::string expert = moe + "experts." + std::to_string(e) + ".";
      add(expert + "w1.weight", {kFfn, kWidth});
      add(expert + "w3.weight", {kFfn, kWidth});
      add(expert + "w2.weight", {kWidth, kFfn});
    }
  }
  const std::string path = directory + "/model.safetensors", text = header.dump();
  WriteTestFile(path, nashswarm::testing::SafetensorsImage(text, ""));
  std::filesystem::resize_file(path, 8 + text.size() + offset);
}

// Of this process, so that others on the machine do not count.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Slowness() {
  const char* slowness = std::getenv("NASHSWARM_TEST_SLOWNESS");
  return slowness == nullptr ? 1 : std::atof(slowness);
}

TEST_P(KindTest, TwentyThousandTensorsPrepareInASecond) {
  const auto dir = MakeTemporaryDirectory();
  const std::string model = dir.path() + "/model";
  WriteManyTensors(model);
  RecordingObserver observer;
  Task task{model, dir.path(), dir.path(), BitsPerWeight(8), 0, 1, "00", &observer};
  task.spec.format = GetParam();
  task.spec.rules = {{"blk\\.0\\.ffn_gate_exps\\.weight", "F16"}, {"model\\.layers\\.1\\..*experts.*w2\\.weight", "keep"}};
  double before = CpuSeconds();
  const auto prepared = Prepare(task);
  const double preparing = CpuSeconds() - before;
  NS_ASSERT_OK(prepared.status());
  ASSERT_GT(prepared->at("tensors").get<size_t>(), 20000u);
  EXPECT_LT(preparing, 1.0 * Slowness());

  before = CpuSeconds();
  const auto in = StageInputs::Open(task);
  NS_ASSERT_OK(in.status());
  const size_t tensors = in->prepared.tensors.size();
  const ExpertLayout layout(in->open.model, in->prepared, OriginalOrders(in->open.model));
  EXPECT_EQ(layout.DataOf(tensors - 1), tensors - 1);
  EXPECT_GT(CoordinatesOf(in->prepared, in->open.model, std::vector<bool>(tensors, true)).count, 4u);
  EXPECT_TRUE(NeedsOf(*in->kind, in->open, in->prepared, task).has_value());
  EXPECT_NE(in->kind->MakeTrials(*in), nullptr);
  EXPECT_LT(CpuSeconds() - before, 1.0 * Slowness()) << "what later stages begin with";
}

}  // namespace
}  // namespace nashswarm::pipeline
