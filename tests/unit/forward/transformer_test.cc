#include "core/forward/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/unit/forward/memory_weights.h"
#include "tests/unit/forward/reference.h"

namespace nashswarm::forward {
namespace {

using checkpoint::GgufValue;

std::unique_ptr<Transformer> Open(std::shared_ptr<const Weights> weights, Options options = {.threads = 2}) {
  auto opened = Transformer::Open(std::move(weights), options);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

std::vector<float> LogitsOf(Transformer& transformer, const std::vector<int32_t>& tokens, uint64_t windows,
                            InputTap* tap = nullptr) {
  std::vector<float> hidden(tokens.size() * transformer.width()), logits(tokens.size() * transformer.vocabulary());
  NS_EXPECT_OK(transformer.Run({tokens, windows, tokens.size() / windows}, hidden.data(), tap));
  NS_EXPECT_OK(transformer.Logits(hidden.data(), tokens.size(), logits.data(), nullptr));
  return logits;
}

// The logits are of order 1 to 5, sums of some hundred float products.
constexpr double kTolerance = 2e-5;

void ExpectAsReference(const std::shared_ptr<MemoryWeights>& weights, uint64_t length = 40) {
  const auto transformer = Open(weights);
  ASSERT_NE(transformer, nullptr);
  const auto tokens = TinyTokens(length, transformer->vocabulary());
  const auto expected = Reference(*weights).Logits(tokens);
  const std::vector<float> logits = LogitsOf(*transformer, tokens, 1);
  double worst = 0, spread = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double wanted = expected[i / transformer->vocabulary()][i % transformer->vocabulary()];
    const double difference = std::abs(logits[i] - wanted);
    ASSERT_TRUE(std::isfinite(logits[i]));
    worst = std::max(worst, difference);
    spread = std::max(spread, std::abs(wanted));
  }
  EXPECT_GT(spread, 0.5);  // otherwise the comparison says little
  EXPECT_LT(worst, kTolerance * std::max(1.0, spread));
}

TEST(TransformerTest, Gpt2) { ExpectAsReference(TinyModel("gpt2")); }
TEST(TransformerTest, Llama) { ExpectAsReference(TinyModel("llama")); }
TEST(TransformerTest, LlamaWithBiasesAndTiedHead) { ExpectAsReference(TinyModel("llama", {.biases = true, .tied = true})); }
TEST(TransformerTest, LlamaOfOneHead) { ExpectAsReference(TinyModel("llama", {.heads = 1, .kv_heads = 1})); }
TEST(TransformerTest, Qwen2) { ExpectAsReference(TinyModel("qwen2", {.tied = true})); }
TEST(TransformerTest, Qwen3) { ExpectAsReference(TinyModel("qwen3")); }
TEST(TransformerTest, LlamaWithExperts) { ExpectAsReference(TinyModel("llama", {.experts = 8})); }
TEST(TransformerTest, LlamaWithOneExpertOfOne) { ExpectAsReference(TinyModel("llama", {.experts = 1, .experts_used = 1})); }
TEST(TransformerTest, Qwen2WithExperts) { ExpectAsReference(TinyModel("qwen2moe", {.experts_used = 3})); }
TEST(TransformerTest, Qwen3WithExperts) { ExpectAsReference(TinyModel("qwen3moe", {.tied = true})); }
TEST(TransformerTest, Olmoe) { ExpectAsReference(TinyModel("olmoe")); }
TEST(TransformerTest, ExpertsWhoseWeightsAreSaidToBeNormalized) {
  auto weights = TinyModel("olmoe");
  weights->hyperparameters["expert_weights_norm"] = checkpoint::GgufValue::Bool(true);
  ExpectAsReference(weights);
}
TEST(TransformerTest, Arcee) { ExpectAsReference(TinyModel("arcee", {.biases = true})); }
TEST(TransformerTest, SmolLm3RotatesNotInEveryFourthLayer) { ExpectAsReference(TinyModel("smollm3", {.layers = 5})); }
TEST(TransformerTest, LayersWiredInOtherWays) {
  for (const char* wiring : {"parallel", "post-norm", "sandwich", "parallel sandwich, attention last"}) {
    SCOPED_TRACE(wiring);
    ExpectAsReference(Rewired(TinyModel("llama"), wiring));
    ExpectAsReference(Rewired(TinyModel("qwen2moe"), wiring));
  }
}
TEST(TransformerTest, Gemma3) { ExpectAsReference(TinyModel("gemma3", {.layers = 5})); }

TEST(TransformerTest, Gemma3HasFiveLocalLayersToAGlobalOne) {
  auto weights = TinyModel("gemma3", {.layers = 7});
  weights->hyperparameters.erase("attention.sliding_window_pattern");
  ExpectAsReference(weights);
}

TEST(TransformerTest, OddSizesFillNoVector) {
  ExpectAsReference(TinyModel("llama", {.width = 37, .heads = 3, .kv_heads = 3, .head_width = 10, .ffn = 51, .vocabulary = 83}));
}

// Longer than a tile of keys and than a block of rows.
TEST(TransformerTest, LongWindow) { ExpectAsReference(TinyModel("llama", {.layers = 1}), 530); }

TEST(TransformerTest, LongWindowWithSlidingAttention) {
  auto weights = TinyModel("llama", {.layers = 1});
  weights->Count("attention.sliding_window", 270);
  ExpectAsReference(weights, 540);
}

TEST(TransformerTest, SlidingWindow) {
  for (const uint32_t window : {1u, 2u, 7u, 39u, 40u, 41u}) {
    auto weights = TinyModel("llama");
    weights->Count("attention.sliding_window", window);
    ExpectAsReference(weights);
  }
}

TEST(TransformerTest, SlidingWindowOfSomeLayers) {
  auto weights = TinyModel("qwen2", {.layers = 3});
  weights->Count("attention.sliding_window", 6);
  weights->hyperparameters["attention.sliding_window_pattern"] = {checkpoint::GgufType::kArray, checkpoint::GgufType::kBool,
                                                                   std::vector<bool>{false, true, false}};
  ExpectAsReference(weights);
}

TEST(TransformerTest, RopeOfAPartOfAHead) {
  for (const char* architecture : {"llama", "qwen2"}) {
    auto weights = TinyModel(architecture);
    weights->Count("rope.dimension_count", 10);
    ExpectAsReference(weights);
  }
}

TEST(TransformerTest, RopeScaling) {
  for (const char* kind : {"linear", "yarn"}) {
    auto weights = TinyModel("llama");
    weights->hyperparameters["rope.scaling.type"] = GgufValue::String(kind);
    weights->Real("rope.scaling.factor", 4);
    weights->Count("rope.scaling.original_context_length", 64);
    weights->Real("rope.scaling.yarn_beta_fast", 4);
    weights->Real("rope.scaling.attn_factor", 1.25f);
    ExpectAsReference(weights);
  }
}

TEST(TransformerTest, RopeDivisors) {
  auto weights = TinyModel("llama");
  weights->Add("rope_freqs.weight", 1, 8, 3, 0.5f);
  ExpectAsReference(weights);
}

TEST(TransformerTest, ScoresOfAnotherScale) {
  auto weights = TinyModel("gemma3");
  weights->Real("attention.scale", 0.11f);
  ExpectAsReference(weights);
}

TEST(TransformerTest, WindowsOfABatchDoNotSeeEachOther) {
  for (const char* architecture : {"gpt2", "llama", "gemma3"}) {
    const auto transformer = Open(TinyModel(architecture));
    const uint64_t length = 150, vocabulary = transformer->vocabulary();
    const auto tokens = TinyTokens(3 * length, vocabulary);
    const std::vector<float> together = LogitsOf(*transformer, tokens, 3);
    for (uint64_t window = 0; window < 3; ++window) {
      const std::vector<int32_t> own(tokens.begin() + window * length, tokens.begin() + (window + 1) * length);
      const std::vector<float> alone = LogitsOf(*transformer, own, 1);
      for (size_t i = 0; i < alone.size(); ++i) {
        ASSERT_NEAR(alone[i], together[window * length * vocabulary + i], 2e-5) << architecture << " window " << window;
      }
    }
  }
}

TEST(TransformerTest, ThreadsChangeNoBit) {
  for (const char* architecture : {"gpt2", "llama", "qwen3", "gemma3"}) {
    const auto weights = TinyModel(architecture);
    const auto tokens = TinyTokens(2 * 300, 97);
    const std::vector<float> one = LogitsOf(*Open(weights, {.threads = 1}), tokens, 2);
    EXPECT_EQ(LogitsOf(*Open(weights, {.threads = 2}), tokens, 2), one) << architecture;
    EXPECT_EQ(LogitsOf(*Open(weights, {.threads = 3}), tokens, 2), one) << architecture;
  }
}

TEST(TransformerTest, LayersThatDoNotFitAreReadAgain) {
  const auto weights = TinyModel("llama", {.layers = 4, .vocabulary = 1100});
  const auto tokens = TinyTokens(60, 1100);
  const auto all = Open(weights);
  const std::vector<float> expected = LogitsOf(*all, tokens, 2);
  const int reads = weights->reads;
  EXPECT_EQ(LogitsOf(*all, tokens, 2), expected);
  EXPECT_EQ(weights->reads - reads, 60);  // the embeddings alone
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{100'000}, uint64_t{200'000}}) {
    const auto few = Open(weights, {.threads = 2, .weight_bytes = bytes});
    EXPECT_EQ(LogitsOf(*few, tokens, 2), expected);
    EXPECT_EQ(LogitsOf(*few, tokens, 2), expected);
  }
}

