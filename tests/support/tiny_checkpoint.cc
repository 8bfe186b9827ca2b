#include "tests/support/tiny_checkpoint.h"

#include <cstdlib>
#include <cstring>
#include <random>

#include "core/base/file.h"
#include "core/base/half.h"
#include "core/checkpoint/safetensors.h"
#include "tests/support/files.h"

namespace nashswarm::testing {
namespace {

using checkpoint::DType;

std::string Encode(const std::vector<float>& values, DType dtype) {
  std::string bytes;
  for (const float value : values) {
    const double wide = value;
    const uint16_t half = dtype == DType::kBF16 ? FloatToBFloat16(value) : FloatToHalf(value);
    if (dtype == DType::kF32) bytes.append(reinterpret_cast<const char*>(&value), 4);
    else if (dtype == DType::kF64) bytes.append(reinterpret_cast<const char*>(&wide), 8);
    else bytes.append(reinterpret_cast<const char*>(&half), 2);
  }
  return bytes;
}

// A BPE over single letters: enough for a reader to load.
// The character that stands for `byte` in byte-level BPE: printable Latin-1 as it is, the others from U+0100 on.
std::string ByteCharacter(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 128) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

// Every byte, then pairs of letters, then one special token at the end.
Json TinyTokenizer(uint64_t size) {
  Json vocab = Json::object(), merges = Json::array();
  for (int byte = 0; byte < 256; ++byte) vocab[ByteCharacter(byte)] = byte;
  for (uint64_t id = 256; id + 1 < size; ++id) {
    const std::string left(1, static_cast<char>('a' + (id - 256) / 26)), right(1, static_cast<char>('a' + (id - 256) % 26));
    vocab[left + right] = id;
    merges.push_back(left + " " + right);
  }
  return {{"version", "1.0"},
          {"added_tokens", {{{"id", size - 1}, {"content", "<|end|>"}, {"special", true}}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

}  // namespace

void TinyCheckpoint::Add(const std::string& name, std::vector<uint64_t> shape) {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  uint64_t seed = 1469598103934665603ull;  // FNV-1a of the name: values do not depend on the order of Add calls
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  TinyTensor tensor{std::move(shape), std::vector<float>(count)};
  for (float& value : tensor.values) value = normal(random);
  tensors[name] = std::move(tensor);
}

void TinyCheckpoint::Write(const std::string& directory) const {
  std::vector<std::string> bytes;
  std::vector<checkpoint::TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) bytes.push_back(Encode(tensor.values, dtype));
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::string& data = bytes[i++];
    list.push_back({{name, dtype, tensor.shape}, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(data.data()), data.size())});
  }
  if (!MakeDirectories(directory).ok()) std::abort();
  if (!checkpoint::WriteSafetensors(JoinPath(directory, "model.safetensors"), list, {{"format", "pt"}}).ok()) std::abort();
  WriteTestFile(JoinPath(directory, "config.json"), config.dump());
  WriteTestFile(JoinPath(directory, "tokenizer.json"), TinyTokenizer(config["vocab_size"]).dump());
}

TinyCheckpoint TinyLlama(const std::string& model_type, bool tied) {
  constexpr uint64_t kWidth = 64, kFfn = 96, kVocabulary = 300, kKv = 32;
  TinyCheckpoint out;
  out.config = {{"model_type", model_type}, {"num_hidden_layers", 2}, {"hidden_size", kWidth},
                {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"intermediate_size", kFfn},
                {"vocab_size", kVocabulary}, {"max_position_embeddings", 32}, {"rms_norm_eps", 1e-5},
                {"rope_theta", 10000.0}, {"hidden_act", "silu"}, {"tie_word_embeddings", tied}};
  const bool gemma = model_type == "gemma3_text", mixtral = model_type == "mixtral", olmoe = model_type == "olmoe";
  const bool experts = mixtral || olmoe || model_type == "qwen2_moe" || model_type == "qwen3_moe";
  if (experts) {
    out.config.update({{mixtral ? "num_local_experts" : "num_experts", 4}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", kFfn},
                       {"shared_expert_intermediate_size", kWidth}, {"norm_topk_prob", model_type == "qwen3_moe"}});
  }
  if (gemma) {
    out.config.update({{"hidden_activation", "gelu_pytorch_tanh"}, {"head_dim", 16}, {"query_pre_attn_scalar", 16},
                       {"sliding_window", 8}, {"rope_local_base_freq", 10000.0}});
    out.config.erase("hidden_act");
  }
  out.Add("model.embed_tokens.weight", {kVocabulary, kWidth});
  if (!tied) out.Add("lm_head.weight", {kVocabulary, kWidth});
  out.Add("model.norm.weight", {kWidth});
  for (int l = 0; l < 2; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    out.Add(layer + "input_layernorm.weight", {kWidth});
    out.Add(layer + "post_attention_layernorm.weight", {kWidth});
    out.Add(layer + "self_attn.q_proj.weight", {kWidth, kWidth});
    out.Add(layer + "self_attn.k_proj.weight", {kKv, kWidth});
    out.Add(layer + "self_attn.v_proj.weight", {kKv, kWidth});
    out.Add(layer + "self_attn.o_proj.weight", {kWidth, kWidth});
    if (olmoe) {
      out.Add(layer + "self_attn.q_norm.weight", {kWidth});
      out.Add(layer + "self_attn.k_norm.weight", {kKv});
    }
    if (model_type == "qwen3" || model_type == "qwen3_moe" || gemma) {
      out.Add(layer + "self_attn.q_norm.weight", {16});
      out.Add(layer + "self_attn.k_norm.weight", {16});
    }
    if (gemma) {
      out.Add(layer + "pre_feedforward_layernorm.weight", {kWidth});
      out.Add(layer + "post_feedforward_layernorm.weight", {kWidth});
    }
    if (model_type == "qwen2" || model_type == "qwen2_moe") {
      out.Add(layer + "self_attn.q_proj.bias", {kWidth});
      out.Add(layer + "self_attn.k_proj.bias", {kKv});
      out.Add(layer + "self_attn.v_proj.bias", {kKv});
    }
    const std::string mlp = layer + (mixtral ? "block_sparse_moe." : "mlp.");
    if (experts) out.Add(mlp + "gate.weight", {4, kWidth});
    for (int e = 0; experts && e < 4; ++e) {
      const std::string expert = mlp + "experts." + std::to_string(e) + ".";
      out.Add(expert + (mixtral ? "w1" : "gate_proj") + ".weight", {kFfn, kWidth});
      out.Add(expert + (mixtral ? "w3" : "up_proj") + ".weight", {kFfn, kWidth});
      out.Add(expert + (mixtral ? "w2" : "down_proj") + ".weight", {kWidth, kFfn});
    }
    if (model_type == "qwen2_moe") {
      out.Add(mlp + "shared_expert_gate.weight", {1, kWidth});
      out.Add(mlp + "shared_expert.gate_proj.weight", {kWidth, kWidth});
      out.Add(mlp + "shared_expert.up_proj.weight", {kWidth, kWidth});
      out.Add(mlp + "shared_expert.down_proj.weight", {kWidth, kWidth});
    }
    if (experts) continue;
    out.Add(layer + "mlp.gate_proj.weight", {kFfn, kWidth});
    out.Add(layer + "mlp.up_proj.weight", {kFfn, kWidth});
    out.Add(layer + "mlp.down_proj.weight", {kWidth, kFfn});
  }
  return out;
}

TinyCheckpoint TinyMixture(const std::string& model_type, int experts) {
  TinyCheckpoint out = TinyLlama(model_type, false);
  out.config[model_type == "mixtral" ? "num_local_experts" : "num_experts"] = experts;
  const std::map<std::string, TinyTensor> four = out.tensors;
  for (const auto& [name, tensor] : four) {
    const size_t at = name.find("experts.3.");
    for (int e = 4; at != std::string::npos && e < experts; ++e) {
      out.Add(name.substr(0, at) + "experts." + std::to_string(e) + name.substr(at + 9), tensor.shape);
    }
    if (name.ends_with("mlp.gate.weight") || name.ends_with("block_sparse_moe.gate.weight")) {
      out.Add(name, {static_cast<uint64_t>(experts), tensor.shape[1]});
    }
  }
  return out;
}

TinyCheckpoint TinyGpt2() {
  constexpr uint64_t kWidth = 64, kVocabulary = 300, kContext = 32;
  TinyCheckpoint out;
  out.config = {{"model_type", "gpt2"}, {"n_layer", 2}, {"n_head", 4}, {"n_embd", kWidth}, {"n_positions", kContext},
                {"vocab_size", kVocabulary}, {"layer_norm_epsilon", 1e-5}, {"activation_function", "gelu_new"}};
  out.Add("wte.weight", {kVocabulary, kWidth});
  out.Add("wpe.weight", {kContext, kWidth});
  for (const std::string norm : {"h.0.ln_1", "h.0.ln_2", "h.1.ln_1", "h.1.ln_2", "ln_f"}) {
    out.Add(norm + ".weight", {kWidth});
    out.Add(norm + ".bias", {kWidth});
  }
  const auto linear = [&](const std::string& name, uint64_t in, uint64_t outputs) {
    out.Add(name + ".weight", {in, outputs});
    out.Add(name + ".bias", {outputs});
  };
  for (const std::string layer : {"h.0.", "h.1."}) {
    linear(layer + "attn.c_attn", kWidth, 3 * kWidth);
    linear(layer + "attn.c_proj", kWidth, kWidth);
    linear(layer + "mlp.c_fc", kWidth, 4 * kWidth);
    linear(layer + "mlp.c_proj", 4 * kWidth, kWidth);
  }
  return out;
}

}  // namespace nashswarm::testing
