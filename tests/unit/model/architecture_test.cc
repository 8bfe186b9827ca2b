#include "core/model/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::model {
namespace {

using checkpoint::Checkpoint;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::testing::HasSubstr;

struct Mapped {
  TemporaryDirectory dir = MakeTemporaryDirectory();
  std::unique_ptr<Checkpoint> checkpoint;
  absl::StatusOr<Model> model = absl::InternalError("not mapped");

  explicit Mapped(const TinyCheckpoint& tiny) {
    tiny.Write(dir.path());
    auto opened = Checkpoint::Open(dir.path());
    if (!opened.ok()) {
      model = opened.status();
      return;
    }
    checkpoint = *std::move(opened);
    model = MapModel(*checkpoint);
  }
  const MappedTensor& Find(const std::string& name) const {
    const auto it = std::find_if(model->tensors.begin(), model->tensors.end(), [&](auto& t) { return t.name == name; });
    if (it == model->tensors.end()) ADD_FAILURE() << "no tensor " << name;
    return *it;
  }
  bool Has(const std::string& name) const {
    return std::any_of(model->tensors.begin(), model->tensors.end(), [&](auto& t) { return t.name == name; });
  }
  std::vector<float> Read(const std::string& name, uint64_t first, uint64_t count) const {
    const MappedTensor& tensor = Find(name);
    std::vector<float> out(count * tensor.row_weights);
    ReadRows(tensor, first, count, out.data());
    return out;
  }
};

uint64_t CountOf(const Model& model, const std::string& key) {
  for (const auto& entry : model.hyperparameters) {
    if (entry.key == key) return std::get<uint64_t>(entry.value.data);
  }
  ADD_FAILURE() << "no key " << key;
  return 0;
}

TEST(ArchitectureTest, Gpt2RowsAreTransposed) {
  const TinyCheckpoint tiny = TinyGpt2();
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(mapped.model->architecture, "gpt2");
  const MappedTensor& tensor = mapped.Find("blk.1.attn_qkv.weight");
  EXPECT_EQ(tensor.rows, 192u);
  EXPECT_EQ(tensor.row_weights, 64u);
  const auto& source = tiny.tensors.at("h.1.attn.c_attn.weight").values;  // [64, 192]
  for (const uint64_t first : {0u, 7u, 150u}) {
    const std::vector<float> rows = mapped.Read("blk.1.attn_qkv.weight", first, 40);
    for (uint64_t r = 0; r < 40; ++r) {
      for (uint64_t c = 0; c < 64; ++c) ASSERT_EQ(rows[r * 64 + c], source[c * 192 + first + r]);
    }
  }
}

TEST(ArchitectureTest, Gpt2TiedHeadCountsOnce) {
  TinyCheckpoint tiny = TinyGpt2();
  uint64_t expected = 0;
  for (const auto& [name, tensor] : tiny.tensors) expected += tensor.values.size();
  tiny.tensors["lm_head.weight"] = tiny.tensors["wte.weight"];
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(mapped.model->parameters, expected);
  EXPECT_FALSE(mapped.Has("output.weight"));
}

TEST(ArchitectureTest, Gpt2WithPrefixAndMaskBuffers) {
  TinyCheckpoint tiny = TinyGpt2(), prefixed;
  prefixed.config = tiny.config;
  for (auto& [name, tensor] : tiny.tensors) prefixed.tensors["transformer." + name] = tensor;
  prefixed.Add("transformer.h.0.attn.bias", {1, 1, 32, 32});
  prefixed.Add("transformer.h.0.attn.masked_bias", {1});
  NS_EXPECT_OK(Mapped(prefixed).model.status());
}

// Within a head of width 16, llama.cpp wants the rotary partners (i, i + 8) at (2i, 2i + 1).
TEST(ArchitectureTest, LlamaPairsTheRowsOfQueryAndKeyHeads) {
  const TinyCheckpoint tiny = TinyLlama("llama", true);
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  for (const auto& [stored, source_name, rows] :
       {std::tuple{"blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", 64},
        std::tuple{"blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", 32}}) {
    const auto& source = tiny.tensors.at(source_name).values;
    const std::vector<float> out = mapped.Read(stored, 0, rows);
    for (int head = 0; head < rows / 16; ++head) {
      for (int i = 0; i < 8; ++i) {
        for (int c = 0; c < 64; ++c) {
          ASSERT_EQ(out[(head * 16 + 2 * i) * 64 + c], source[(head * 16 + i) * 64 + c]);
          ASSERT_EQ(out[(head * 16 + 2 * i + 1) * 64 + c], source[(head * 16 + i + 8) * 64 + c]);
        }
      }
    }
  }
  EXPECT_EQ(mapped.Read("blk.0.attn_v.weight", 0, 32), tiny.tensors.at("model.layers.0.self_attn.v_proj.weight").values);
}

TEST(ArchitectureTest, QwenKeepsRowsAndHasBiases) {
  const TinyCheckpoint tiny = TinyLlama("qwen2", false);
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(mapped.model->architecture, "qwen2");
  EXPECT_EQ(mapped.Read("blk.0.attn_q.weight", 0, 64), tiny.tensors.at("model.layers.0.self_attn.q_proj.weight").values);
  EXPECT_TRUE(mapped.Find("blk.1.attn_k.bias").vector);
  EXPECT_TRUE(mapped.Has("output.weight"));
}

TEST(ArchitectureTest, LlamaBiasesArePairedAsTheirRowsAre) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["attention_bias"] = true;
  tiny.Add("model.layers.0.self_attn.q_proj.bias", {64});
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  const auto& source = tiny.tensors.at("model.layers.0.self_attn.q_proj.bias").values;
  const std::vector<float> out = mapped.Read("blk.0.attn_q.bias", 0, 64);
  ASSERT_EQ(out.size(), 64u);
  EXPECT_EQ(out[16 + 2], source[16 + 1]);
  EXPECT_EQ(out[16 + 3], source[16 + 9]);
}

