// What the forward pass says of models and calls it cannot run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "core/base/status.h"
#include "core/forward/transformer.h"
#include "tests/support/files.h"
#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {
namespace {

using checkpoint::GgufValue;
using ::testing::HasSubstr;

// Opens a tiny model after `change`.
absl::Status OpenChanged(const std::string& architecture, const std::function<void(MemoryWeights&)>& change) {
  auto weights = TinyModel(architecture);
  change(*weights);
  return Transformer::Open(weights, {.threads = 1}).status();
}

std::vector<std::string> TensorsOf(const std::string& architecture) {
  const auto weights = TinyModel(architecture);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights->tensors) names.push_back(name);
  return names;
}

void ExpectError(const absl::Status& status, const std::string& reason, const std::string& text) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(ForwardErrorsTest, UnknownArchitecture) {
  ExpectError(OpenChanged("llama", [](auto& w) { w.arch = "mamba"; }), "ARCHITECTURE_UNKNOWN", "mamba");
  ExpectError(OpenChanged("llama", [](auto& w) { w.arch.clear(); }), "ARCHITECTURE_UNKNOWN", "''");
}

TEST(ForwardErrorsTest, MissingTensorIsNamed) {
  for (const std::string& tensor : TensorsOf("gemma3")) {
    ExpectError(OpenChanged("gemma3", [&](auto& w) { w.tensors.erase(tensor); }), "MODEL_TENSOR_MISSING", tensor);
  }
  for (const char* tensor : {"position_embd.weight", "blk.1.attn_qkv.weight", "output_norm.bias", "blk.0.ffn_norm.bias"}) {
    ExpectError(OpenChanged("gpt2", [&](auto& w) { w.tensors.erase(tensor); }), "MODEL_TENSOR_MISSING", tensor);
  }
}

TEST(ForwardErrorsTest, MisshapenTensorIsNamed) {
  for (const char* architecture : {"gpt2", "qwen2", "gemma3"}) {
    for (const std::string& tensor : TensorsOf(architecture)) {
      const auto widen = [&](auto& w) { ++w.tensors[tensor].shape.row_weights; };
      ExpectError(OpenChanged(architecture, widen), "MODEL_TENSOR_SHAPE", tensor);
    }
  }
  ExpectError(OpenChanged("llama", [](auto& w) { w.tensors["blk.1.ffn_up.weight"].shape.rows = 0; }), "MODEL_TENSOR_SHAPE",
              "blk.1.ffn_up.weight");
}

TEST(ForwardErrorsTest, HostileHyperparameters) {
  const std::vector<std::string> counts = {"block_count",          "context_length",       "embedding_length",
                                           "feed_forward_length",  "attention.head_count", "attention.head_count_kv",
                                           "attention.key_length", "rope.dimension_count"};
  for (const std::string& key : counts) {
    for (const GgufValue& value : {GgufValue::U32(0), GgufValue::String("4"), GgufValue::F32(4),
                                   GgufValue{checkpoint::GgufType::kInt64, {}, int64_t{-1}},
                                   GgufValue{checkpoint::GgufType::kUint64, {}, uint64_t{1} << 40},
                                   GgufValue{checkpoint::GgufType::kUint64, {}, std::numeric_limits<uint64_t>::max()}}) {
      ExpectError(OpenChanged("llama", [&](auto& w) { w.hyperparameters[key] = value; }), "CONFIG_INVALID", key);
    }
    // Large, but countable: refused for one reason or another, before any memory is taken for it.
    const absl::Status large = OpenChanged("llama", [&](auto& w) { w.Count(key, 0x7fffffff); });
    EXPECT_EQ(large.ok(), key == "context_length") << key;
  }
  ExpectError(OpenChanged("llama", [](auto& w) { w.hyperparameters.erase("block_count"); }), "CONFIG_INVALID", "block_count");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Count("attention.head_count", 3); }), "CONFIG_INVALID", "head_count_kv");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Count("rope.dimension_count", 7); }), "CONFIG_INVALID", "dimension_count");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Count("rope.dimension_count", 18); }), "CONFIG_INVALID", "dimension_count");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Count("attention.value_length", 8); }), "CONFIG_INVALID", "value_length");
  ExpectError(OpenChanged("gpt2", [](auto& w) { w.Count("attention.head_count", 5); }), "CONFIG_INVALID", "head_count");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Real("rope.freq_base", -1); }), "CONFIG_INVALID", "freq_base");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Real("attention.layer_norm_rms_epsilon", NAN); }), "CONFIG_INVALID",
              "layer_norm_rms_epsilon");
  ExpectError(OpenChanged("llama", [](auto& w) { w.hyperparameters["rope.scaling.type"] = GgufValue::String("longrope"); }),
              "CONFIG_INVALID", "longrope");
  ExpectError(OpenChanged("gemma3", [](auto& w) { w.hyperparameters.erase("attention.sliding_window"); }), "CONFIG_INVALID",
              "sliding_window");
  ExpectError(OpenChanged("llama", [](auto& w) { w.Add("rope_freqs.weight", 1, 8, 0, 0); }), "CONFIG_INVALID", "rope_freqs");
  ExpectError(OpenChanged("qwen2",
                          [](auto& w) {
                            w.hyperparameters["attention.sliding_window_pattern"] = {
                                checkpoint::GgufType::kArray, checkpoint::GgufType::kBool, std::vector<bool>{true}};
                          }),
              "CONFIG_INVALID", "sliding_window_pattern");
}

