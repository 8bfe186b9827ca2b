// The types of llama.cpp's presets, against what its quantizer says of well-known models ("llama_model_loader: - type q4_K: 193
// tensors") and against the sizes of its files.
#include "core/pipeline/llama_preset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/base/file.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::TestData;
using model::MappedTensor;
using model::Role;
using quant::Format;
using Counts = std::map<Format, int>;

void Add(model::Model* model, std::string name, Role role, int layer, uint64_t rows, uint64_t width, int expert = -1) {
  MappedTensor tensor;
  tensor.name = std::move(name);
  tensor.role = role;
  tensor.layer = layer;
  tensor.expert = expert;
  tensor.rows = rows;
  tensor.row_weights = width;
  tensor.vector = role == Role::kNorm;
  model->tensors.push_back(tensor);
}

model::Model Llama(int layers, uint64_t width, uint64_t key_rows, uint64_t ffn, int experts = 0) {
  model::Model model;
  model.architecture = "llama";
  Add(&model, "token_embd.weight", Role::kTokenEmbedding, -1, 32000, width);
  for (int l = 0; l < layers; ++l) {
    const std::string blk = "blk." + std::to_string(l) + ".";
    Add(&model, blk + "attn_norm.weight", Role::kNorm, l, 1, width);
    Add(&model, blk + "attn_q.weight", Role::kQuery, l, width, width);
    Add(&model, blk + "attn_k.weight", Role::kKey, l, key_rows, width);
    Add(&model, blk + "attn_v.weight", Role::kValue, l, key_rows, width);
    Add(&model, blk + "attn_output.weight", Role::kAttentionOutput, l, width, width);
    Add(&model, blk + "ffn_norm.weight", Role::kNorm, l, 1, width);
    if (experts > 0) Add(&model, blk + "ffn_gate_inp.weight", Role::kRouter, l, experts, width);
    for (int e = 0; e < std::max(1, experts); ++e) {
      const std::string of = experts > 0 ? "." + std::to_string(e) : "";
      Add(&model, blk + "ffn_gate" + of + ".weight", Role::kFfnGate, l, ffn, width, experts > 0 ? e : -1);
      Add(&model, blk + "ffn_up" + of + ".weight", Role::kFfnUp, l, ffn, width, experts > 0 ? e : -1);
      Add(&model, blk + "ffn_down" + of + ".weight", Role::kFfnDown, l, width, ffn, experts > 0 ? e : -1);
    }
  }
  Add(&model, "output_norm.weight", Role::kNorm, -1, 1, width);
  Add(&model, "output.weight", Role::kOutput, -1, 32000, width);
  return model;
}

Counts CountsOf(const model::Model& model, const std::string& name) {
  for (const LlamaPreset& preset : LlamaPresets(model, 0)) {
    if (preset.name != name) continue;
    Counts counts;
    for (const Format format : preset.formats) ++counts[format];
    return counts;
  }
  return {};
}

