// Small random models in memory, of every architecture the forward pass knows.
#ifndef NASHSWARM_TESTS_UNIT_FORWARD_MEMORY_WEIGHTS_H_
#define NASHSWARM_TESTS_UNIT_FORWARD_MEMORY_WEIGHTS_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

class MemoryWeights : public Weights {
 public:
  struct Tensor {
    WeightShape shape;
    std::vector<float> values;
  };

  const std::string& name() const override { return name_; }
  const std::string& architecture() const override { return arch; }
  const checkpoint::GgufValue* Hyperparameter(std::string_view key) const override {
    const auto it = hyperparameters.find(std::string(key));
    return it == hyperparameters.end() ? nullptr : &it->second;
  }
  const WeightShape* Find(std::string_view tensor) const override {
    const auto it = tensors.find(std::string(tensor));
    return it == tensors.end() ? nullptr : &it->second.shape;
  }
  absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const override {
    const auto it = tensors.find(std::string(tensor));
    if (it == tensors.end()) return absl::NotFoundError(tensor.data());
    ++reads;
    const Tensor& found = it->second;
    std::copy_n(found.values.begin() + first * found.shape.row_weights, count * found.shape.row_weights, out);
    return absl::OkStatus();
  }

  // Random values of the given spread around `mean`, fixed by the tensor's name.
  void Add(const std::string& tensor, uint64_t rows, uint64_t row_weights, float mean, float spread) {
    std::seed_seq seed(tensor.begin(), tensor.end());
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(mean, spread);
    Tensor& made = tensors[tensor];
    made.shape = {rows, row_weights};
    made.values.resize(rows * row_weights);
    for (float& value : made.values) value = normal(random);
  }
  void Count(const std::string& key, uint32_t value) { hyperparameters[key] = checkpoint::GgufValue::U32(value); }
  void Real(const std::string& key, float value) { hyperparameters[key] = checkpoint::GgufValue::F32(value); }

  // An architecture that there is not, with layers like these.
  const model::Design* design() const override { return made_up != nullptr ? made_up : Weights::design(); }

  std::string arch;
  const model::Design* made_up = nullptr;
  bool parallel = false;  // says the reference what the made-up design says
  std::map<std::string, checkpoint::GgufValue> hyperparameters;
  std::map<std::string, Tensor> tensors;
  mutable std::atomic<int> reads{0};

 private:
  std::string name_ = "memory";
};

struct TinyOptions {
  uint32_t layers = 2, width = 48, heads = 4, kv_heads = 2, head_width = 16, ffn = 80, vocabulary = 97, context = 600;
  bool biases = false, tied = false;
  uint32_t experts = 0, experts_used = 2, expert_ffn = 22;  // experts of "llama"; the architectures of experts have 5
};

