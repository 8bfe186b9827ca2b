#include "core/forward/model_config.h"

#include <cmath>
#include <optional>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::forward {
namespace {

using checkpoint::GgufValue;

// Far beyond any model; keeps lists by layer small whatever a file says.
constexpr uint64_t kMaxLayers = 1 << 16;
// BLAS counts rows and columns in 32-bit integers.
constexpr uint64_t kMaxExtent = (uint64_t{1} << 31) - 1;

// Reads hyperparameters. The first error sticks; later calls do nothing.
class Reader {
 public:
  explicit Reader(const Weights& weights) : weights_(weights) {}

  uint64_t CountOr(std::string_view key, uint64_t fallback) {
    const GgufValue* value = weights_.Hyperparameter(key);
    if (value == nullptr) return fallback;
    const auto number = Whole(*value);
    if (!number.has_value() || *number < 1 || *number > kMaxExtent) {
      Fail(absl::StrCat("'", ToAbsl(key), "' is not a whole number from 1 to 2^31"));
      return 1;
    }
    return *number;
  }

  uint64_t Count(std::string_view key) {
    if (weights_.Hyperparameter(key) == nullptr) Fail(absl::StrCat("has no '", ToAbsl(key), "'"));
    return CountOr(key, 1);
  }

  // Positive and finite.
  double RealOr(std::string_view key, double fallback) {
    const GgufValue* value = weights_.Hyperparameter(key);
    if (value == nullptr) return fallback;
    const double* number = std::get_if<double>(&value->data);
    if (number == nullptr || !std::isfinite(*number) || *number <= 0) {
      Fail(absl::StrCat("'", ToAbsl(key), "' is not a positive number"));
      return 1;
    }
    return *number;
  }

  double Real(std::string_view key) {
    if (weights_.Hyperparameter(key) == nullptr) Fail(absl::StrCat("has no '", ToAbsl(key), "'"));
    return RealOr(key, 1);
  }

  std::string Text(std::string_view key) {
    const GgufValue* value = weights_.Hyperparameter(key);
    if (value == nullptr) return {};
    const std::string* text = std::get_if<std::string>(&value->data);
    if (text == nullptr) Fail(absl::StrCat("'", ToAbsl(key), "' is no text"));
    return text == nullptr ? std::string() : *text;
  }

  // Which layers have a sliding window: a list of them, or the period of one layer without. Empty: all.
  std::vector<bool> Sliding(uint64_t layers, uint64_t period) {
    const GgufValue* value = weights_.Hyperparameter("attention.sliding_window_pattern");
    if (value != nullptr) {
      if (const auto* list = std::get_if<std::vector<bool>>(&value->data)) {
        if (list->size() != layers) Fail("'attention.sliding_window_pattern' is not one value a layer");
        return *list;
      }
      period = CountOr("attention.sliding_window_pattern", 1);
    }
    if (period == 0) return {};
    std::vector<bool> out(layers);
    for (uint64_t layer = 0; layer < layers; ++layer) out[layer] = layer % period != period - 1;
    return out;
  }

  void Fail(const std::string& what) {
    if (status_.ok()) {
      status_ = MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                          absl::StrCat(weights_.name(), ": hyperparameters of '", weights_.architecture(), "': ", what),
                          "the file is damaged, or was made for another program");
    }
  }
  const Weights& weights() const { return weights_; }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  static std::optional<uint64_t> Whole(const GgufValue& value) {
    if (const auto* number = std::get_if<uint64_t>(&value.data)) return *number;
    const auto* number = std::get_if<int64_t>(&value.data);
    if (number != nullptr && *number >= 0) return static_cast<uint64_t>(*number);
    return std::nullopt;
  }

  const Weights& weights_;
  absl::Status status_;
};

// The choices that come with an architecture's name. False: not a known one.
bool ChooseArchitecture(const std::string& name, ModelConfig* config) {
  if (name == "gpt2") {
    config->layer_norm = config->position_embedding = config->fused_qkv = config->gelu = true;
    config->gated = false;
    return true;
  }
  if (name == "llama") {
    config->normalize_experts = true;  // of mixtral, which has the same name
    return true;
  }
  if (name == "qwen2" || name == "qwen3" || name == "qwen2moe" || name == "qwen3moe") {
    config->rope_halves = true;
    config->head_norms = name == "qwen3" || name == "qwen3moe";
    config->normalize_experts = name == "qwen3moe";
    return true;
  }
  if (name == "olmoe") {
    config->rope_halves = config->whole_norms = true;
    return true;
  }
  if (name == "gemma3") {
    config->rope_halves = config->head_norms = config->post_norms = config->gelu = true;
    config->rope_scaling_everywhere = false;
    return true;
  }
  return false;
}