TEST(ArchitectureTest, MistralIsLlamaToGguf) {
  const Mapped mapped(TinyLlama("mistral", false));
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(mapped.model->architecture, "llama");
}

TEST(ArchitectureTest, SlidingWindowIsMentioned) {
  TinyCheckpoint tiny = TinyLlama("mistral", false);
  tiny.config["sliding_window"] = 4096;
  EXPECT_FALSE(Mapped(tiny).model->warnings.empty());
  tiny.config["sliding_window"] = nullptr;
  EXPECT_TRUE(Mapped(tiny).model->warnings.empty());
  TinyCheckpoint qwen = TinyLlama("qwen2", true);  // names a window, uses none
  qwen.config["sliding_window"] = 4096;
  qwen.config["use_sliding_window"] = false;
  EXPECT_TRUE(Mapped(qwen).model->warnings.empty());
}

TEST(ArchitectureTest, TiedWeightMayBeStoredAsTheHeadAlone) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.tensors["lm_head.weight"] = tiny.tensors["model.embed_tokens.weight"];
  tiny.tensors.erase("model.embed_tokens.weight");
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(mapped.Find("token_embd.weight").source->name, "lm_head.weight");
  EXPECT_FALSE(mapped.Has("output.weight"));
}

TEST(ArchitectureTest, TiedWeightStoredTwiceCountsOnce) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  const uint64_t once = Mapped(tiny).model->parameters;
  tiny.tensors["lm_head.weight"] = tiny.tensors["model.embed_tokens.weight"];
  const Mapped same(tiny);
  NS_ASSERT_OK(same.model.status());
  EXPECT_EQ(same.model->parameters, once);
  EXPECT_TRUE(same.model->warnings.empty());
  tiny.tensors["lm_head.weight"].values[0] += 1;
  EXPECT_FALSE(Mapped(tiny).model->warnings.empty());  // they differ: said aloud
}

