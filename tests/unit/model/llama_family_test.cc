// In what the members of the LLaMA family differ: norms, rotary embeddings and sliding windows, as GGUF keeps them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::model {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyLlama;
using ::testing::ElementsAre;

struct Mapped {
  explicit Mapped(const TinyCheckpoint& tiny) {
    tiny.Write(dir.path());
    checkpoint = *checkpoint::Checkpoint::Open(dir.path());
    model = MapModel(*checkpoint);
    EXPECT_TRUE(model.ok()) << model.status();
  }
  const MappedTensor* Find(const std::string& name) const {
    const auto it = std::find_if(model->tensors.begin(), model->tensors.end(), [&](auto& t) { return t.name == name; });
    return it == model->tensors.end() ? nullptr : &*it;
  }
  std::vector<float> Read(const std::string& name) const {
    const MappedTensor* tensor = Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::vector<float> out(tensor->weights());
    ReadRows(*tensor, 0, tensor->rows, out.data());
    return out;
  }
  const checkpoint::GgufValue* Key(const std::string& key) const {
    for (const auto& entry : model->hyperparameters) {
      if (entry.key == model->architecture + "." + key) return &entry.value;
    }
    return nullptr;
  }
  double Real(const std::string& key) const { return Key(key) == nullptr ? NAN : std::get<double>(Key(key)->data); }
  uint64_t Count(const std::string& key) const { return Key(key) == nullptr ? 0 : std::get<uint64_t>(Key(key)->data); }

  TemporaryDirectory dir = MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  absl::StatusOr<Model> model = absl::InternalError("not mapped");
};

absl::Status StatusOf(const TinyCheckpoint& tiny) {
  const TemporaryDirectory dir = MakeTemporaryDirectory();
  tiny.Write(dir.path());
  return MapModel(**checkpoint::Checkpoint::Open(dir.path())).status();
}

TEST(LlamaFamilyTest, Qwen3NormsItsHeads) {
  TinyCheckpoint tiny = TinyLlama("qwen3", true);
  tiny.config["head_dim"] = 16;
  const Mapped mapped(tiny);
  EXPECT_EQ(mapped.model->architecture, "qwen3");
  EXPECT_EQ(mapped.Count("attention.key_length"), 16u);
  EXPECT_EQ(mapped.Read("blk.1.attn_q_norm.weight"), tiny.tensors.at("model.layers.1.self_attn.q_norm.weight").values);
  EXPECT_EQ(mapped.Read("blk.0.attn_k_norm.weight"), tiny.tensors.at("model.layers.0.self_attn.k_norm.weight").values);
  EXPECT_TRUE(mapped.Find("blk.0.attn_q_norm.weight")->vector);
  // Halves are rotated, so rows stay as they are.
  EXPECT_EQ(mapped.Read("blk.0.attn_q.weight"), tiny.tensors.at("model.layers.0.self_attn.q_proj.weight").values);
  tiny.tensors.erase("model.layers.1.self_attn.k_norm.weight");
  EXPECT_EQ(ReasonOf(StatusOf(tiny)), "MODEL_TENSOR_MISSING");
}

TEST(LlamaFamilyTest, LlamaHasNoHeadNorms) {
  TinyCheckpoint tiny = TinyLlama("qwen3", true);
  tiny.config["model_type"] = "llama";
  EXPECT_EQ(ReasonOf(StatusOf(tiny)), "MODEL_TENSOR_UNKNOWN");
}