// The memory of a layer that is not kept is used again: what the next layer does not have must not stay in it.
TEST(TransformerTest, BiasesOfSomeTensorsOfSomeLayers) {
  auto weights = TinyModel("llama", {.layers = 3, .biases = true});
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    weights->tensors.erase(std::string("blk.1.") + part + ".bias");
  }
  weights->tensors.erase("blk.2.attn_k.bias");
  weights->tensors.erase("blk.2.ffn_gate.bias");
  ExpectAsReference(weights);
  const auto tokens = TinyTokens(20, 97);
  EXPECT_EQ(LogitsOf(*Open(weights, {.threads = 2, .weight_bytes = 0}), tokens, 1), LogitsOf(*Open(weights), tokens, 1));
}

TEST(TransformerTest, AnotherLayerInsteadForOneCall) {
  const auto weights = TinyModel("llama", {.layers = 3}), changed = TinyModel("llama", {.layers = 3});
  for (float& w : changed->tensors["blk.1.ffn_down.weight"].values) w *= 0.5f;
  for (float& w : changed->tensors["output.weight"].values) w += 0.25f;
  const auto tokens = TinyTokens(30, 97);
  const Batch batch{tokens, 1, 30};
  const auto transformer = Open(weights), other = Open(changed);
  std::vector<float> expected(30 * 48), hidden = expected, logits(30 * 97), expected_logits = logits;
  NS_ASSERT_OK(other->Run(batch, expected.data(), nullptr));
  NS_ASSERT_OK(other->Logits(expected.data(), 30, expected_logits.data(), nullptr));
  const std::vector<float> before = LogitsOf(*transformer, tokens, 1);

  NS_ASSERT_OK(transformer->Embed(batch, hidden.data()));
  for (uint64_t layer = 0; layer < 3; ++layer) {
    const int reads = changed->reads;
    NS_ASSERT_OK(transformer->RunLayer(layer, 1, 30, hidden.data(), nullptr, layer == 1 ? changed.get() : nullptr));
    EXPECT_EQ(changed->reads - reads, layer == 1 ? 9 : 0);  // the tensors of the one layer
  }
  NS_ASSERT_OK(transformer->FinalNorm(30, hidden.data(), nullptr));
  EXPECT_EQ(hidden, expected);
  NS_ASSERT_OK(transformer->Logits(hidden.data(), 30, logits.data(), changed.get()));
  EXPECT_EQ(logits, expected_logits);
  EXPECT_EQ(LogitsOf(*transformer, tokens, 1), before);
}