TEST(LlamaPresetTest, TypesOfALlama7B) {
  const model::Model llama = Llama(32, 4096, 4096, 11008);
  EXPECT_EQ(CountsOf(llama, "Q2_K"), (Counts{{Format::kF32, 65}, {Format::kQ2_K, 129}, {Format::kQ3_K, 96}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(CountsOf(llama, "Q3_K_S"), (Counts{{Format::kF32, 65}, {Format::kQ3_K, 225}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(CountsOf(llama, "Q3_K_M"),
            (Counts{{Format::kF32, 65}, {Format::kQ3_K, 129}, {Format::kQ4_K, 92}, {Format::kQ5_K, 4}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(CountsOf(llama, "Q3_K_L"), (Counts{{Format::kF32, 65}, {Format::kQ3_K, 129}, {Format::kQ5_K, 96}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(CountsOf(llama, "Q4_K_S"), (Counts{{Format::kF32, 65}, {Format::kQ4_K, 217}, {Format::kQ5_K, 8}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(CountsOf(llama, "Q4_K_M"), (Counts{{Format::kF32, 65}, {Format::kQ4_K, 193}, {Format::kQ6_K, 33}}));
  EXPECT_EQ(CountsOf(llama, "Q5_K_M"), (Counts{{Format::kF32, 65}, {Format::kQ5_K, 193}, {Format::kQ6_K, 33}}));
  EXPECT_EQ(CountsOf(llama, "Q6_K"), (Counts{{Format::kF32, 65}, {Format::kQ6_K, 226}}));
  EXPECT_EQ(CountsOf(llama, "Q8_0"), (Counts{{Format::kF32, 65}, {Format::kQ8_0, 226}}));
}

TEST(LlamaPresetTest, GroupedHeadsAndExpertsKeepMoreOfTheirValues) {
  // Mistral 7B: four queries a key.
  EXPECT_EQ(CountsOf(Llama(32, 4096, 1024, 14336), "Q2_K"),
            (Counts{{Format::kF32, 65}, {Format::kQ2_K, 129}, {Format::kQ3_K, 64}, {Format::kQ4_K, 32}, {Format::kQ6_K, 1}}));
  // Eight experts: keys and values are few and get 8 bits, attention's outputs 5.
  const Counts mixtral = CountsOf(Llama(32, 4096, 1024, 14336, 8), "Q4_K_M");
  EXPECT_EQ(mixtral.at(Format::kQ8_0), 64);
  EXPECT_EQ(mixtral.at(Format::kQ5_K), 32);
  EXPECT_EQ(mixtral.at(Format::kF32), 97);  // routers too
}

TEST(LlamaPresetTest, RowsThatDoNotDivideBy256FallBack) {
  const model::Model narrow = Llama(4, 576, 192, 1536);  // SmolLM2's rows; those of ffn_down divide
  const Counts counts = CountsOf(narrow, "Q3_K_M");
  EXPECT_EQ(counts.at(Format::kIQ4_NL), 17);  // q, k, gate, up and the embedding
  EXPECT_EQ(counts.at(Format::kQ5_1), 2);     // two v that want Q5_K
  EXPECT_EQ(counts.at(Format::kQ5_0), 6);     // v and outputs that want Q4_K
  EXPECT_EQ(counts.at(Format::kQ8_0), 1);     // the head
  EXPECT_EQ(counts.at(Format::kQ4_K), 4);
}

// Files that llama-quantize made of the bundled checkpoint (docs/benchmarks.md): they differ from one another by their tensors alone.
TEST(LlamaPresetTest, SizesAreThoseOfItsFiles) {
  const absl::StatusOr<OpenModel> open = OpenAndMap(TestData("gpt2-wiki-6m"));
  NS_ASSERT_OK(open.status());
  const std::map<std::string, uint64_t> files = {{"Q2_K", 3071936},   {"Q3_K_S", 3231680}, {"Q3_K_M", 3698624},
                                                 {"Q4_K_S", 3956672}, {"Q4_K_M", 4094912}, {"Q5_K_M", 4570048}};
  const std::vector<LlamaPreset> presets = LlamaPresets(*open);
  const int64_t header = static_cast<int64_t>(files.at("Q2_K")) - static_cast<int64_t>(presets[0].bytes);
  // Other names and metadata; and what was quantized there had the position embedding in 16 bits, where its converter writes 32.
  EXPECT_LT(std::abs(header + 256 * 256 * 2), 4096);
  int compared = 0;
  for (const LlamaPreset& preset : presets) {
    const auto file = files.find(preset.name);
    if (file == files.end()) continue;
    EXPECT_EQ(static_cast<int64_t>(preset.bytes) + header, static_cast<int64_t>(file->second)) << preset.name;
    ++compared;
  }
  EXPECT_EQ(compared, 6);
  EXPECT_EQ(NearestPreset(presets, 3'600'000).name, "Q3_K_M");
  EXPECT_EQ(NearestPreset(presets, 1).name, "Q2_K");
  EXPECT_EQ(NearestPreset(presets, 1'000'000'000).name, "Q8_0");
}

}  // namespace
}  // namespace nashswarm::pipeline