TEST(LlamaFamilyTest, GemmasNormsAreStoredPlusOne) {
  const TinyCheckpoint tiny = TinyLlama("gemma3_text", true);
  const Mapped mapped(tiny);
  EXPECT_EQ(mapped.model->architecture, "gemma3");
  for (const auto& [stored, source] : {std::pair{"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
                                       {"blk.1.post_attention_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
                                       {"blk.1.ffn_norm.weight", "model.layers.1.pre_feedforward_layernorm.weight"},
                                       {"blk.0.post_ffw_norm.weight", "model.layers.0.post_feedforward_layernorm.weight"},
                                       {"blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight"},
                                       {"blk.1.attn_k_norm.weight", "model.layers.1.self_attn.k_norm.weight"},
                                       {"output_norm.weight", "model.norm.weight"}}) {
    std::vector<float> expected = tiny.tensors.at(source).values;
    for (float& weight : expected) weight += 1;
    EXPECT_EQ(mapped.Read(stored), expected) << stored;
  }
  EXPECT_EQ(mapped.Read("blk.0.attn_q.weight"), tiny.tensors.at("model.layers.0.self_attn.q_proj.weight").values);
}

TEST(LlamaFamilyTest, GemmaIsTiedUnlessToldOtherwise) {
  TinyCheckpoint tiny = TinyLlama("gemma3_text", true);
  tiny.config.erase("tie_word_embeddings");
  tiny.tensors["lm_head.weight"] = tiny.tensors["model.embed_tokens.weight"];
  EXPECT_EQ(Mapped(tiny).Find("output.weight"), nullptr);
}

TEST(LlamaFamilyTest, GemmasTwoKindsOfLayers) {
  TinyCheckpoint tiny = TinyLlama("gemma3_text", true);
  tiny.config["rope_theta"] = 1e6;
  tiny.config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  tiny.config["sliding_window_pattern"] = 2;
  const Mapped old(tiny);
  tiny.config.erase("rope_theta");
  tiny.config.erase("rope_scaling");
  tiny.config.erase("sliding_window_pattern");
  tiny.config.erase("rope_local_base_freq");
  tiny.config["layer_types"] = {"sliding_attention", "full_attention"};
  tiny.config["rope_parameters"] = {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}}},
                                    {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  const Mapped since(tiny);
  for (const Mapped* mapped : {&old, &since}) {
    EXPECT_EQ(mapped->Real("rope.freq_base"), 1e6);
    EXPECT_EQ(mapped->Real("rope.freq_base_swa"), 1e4);
    EXPECT_EQ(mapped->Real("rope.scaling.factor"), 8);
    EXPECT_EQ(mapped->Count("attention.sliding_window"), 8u);
    EXPECT_EQ(mapped->Count("attention.sliding_window_pattern"), 2u);
    EXPECT_EQ(mapped->Key("attention.scale"), nullptr);
    EXPECT_TRUE(mapped->model->warnings.empty());
  }
}

TEST(LlamaFamilyTest, GemmasOtherScale) {
  TinyCheckpoint tiny = TinyLlama("gemma3_text", true);
  tiny.config["query_pre_attn_scalar"] = 64;
  EXPECT_EQ(Mapped(tiny).Real("attention.scale"), 0.125);
  EXPECT_FALSE(Mapped(tiny).model->warnings.empty());
}

TEST(LlamaFamilyTest, SlidingWindows) {
  TinyCheckpoint tiny = TinyLlama("mistral", false);
  tiny.config["sliding_window"] = 4096;
  EXPECT_EQ(Mapped(tiny).Count("attention.sliding_window"), 4096u);
  EXPECT_EQ(Mapped(tiny).Key("attention.sliding_window_pattern"), nullptr);
  tiny.config["sliding_window"] = nullptr;
  EXPECT_EQ(Mapped(tiny).Key("attention.sliding_window"), nullptr);
  TinyCheckpoint llama = TinyLlama("llama", false);
  llama.config["sliding_window"] = 4096;  // not llama's
  EXPECT_EQ(Mapped(llama).Key("attention.sliding_window"), nullptr);

  TinyCheckpoint qwen = TinyLlama("qwen2", true);
  qwen.config["sliding_window"] = 4096;
  EXPECT_EQ(Mapped(qwen).Key("attention.sliding_window"), nullptr);
  qwen.config["use_sliding_window"] = true;
  qwen.config["max_window_layers"] = 2;  // of two layers: none is left
  EXPECT_EQ(Mapped(qwen).Key("attention.sliding_window"), nullptr);
  qwen.config["max_window_layers"] = 1;
  const Mapped mapped(qwen);
  EXPECT_EQ(mapped.Count("attention.sliding_window"), 4096u);
  ASSERT_NE(mapped.Key("attention.sliding_window_pattern"), nullptr);
  EXPECT_THAT(std::get<std::vector<bool>>(mapped.Key("attention.sliding_window_pattern")->data), ElementsAre(false, true));
  EXPECT_FALSE(mapped.model->warnings.empty());
  qwen.config["layer_types"] = {"full_attention"};
  EXPECT_EQ(ReasonOf(StatusOf(qwen)), "CONFIG_INVALID");
  qwen.config["layer_types"] = {"full_attention", "linear_attention"};
  EXPECT_EQ(ReasonOf(StatusOf(qwen)), "CONFIG_INVALID");
}

// Regression: since version 5 of transformers the base lies in rope_parameters, and was taken for 10000.
TEST(LlamaFamilyTest, RopeParametersAreReadInBothStyles) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["rope_theta"] = 500000.0;
  tiny.config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  const Mapped old(tiny);
  tiny.config.erase("rope_theta");
  tiny.config.erase("rope_scaling");
  tiny.config["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "linear"}, {"factor", 2.0}};
  const Mapped since(tiny);
  for (const Mapped* mapped : {&old, &since}) {
    EXPECT_EQ(mapped->Real("rope.freq_base"), 500000.0);
    EXPECT_EQ(std::get<std::string>(mapped->Key("rope.scaling.type")->data), "linear");
    EXPECT_EQ(mapped->Real("rope.scaling.factor"), 2.0);
  }
}

TEST(LlamaFamilyTest, Yarn) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 8}};
  const Mapped plain(tiny);
  EXPECT_EQ(plain.Count("rope.scaling.original_context_length"), 8u);
  EXPECT_EQ(plain.Key("rope.scaling.attn_factor"), nullptr);
  EXPECT_EQ(plain.Key("rope.scaling.yarn_beta_fast"), nullptr);
  tiny.config["rope_scaling"].update({{"attention_factor", 1.5}, {"beta_fast", 16.0}, {"beta_slow", 2.0}});
  const Mapped own(tiny);
  EXPECT_NEAR(own.Real("rope.scaling.attn_factor"), 1.5 / (0.1 * std::log(4.0) + 1), 1e-6);
  EXPECT_EQ(own.Real("rope.scaling.yarn_beta_fast"), 16);
  EXPECT_EQ(own.Real("rope.scaling.yarn_beta_slow"), 2);
}