// Keeps what it hears.
class Recorder : public InputTap {
 public:
  void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) override {
    names.push_back(input);
    values[input] = std::vector<float>(x, x + tokens * width);
  }
  std::vector<std::string> names;
  std::map<std::string, std::vector<float>> values;
};

std::vector<double> Times(const MemoryWeights::Tensor& matrix, const std::vector<float>& x) {
  const uint64_t inputs = matrix.shape.row_weights, outputs = matrix.shape.rows;
  std::vector<double> y(x.size() / inputs * outputs);
  for (size_t t = 0; t < x.size() / inputs; ++t) {
    for (uint64_t r = 0; r < outputs; ++r) {
      for (uint64_t c = 0; c < inputs; ++c) y[t * outputs + r] += double{matrix.values[r * inputs + c]} * x[t * inputs + c];
    }
  }
  return y;
}

TEST(TransformerTest, TapHearsTheInputsOfLinearLayers) {
  const auto weights = TinyModel("llama");
  const auto transformer = Open(weights);
  const auto tokens = TinyTokens(2 * 35, 97);
  Recorder tap;
  std::vector<float> embedded(70 * 48);
  NS_ASSERT_OK(transformer->Embed({tokens, 2, 35}, embedded.data()));
  const std::vector<float> logits = LogitsOf(*transformer, tokens, 2, &tap);
  EXPECT_EQ(logits, LogitsOf(*transformer, tokens, 2));  // listening changes nothing
  EXPECT_THAT(tap.names, ::testing::ElementsAre("blk.0.attn_in", "blk.0.attn_output_in", "blk.0.ffn_in", "blk.0.ffn_down_in",
                                                "blk.1.attn_in", "blk.1.attn_output_in", "blk.1.ffn_in", "blk.1.ffn_down_in",
                                                "head_in"));
  // What a layer adds to the hidden state is made of the inputs of its last two matrices.
  std::vector<float> after = embedded;
  NS_ASSERT_OK(transformer->RunLayer(0, 2, 35, after.data(), nullptr, nullptr));
  const auto attention = Times(weights->tensors["blk.0.attn_output.weight"], tap.values["blk.0.attn_output_in"]);
  const auto ffn = Times(weights->tensors["blk.0.ffn_down.weight"], tap.values["blk.0.ffn_down_in"]);
  for (size_t i = 0; i < after.size(); ++i) ASSERT_NEAR(after[i], embedded[i] + attention[i] + ffn[i], 1e-4);
  // And the activations of gate and up of theirs.
  const auto gate = Times(weights->tensors["blk.0.ffn_gate.weight"], tap.values["blk.0.ffn_in"]);
  const auto up = Times(weights->tensors["blk.0.ffn_up.weight"], tap.values["blk.0.ffn_in"]);
  for (size_t i = 0; i < gate.size(); ++i) {
    ASSERT_NEAR(tap.values["blk.0.ffn_down_in"][i], gate[i] / (1 + std::exp(-gate[i])) * up[i], 1e-4);
  }
  const auto head = Times(weights->tensors["output.weight"], tap.values["head_in"]);
  for (size_t i = 0; i < head.size(); ++i) ASSERT_NEAR(head[i], logits[i], 1e-4);
  // The first token of a window attends to itself alone: its attention is its value.
  const auto value = Times(weights->tensors["blk.0.attn_v.weight"], tap.values["blk.0.attn_in"]);
  for (int head = 0; head < 4; ++head) {
    for (int i = 0; i < 16; ++i) ASSERT_NEAR(tap.values["blk.0.attn_output_in"][head * 16 + i], value[head / 2 * 16 + i], 1e-4);
  }
}