TEST(ForwardErrorsTest, BatchesTheModelCannotRun) {
  const auto transformer = *Transformer::Open(TinyModel("llama", {.context = 16}), {.threads = 1});
  std::vector<float> hidden(32 * 48);
  for (const int32_t token : {-1, 97, std::numeric_limits<int32_t>::max()}) {
    const absl::Status status = transformer->Embed({{1, token}, 1, 2}, hidden.data());
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(ReasonOf(status), "TOKEN_OUT_OF_RANGE");
  }
  ExpectError(transformer->Embed({std::vector<int32_t>(17), 1, 17}, hidden.data()), "CONTEXT_TOO_LONG", "17");
  NS_EXPECT_OK(transformer->Embed({std::vector<int32_t>(16), 1, 16}, hidden.data()));
  ExpectError(transformer->Embed({{1, 2, 3}, 2, 2}, hidden.data()), "BATCH_SHAPE", "3 tokens");
  ExpectError(transformer->Embed({{}, uint64_t{1} << 61, 16}, hidden.data()), "BATCH_SHAPE", "0 tokens");
  EXPECT_EQ(ReasonOf(transformer->RunLayer(0, uint64_t{1} << 60, 16, hidden.data(), nullptr, nullptr)), "BATCH_TOO_LARGE");
  EXPECT_EQ(ReasonOf(transformer->RunLayer(2, 1, 1, hidden.data(), nullptr, nullptr)), "LAYER_OUT_OF_RANGE");
  EXPECT_EQ(ReasonOf(transformer->RunLayer(0, 1, 17, hidden.data(), nullptr, nullptr)), "CONTEXT_TOO_LONG");
}

TEST(ForwardErrorsTest, WeightsInsteadMustFit) {
  const auto transformer = *Transformer::Open(TinyModel("llama"), {.threads = 1});
  std::vector<float> hidden(48), logits(97);
  NS_ASSERT_OK(transformer->Embed({{1}, 1, 1}, hidden.data()));
  const auto narrow = TinyModel("llama", {.ffn = 79});
  ExpectError(transformer->RunLayer(0, 1, 1, hidden.data(), nullptr, narrow.get()), "MODEL_TENSOR_SHAPE", "blk.0.ffn_gate.weight");
  const auto small = TinyModel("llama", {.vocabulary = 96});
  ExpectError(transformer->Logits(hidden.data(), 1, logits.data(), small.get()), "MODEL_TENSOR_SHAPE", "output.weight");
}

TEST(ForwardErrorsTest, NonFiniteWeightsAreFoundAndNamed) {
  for (const char* architecture : {"gpt2", "llama", "gemma3"}) {
    for (const std::string& tensor : TensorsOf(architecture)) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        auto weights = TinyModel(architecture);
        std::fill(weights->tensors[tensor].values.begin(), weights->tensors[tensor].values.end(), bad);
        const auto transformer = *Transformer::Open(weights, {.threads = 2});
        const auto tokens = TinyTokens(20, 97);
        std::vector<float> hidden(20 * 48), logits(20 * 97);
        absl::Status status = transformer->Run({tokens, 1, 20}, hidden.data(), nullptr);
        if (status.ok()) status = transformer->Logits(hidden.data(), 20, logits.data(), nullptr);
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << architecture << " " << tensor << " " << bad;
        EXPECT_EQ(ReasonOf(status), "NON_FINITE_ACTIVATIONS");
        EXPECT_THAT(std::string(status.message()), HasSubstr(tensor));
        EXPECT_THAT(std::string(status.message()), HasSubstr(tensor.rfind("blk.1.", 0) == 0 ? "layer 1" : ""));
      }
    }
  }
}

// One NaN must not be lost in a maximum or a clamp on its way.
TEST(ForwardErrorsTest, OneNanIsEnough) {
  for (const char* tensor : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_gate.weight", "blk.1.ffn_up.weight"}) {
    auto weights = TinyModel("llama");
    weights->tensors[tensor].values[5] = std::numeric_limits<float>::quiet_NaN();
    const auto transformer = *Transformer::Open(weights, {.threads = 2});
    const auto tokens = TinyTokens(20, 97);
    std::vector<float> hidden(20 * 48);
    EXPECT_THAT(std::string(transformer->Run({tokens, 1, 20}, hidden.data(), nullptr).message()), HasSubstr(tensor));
  }
}

}  // namespace
}  // namespace nashswarm::forward