// Weights are large enough that every part of the model shows in the logits.
inline std::shared_ptr<MemoryWeights> TinyModel(const std::string& architecture, TinyOptions o = {}) {
  auto w = std::make_shared<MemoryWeights>();
  w->arch = architecture;
  const bool gpt2 = architecture == "gpt2", gemma = architecture == "gemma3", gated = !gpt2 && architecture != "arcee";
  if (gpt2) {
    o.kv_heads = o.heads;
    o.head_width = o.width / o.heads;
  }
  const bool olmoe = architecture == "olmoe";
  if (olmoe || architecture == "qwen2moe" || architecture == "qwen3moe") o.experts = 5;
  if (o.experts > 0) {
    w->Count("expert_count", o.experts);
    w->Count("expert_used_count", o.experts_used);
    if (architecture == "llama" || olmoe) o.expert_ffn = o.ffn;
    else w->Count("expert_feed_forward_length", o.expert_ffn);
    if (architecture == "qwen2moe") w->Count("expert_shared_feed_forward_length", o.ffn);
  }
  w->Count("block_count", o.layers);
  w->Count("context_length", o.context);
  w->Count("embedding_length", o.width);
  w->Count("feed_forward_length", o.ffn);
  w->Count("attention.head_count", o.heads);
  w->Real(gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 0.01f);
  if (!gpt2) {
    w->Count("attention.head_count_kv", o.kv_heads);
    w->Count("attention.key_length", o.head_width);
    w->Count("attention.value_length", o.head_width);
    w->Count("rope.dimension_count", o.head_width);
    w->Real("rope.freq_base", 1000.0f);
  }
  if (gemma) {
    w->Count("attention.sliding_window", 5);
    w->Count("attention.sliding_window_pattern", 2);
    w->Real("rope.freq_base_swa", 100.0f);
  }
  const auto matrix = [&](const std::string& name, uint32_t rows, uint32_t inputs, bool bias) {
    w->Add(name + ".weight", rows, inputs, 0, 1.5f / std::sqrt(static_cast<float>(inputs)));
    if (bias) w->Add(name + ".bias", 1, rows, 0, 0.3f);
  };
  const auto norm = [&](const std::string& name, uint32_t width) {
    w->Add(name + ".weight", 1, width, 1, 0.2f);
    if (gpt2) w->Add(name + ".bias", 1, width, 0, 0.2f);
  };
  w->Add("token_embd.weight", o.vocabulary, o.width, 0, gemma ? 1 / std::sqrt(static_cast<float>(o.width)) : 1);
  if (gpt2) w->Add("position_embd.weight", o.context, o.width, 0, 0.5f);
  if (!o.tied && !gpt2 && !gemma) w->Add("output.weight", o.vocabulary, o.width, 0, 0.2f);
  norm("output_norm", o.width);
  for (uint32_t layer = 0; layer < o.layers; ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".";
    norm(b + "attn_norm", o.width);
    norm(b + "ffn_norm", o.width);
    const bool bias = gpt2 || o.biases;
    const uint32_t query = o.heads * o.head_width, kv = o.kv_heads * o.head_width;
    if (gpt2) {
      matrix(b + "attn_qkv", 3 * o.width, o.width, true);
    } else {
      matrix(b + "attn_q", query, o.width, bias || architecture == "qwen2");
      matrix(b + "attn_k", kv, o.width, bias || architecture == "qwen2");
      matrix(b + "attn_v", kv, o.width, bias || architecture == "qwen2");
    }
    matrix(b + "attn_output", o.width, query, bias);
    const auto feed_forward = [&](const std::string& which, uint32_t ffn, bool with_bias) {
      if (gated) matrix(b + "ffn_gate" + which, ffn, o.width, with_bias);
      matrix(b + "ffn_up" + which, ffn, o.width, with_bias);
      matrix(b + "ffn_down" + which, o.width, ffn, with_bias);
    };
    if (o.experts == 0) feed_forward("", o.ffn, bias);
    for (uint32_t e = 0; e < o.experts; ++e) feed_forward("." + std::to_string(e), o.expert_ffn, false);
    if (o.experts > 0) matrix(b + "ffn_gate_inp", o.experts, o.width, false);
    if (architecture == "qwen2moe") {
      feed_forward("_shexp", o.ffn, false);
      matrix(b + "ffn_gate_inp_shexp", 1, o.width, false);
    }
    if (architecture == "qwen3" || architecture == "qwen3moe" || gemma) {
      norm(b + "attn_q_norm", o.head_width);
      norm(b + "attn_k_norm", o.head_width);
    }
    if (olmoe) {
      norm(b + "attn_q_norm", query);
      norm(b + "attn_k_norm", kv);
    }
    if (gemma) {
      norm(b + "post_attention_norm", o.width);
      norm(b + "post_ffw_norm", o.width);
    }
  }
  return w;
}

// Layers wired as no architecture here has them yet: a model of `architecture`, whose blocks they are of.
inline std::shared_ptr<MemoryWeights> Rewired(const std::shared_ptr<MemoryWeights>& weights, const std::string& wiring) {
  using model::BlockKind;
  static constexpr model::BranchDesign kParallel[] = {{BlockKind::kAttention, "attn_norm"}, {BlockKind::kFeedForward, "ffn_norm", "", true}};
  static constexpr model::BranchDesign kPostNorm[] = {{BlockKind::kAttention, "", "post_attention_norm"},
                                                      {BlockKind::kFeedForward, "", "post_ffw_norm"}};
  static constexpr model::BranchDesign kSandwich[] = {{BlockKind::kAttention, "attn_norm", "post_attention_norm"},
                                                      {BlockKind::kFeedForward, "ffn_norm", "post_ffw_norm"}};
  static constexpr model::BranchDesign kParallelSandwich[] = {{BlockKind::kFeedForward, "ffn_norm", "post_ffw_norm"},
                                                              {BlockKind::kAttention, "attn_norm", "post_attention_norm", true}};
  static std::map<std::string, model::Design> designs;
  model::Design& design = designs[weights->arch + wiring];
  design = *model::DesignOf(weights->arch);
  if (wiring == "parallel") design.layer = kParallel;
  if (wiring == "post-norm") design.layer = kPostNorm;
  if (wiring == "sandwich") design.layer = kSandwich;
  if (wiring == "parallel sandwich, attention last") design.layer = kParallelSandwich;
  weights->made_up = &design;
  weights->parallel = wiring.starts_with("parallel");
  const auto width = static_cast<uint32_t>(weights->tensors.at("token_embd.weight").shape.row_weights);
  for (uint64_t layer = 0; weights->tensors.contains("blk." + std::to_string(layer) + ".attn_norm.weight"); ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".";
    if (wiring != "parallel") {
      for (const char* norm : {"post_attention_norm", "post_ffw_norm"}) weights->Add(b + norm + ".weight", 1, width, 1, 0.2f);
    }
    if (wiring != "post-norm") continue;
    weights->tensors.erase(b + "attn_norm.weight");
    weights->tensors.erase(b + "ffn_norm.weight");
  }
  return weights;
}

inline std::vector<int32_t> TinyTokens(uint64_t count, uint64_t vocabulary, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocabulary);
  return tokens;
}

}  // namespace nashswarm::forward

#endif  // NASHSWARM_TESTS_UNIT_FORWARD_MEMORY_WEIGHTS_H_