TEST(TransformerTest, TapHearsABatchLargerThanAPortionWhole) {
  const auto transformer = Open(TinyModel("llama", {.layers = 1}));
  const auto tokens = TinyTokens(5 * 500, 97);
  Recorder tap;
  EXPECT_EQ(LogitsOf(*transformer, tokens, 5, &tap), LogitsOf(*transformer, tokens, 5));
  EXPECT_EQ(tap.values["blk.0.ffn_down_in"].size(), 2500u * 80);
}

TEST(TransformerTest, InputOfNamesWhatALinearLayerReads) {
  EXPECT_EQ(InputOf("blk.12.attn_q.weight", false), "blk.12.attn_in");
  EXPECT_EQ(InputOf("blk.0.attn_qkv.weight", false), "blk.0.attn_in");
  EXPECT_EQ(InputOf("blk.3.attn_output.weight", false), "blk.3.attn_output_in");
  EXPECT_EQ(InputOf("blk.3.ffn_gate.weight", true), "blk.3.ffn_in");
  EXPECT_EQ(InputOf("blk.3.ffn_up.weight", true), "blk.3.ffn_in");
  EXPECT_EQ(InputOf("blk.3.ffn_down.weight", true), "blk.3.ffn_down_in");
  EXPECT_EQ(InputOf("blk.3.ffn_gate.17.weight", true), "blk.3.ffn_in.17");
  EXPECT_EQ(InputOf("blk.3.ffn_down.0.weight", true), "blk.3.ffn_down_in.0");
  EXPECT_EQ(InputOf("blk.3.ffn_up_shexp.weight", true), "blk.3.ffn_in");
  EXPECT_EQ(InputOf("blk.3.ffn_down_shexp.weight", true), "blk.3.ffn_down_shexp_in");
  EXPECT_EQ(InputOf("blk.3.ffn_gate_inp.weight", true), "");
  EXPECT_EQ(InputOf("output.weight", false), "head_in");
  EXPECT_EQ(InputOf("token_embd.weight", true), "head_in");
  for (const char* none : {"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.bias", "output_norm.weight", "",
                           "blk.", "blk.0", "blk.0.weight", "blk.weight", ".weight", "position_embd.weight"}) {
    EXPECT_EQ(InputOf(none, false), "") << none;
  }
}

}  // namespace
}  // namespace nashswarm::forward