bool Flag(const Weights& weights, std::string_view key, bool fallback) {
  const GgufValue* value = weights.Hyperparameter(key);
  const bool* flag = value == nullptr ? nullptr : std::get_if<bool>(&value->data);
  return flag == nullptr ? fallback : *flag;
}

void ReadExperts(Reader& read, ModelConfig* config) {
  const std::string& architecture = read.weights().architecture();
  const bool always = architecture == "qwen2moe" || architecture == "qwen3moe" || architecture == "olmoe";
  if (!always && read.weights().Hyperparameter("expert_count") == nullptr) return;
  config->experts = read.Count("expert_count");
  config->experts_used = read.Count("expert_used_count");
  if (config->experts > model::kMaxExperts || config->experts_used > config->experts) {
    read.Fail("'expert_used_count' is more than 'expert_count', or that is beyond all measure");
    return;
  }
  const bool own_width = architecture == "qwen2moe" || architecture == "qwen3moe";
  config->expert_ffn = own_width ? read.CountOr("expert_feed_forward_length", std::max<uint64_t>(1, config->ffn / config->experts_used))
                                 : config->ffn;
  if (architecture == "qwen2moe") config->shared_ffn = read.CountOr("expert_shared_feed_forward_length", config->ffn);
  config->normalize_experts = Flag(read.weights(), "expert_weights_norm", config->normalize_experts);
  config->ffn = std::max(config->experts_used * config->expert_ffn, config->shared_ffn);
}

void ReadSizes(Reader& read, ModelConfig* config) {
  config->layers = read.Count("block_count");
  config->context = read.Count("context_length");
  config->width = read.Count("embedding_length");
  config->ffn = read.Count("feed_forward_length");
  config->heads = read.Count("attention.head_count");
  config->kv_heads = read.CountOr("attention.head_count_kv", config->heads);
  config->head_width = read.CountOr("attention.key_length", config->width / config->heads);
  if (config->layers > kMaxLayers) read.Fail("'block_count' is beyond all measure");
  if (config->heads % config->kv_heads != 0) read.Fail("'attention.head_count' is no multiple of 'attention.head_count_kv'");
  if (read.CountOr("attention.value_length", config->head_width) != config->head_width) {
    read.Fail("'attention.value_length' differs from 'attention.key_length'");
  }
  if (config->head_width == 0 ||
      (config->fused_qkv && (config->heads != config->kv_heads || config->head_width * config->heads != config->width))) {
    read.Fail("'attention.head_count' does not divide 'embedding_length'");
  }
  ReadExperts(read, config);
  // Each factor is below 2^31, so nothing overflows.
  if (2 * config->ffn > kMaxExtent || config->qkv_width() > kMaxExtent) read.Fail("a layer is beyond all measure");
  config->epsilon = static_cast<float>(
      read.Real(config->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"));
  const double root = std::sqrt(static_cast<double>(std::max<uint64_t>(config->head_width, 1)));
  config->score_scale = static_cast<float>(read.RealOr("attention.scale", 1 / root));
}

void ReadRope(Reader& read, ModelConfig* config) {
  config->rope_width = read.CountOr("rope.dimension_count", config->head_width);
  config->rope_base = read.RealOr("rope.freq_base", 10000);
  if (config->rope_width % 2 != 0 || config->rope_width > config->head_width) {
    read.Fail("'rope.dimension_count' is not an even number within a head");
  }
  RopeScaling& scaling = config->rope_scaling;
  const std::string kind = read.Text("rope.scaling.type");
  if (kind.empty() || kind == "none") return;
  if (kind != "linear" && kind != "yarn") return read.Fail(absl::StrCat("unknown 'rope.scaling.type' ", kind));
  scaling.kind = kind == "linear" ? RopeScaling::Kind::kLinear : RopeScaling::Kind::kYarn;
  scaling.factor = read.RealOr("rope.scaling.factor", 1);
  scaling.original_context = static_cast<double>(read.CountOr("rope.scaling.original_context_length", config->context));
  scaling.attention_factor = read.RealOr("rope.scaling.attn_factor", 1);
  scaling.beta_fast = read.RealOr("rope.scaling.yarn_beta_fast", 32);
  scaling.beta_slow = read.RealOr("rope.scaling.yarn_beta_slow", 1);
}

void ReadWindow(const std::string& architecture, Reader& read, ModelConfig* config) {
  // Gemma 3 has five local layers to a global one, and its own base for the local ones (Gemma 3 Technical Report, 2025).
  constexpr uint64_t kGemmaPeriod = 6;
  constexpr double kGemmaLocalBase = 10000;
  const bool gemma = architecture == "gemma3";
  config->local_rope_base = read.RealOr("rope.freq_base_swa", gemma ? kGemmaLocalBase : config->rope_base);
  config->window = gemma ? read.Count("attention.sliding_window") : read.CountOr("attention.sliding_window", 0);
  config->sliding = read.Sliding(config->layers, gemma ? kGemmaPeriod : 0);
  if (gemma) config->embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(config->width)));
}