TEST(ArchitectureTest, NarrowFeedForwardIsPaddedWithZeros) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["intermediate_size"] = 70;
  for (int l = 0; l < 2; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".mlp.";
    tiny.Add(layer + "gate_proj.weight", {70, 64});
    tiny.Add(layer + "up_proj.weight", {70, 64});
    tiny.Add(layer + "down_proj.weight", {64, 70});
  }
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  EXPECT_EQ(CountOf(*mapped.model, "llama.feed_forward_length"), 96u);
  EXPECT_FALSE(mapped.model->warnings.empty());
  const std::vector<float> up = mapped.Read("blk.0.ffn_up.weight", 60, 36), down = mapped.Read("blk.0.ffn_down.weight", 3, 2);
  const auto& source_up = tiny.tensors.at("model.layers.0.mlp.up_proj.weight").values;
  const auto& source_down = tiny.tensors.at("model.layers.0.mlp.down_proj.weight").values;
  EXPECT_EQ(up[0], source_up[60 * 64]);
  EXPECT_EQ(up[9 * 64 + 63], source_up[69 * 64 + 63]);
  EXPECT_TRUE(std::all_of(up.begin() + 10 * 64, up.end(), [](float v) { return v == 0; }));
  EXPECT_EQ(down[96 + 69], source_down[4 * 70 + 69]);
  EXPECT_EQ(down[70], 0);
  EXPECT_EQ(down[95], 0);
}

TEST(ArchitectureTest, Llama3ScalingBecomesFactors) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["rope_theta"] = 500000.0;
  tiny.config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0},
                                 {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  const Mapped mapped(tiny);
  NS_ASSERT_OK(mapped.model.status());
  const std::vector<float> factors = mapped.Read("rope_freqs.weight", 0, 1);
  ASSERT_EQ(factors.size(), 8u);
  EXPECT_EQ(factors.front(), 1.0f);  // the fastest rotation is kept
  EXPECT_EQ(factors.back(), 8.0f);   // the slowest is divided by the factor
  EXPECT_TRUE(std::is_sorted(factors.begin(), factors.end()));
}

TEST(ArchitectureTest, UnknownArchitectureListsTheKnown) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["model_type"] = "bloom";
  const Mapped mapped(tiny);
  EXPECT_EQ(ReasonOf(mapped.model.status()), "ARCHITECTURE_UNKNOWN");
  EXPECT_THAT(std::string(mapped.model.status().message()), HasSubstr("bloom"));
  EXPECT_THAT(HintOf(mapped.model.status()), HasSubstr("gpt2, llama, mistral, qwen2, qwen3, gemma3_text"));
}

TEST(ArchitectureTest, WhatIsWrongIsNamed) {
  const auto reason_after = [](auto change) {
    TinyCheckpoint tiny = TinyLlama("llama", false);
    change(tiny);
    return ReasonOf(Mapped(tiny).model.status());
  };
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.tensors.erase("model.layers.1.mlp.up_proj.weight"); }), "MODEL_TENSOR_MISSING");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.Add("model.layers.0.mlp.up_proj.weight", {96, 63}); }), "MODEL_TENSOR_SHAPE");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.Add("adapter.weight", {3}); }), "MODEL_TENSOR_UNKNOWN");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.config.erase("hidden_size"); }), "CONFIG_INVALID");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.config["num_hidden_layers"] = -1; }), "CONFIG_INVALID");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.config["num_attention_heads"] = "four"; }), "CONFIG_INVALID");
  EXPECT_EQ(reason_after([](TinyCheckpoint& t) { t.config["hidden_act"] = "relu"; }), "CONFIG_INVALID");
}

TEST(ArchitectureTest, EveryWeightTypeReadsTheSame) {
  TinyCheckpoint tiny = TinyGpt2();
  for (auto& [name, tensor] : tiny.tensors) {
    for (float& v : tensor.values) v = std::round(v * 64) / 64;  // exact in F16, BF16 and F64 too
  }
  const std::vector<float> expected = Mapped(tiny).Read("blk.0.ffn_up.weight", 0, 256);
  for (const auto dtype : {checkpoint::DType::kF16, checkpoint::DType::kBF16, checkpoint::DType::kF64}) {
    tiny.dtype = dtype;
    EXPECT_EQ(Mapped(tiny).Read("blk.0.ffn_up.weight", 0, 256), expected);
  }
}

}  // namespace
}  // namespace nashswarm::model