TEST(LlamaFamilyTest, ChoicesGgufDoesNotHaveAreRefused) {
  const auto reason_with = [](const char* type, const char* key, const Json& value) {
    TinyCheckpoint tiny = TinyLlama(type, true);
    tiny.config[key] = value;
    return ReasonOf(StatusOf(tiny));
  };
  EXPECT_EQ(reason_with("gemma3_text", "hidden_activation", "relu"), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("gemma3_text", "final_logit_softcapping", 30.0), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("gemma3_text", "use_bidirectional_attention", true), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("gemma3_text", "sliding_window", nullptr), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("llama", "rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("llama", "rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("llama", "rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}, {"truncate", false}}), "CONFIG_INVALID");
  EXPECT_EQ(reason_with("llama", "head_dim", 15), "CONFIG_INVALID");
}

TEST(LlamaFamilyTest, ArceesFeedForwardPartHasNoGate) {
  TinyCheckpoint tiny = TinyLlama("llama", false);
  tiny.config["model_type"] = "arcee";
  tiny.config["hidden_act"] = "relu2";
  tiny.config["mlp_bias"] = true;
  EXPECT_EQ(ReasonOf(StatusOf(tiny)), "MODEL_TENSOR_UNKNOWN");  // gates would be lost
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
    tiny.tensors.erase(std::string(layer) + "mlp.gate_proj.weight");
    tiny.Add(std::string(layer) + "mlp.up_proj.bias", {96});
  }
  const Mapped mapped(tiny);
  ASSERT_TRUE(mapped.model.ok());
  EXPECT_EQ(mapped.model->architecture, "arcee");
  EXPECT_EQ(mapped.Find("blk.0.ffn_gate.weight"), nullptr);
  EXPECT_EQ(mapped.Read("blk.1.ffn_up.weight"), tiny.tensors.at("model.layers.1.mlp.up_proj.weight").values);
  EXPECT_EQ(mapped.Read("blk.1.ffn_up.bias"), tiny.tensors.at("model.layers.1.mlp.up_proj.bias").values);
  EXPECT_EQ(mapped.Find("blk.0.attn_q.weight")->layout, Layout::kHeadPairs);
  tiny.config["hidden_act"] = "silu";
  EXPECT_EQ(ReasonOf(StatusOf(tiny)), "CONFIG_INVALID");
}

TEST(LlamaFamilyTest, SmolLm3LeavesEveryFourthLayerUnrotatedAndNoOther) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["model_type"] = "smollm3";
  tiny.config.erase("rope_theta");
  tiny.config.erase("tie_word_embeddings");
  const Mapped mapped(tiny);
  ASSERT_TRUE(mapped.model.ok());
  EXPECT_EQ(mapped.model->architecture, "smollm3");
  EXPECT_EQ(mapped.Real("rope.freq_base"), 2e6);
  EXPECT_EQ(mapped.Find("output.weight"), nullptr);
  tiny.config["no_rope_layers"] = {1, 1};  // 1: rotated
  NS_EXPECT_OK(StatusOf(tiny));
  tiny.config["no_rope_layers"] = nullptr;
  tiny.config["no_rope_layer_interval"] = 4;
  NS_EXPECT_OK(StatusOf(tiny));
  tiny.config["use_sliding_window"] = false;
  tiny.config["sliding_window"] = 16;
  NS_EXPECT_OK(StatusOf(tiny));
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"no_rope_layers", {1, 0}}, {"no_rope_layers", {1}}, {"no_rope_layer_interval", 2}, {"use_sliding_window", true}}) {
    TinyCheckpoint other = tiny;
    other.config[key] = value;
    EXPECT_EQ(ReasonOf(StatusOf(other)), "CONFIG_INVALID") << key;
  }
}

}  // namespace
}  // namespace nashswarm::model