absl::Status CheckOuterTensors(const Weights& weights, ModelConfig* config) {
  const WeightShape* embedding = weights.Find("token_embd.weight");
  if (embedding != nullptr) config->vocabulary = embedding->rows;
  NS_RETURN_IF_ERROR(CheckTensor(weights, "token_embd.weight", config->vocabulary, config->width));
  if (config->vocabulary == 0 || config->vocabulary > kMaxExtent) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_SHAPE",
                     absl::StrCat(weights.name(), ": 'token_embd.weight' has no usable number of rows"));
  }
  config->tied_head = weights.Find("output.weight") == nullptr;
  if (!config->tied_head) NS_RETURN_IF_ERROR(CheckTensor(weights, "output.weight", config->vocabulary, config->width));
  NS_RETURN_IF_ERROR(CheckTensor(weights, "output_norm.weight", 1, config->width));
  if (config->layer_norm) NS_RETURN_IF_ERROR(CheckTensor(weights, "output_norm.bias", 1, config->width));
  if (config->position_embedding) {
    NS_RETURN_IF_ERROR(CheckTensor(weights, "position_embd.weight", config->context, config->width));
  }
  if (weights.Find("rope_freqs.weight") != nullptr && !config->position_embedding) {
    NS_RETURN_IF_ERROR(CheckTensor(weights, "rope_freqs.weight", 1, config->rope_width / 2));
    config->rope_divisors.resize(config->rope_width / 2);
    NS_RETURN_IF_ERROR(weights.Read("rope_freqs.weight", 0, 1, config->rope_divisors.data()));
    for (const float divisor : config->rope_divisors) {
      if (std::isfinite(divisor) && divisor > 0) continue;
      return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                       absl::StrCat(weights.name(), ": 'rope_freqs.weight' has a value that is not positive"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTensor(const Weights& weights, std::string_view tensor, uint64_t rows, uint64_t row_weights) {
  const WeightShape* shape = weights.Find(tensor);
  if (shape == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_MISSING",
                     absl::StrCat(weights.name(), ": has no tensor '", ToAbsl(tensor), "'"),
                     "the file is not a whole model of its architecture");
  }
  if (shape->rows != rows || shape->row_weights != row_weights) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_SHAPE",
                     absl::StrCat(weights.name(), ": tensor '", ToAbsl(tensor), "' has ", shape->rows, " rows of ",
                                  shape->row_weights, ", the hyperparameters ask for ", rows, " of ", row_weights),
                     "hyperparameters and weights are of different models");
  }
  if (!shape->unsupported.empty()) {
    return MakeError(absl::StatusCode::kUnimplemented, "GGUF_TYPE_UNSUPPORTED",
                     absl::StrCat(weights.name(), ": tensor '", ToAbsl(tensor), "' is ", ToAbsl(shape->unsupported), ", and ",
                                  ToAbsl(shape->unsupported), " is not supported"),
                     "the file may be whole: nashswarm inspect lists its tensors; take one of another quantization to run it");
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> ReadModelConfig(const Weights& weights) {
  ModelConfig config;
  if (!ChooseArchitecture(weights.architecture(), &config)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ARCHITECTURE_UNKNOWN",
                     absl::StrCat(weights.name(), ": cannot run architecture '", weights.architecture(), "'"),
                     "gpt2, llama, qwen2, qwen3, gemma3, qwen2moe, qwen3moe and olmoe can be run");
  }
  Reader read(weights);
  ReadSizes(read, &config);
  if (read.ok() && !config.position_embedding) ReadRope(read, &config);
  if (read.ok()) ReadWindow(weights.architecture(), read, &config);
  NS_RETURN_IF_ERROR(read.status());
  NS_RETURN_IF_ERROR(CheckOuterTensors(weights, &config));
  return config;
}

}  // namespace nashswarm::forward
