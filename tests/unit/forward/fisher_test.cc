#include "core/forward/fisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/status.h"
#include "core/forward/random.h"
#include "tests/support/files.h"
#include "tests/unit/forward/gradient_reference.h"
#include "tests/unit/forward/gradients.h"
#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 11;

Fisher Measure(const std::shared_ptr<const Weights>& weights, const Batch& batch, uint64_t seed = kSeed,
               Options options = {.threads = 2}) {
  auto fisher = MeasureFisher(weights, batch, seed, options, nullptr);
  EXPECT_TRUE(fisher.ok()) << fisher.status();
  return fisher.ok() ? *std::move(fisher) : Fisher{};
}

// As the model's own predictions have it: where the probabilities added up pass a number that is the position's own.
std::vector<int32_t> Targets(const GradientReference::Table& probabilities, uint64_t first) {
  std::vector<int32_t> targets;
  for (const auto& p : probabilities) {
    double left = Random(kSeed, first + targets.size()).Uniform();
    size_t token = 0;
    while (token + 1 < p.size() && (left -= p[token]) >= 0) ++token;
    targets.push_back(static_cast<int32_t>(token));
  }
  return targets;
}

void ExpectNear(const std::string& what, const std::vector<float>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double spread = 0;
  for (const double value : expected) spread += std::abs(value) / static_cast<double>(expected.size());
  EXPECT_GT(spread, 0) << what;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], 1e-4 * std::abs(expected[i]) + 1e-4 * spread) << what << " " << i;
  }
}

std::vector<double> Flat(const GradientReference::Table& rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return values;
}

// Means over the windows of what the reference says.
struct Expected {
  Expected(const MemoryWeights& weights, const Batch& batch) : width(weights.tensors.at("output_norm.weight").values.size()) {
    const uint64_t vocabulary = weights.Find("token_embd.weight")->rows;
    tokens.resize(vocabulary);
    positions.resize(weights.Find("position_embd.weight") != nullptr ? weights.Find("position_embd.weight")->rows : 0);
    head.resize(vocabulary);
    moment.resize(width * width);
    for (uint64_t first = 0; first < batch.tokens.size(); first += batch.length) Add(weights, batch, first);
  }

  void Add(const MemoryWeights& weights, const Batch& batch, uint64_t first) {
    const auto begin = batch.tokens.begin() + static_cast<ptrdiff_t>(first);
    const std::vector<int32_t> window(begin, begin + static_cast<ptrdiff_t>(batch.length));
    GradientReference reference(weights);
    reference.Forward(window);
    reference.Backward(Targets(reference.probabilities, first));
    const double share = 1 / static_cast<double>(batch.tokens.size());
    for (const auto& [tensor, gradients] : reference.outputs) {
      rows[tensor].resize(gradients[0].size());
      for (const auto& g : gradients) {
        for (size_t i = 0; i < g.size(); ++i) rows[tensor][i] += share * g[i] * g[i];
      }
    }
    for (uint64_t t = 0; t < batch.length; ++t) {
      for (size_t v = 0; v < head.size(); ++v) {
        head[v] += share * reference.probabilities[t][v] * (1 - reference.probabilities[t][v]);
      }
      const auto& g = reference.embedding[t];
      for (uint64_t i = 0; i < width; ++i) {
        tokens[static_cast<size_t>(window[t])] += share * g[i] * g[i] / static_cast<double>(width);
        if (!positions.empty()) positions[t] += share * g[i] * g[i] / static_cast<double>(width);
        for (uint64_t j = 0; j < width; ++j) moment[i * width + j] += share * g[i] * g[j];
      }
    }
  }

  uint64_t width;
  std::map<std::string, std::vector<double>> rows;
  std::vector<double> head, tokens, positions, moment;
};

void ExpectAsReference(const std::shared_ptr<MemoryWeights>& weights, uint64_t windows, uint64_t length) {
  const Batch batch{TinyTokens(windows * length, weights->Find("token_embd.weight")->rows), windows, length};
  const Fisher fisher = Measure(weights, batch);
  const Expected expected(*weights, batch);
  EXPECT_EQ(fisher.tokens, windows * length);
  EXPECT_EQ(fisher.rows.size(), expected.rows.size() + 1);
  for (const auto& [tensor, rows] : expected.rows) {
    ASSERT_EQ(fisher.rows.count(tensor), 1u) << tensor;
    ExpectNear(tensor, fisher.rows.at(tensor), rows);
  }
  const char* head = weights->Find("output.weight") != nullptr ? "output.weight" : "token_embd.weight";
  ASSERT_EQ(fisher.rows.count(head), 1u);
  ExpectNear(head, fisher.rows.at(head), expected.head);
  EXPECT_EQ(fisher.tables.size(), expected.positions.empty() ? 1u : 2u);
  for (const auto& [name, table] : fisher.tables) {
    ExpectNear(name, table.rows, name == "token_embd.weight" ? expected.tokens : expected.positions);
    ExpectNear(name + " moment", table.moment, expected.moment);
  }
}

TEST(FisherTest, Gpt2) { ExpectAsReference(TinyModel("gpt2", {.layers = 1}), 2, 40); }
TEST(FisherTest, Llama) { ExpectAsReference(TinyModel("llama", {.layers = 1}), 2, 40); }
TEST(FisherTest, LlamaWithBiasesAndTiedHead) {
  ExpectAsReference(TinyModel("llama", {.layers = 1, .biases = true, .tied = true}), 1, 30);
}

// More than one group, the last of another size; tables wider than a tile of their moment.
TEST(FisherTest, ManyWindows) {
  ExpectAsReference(TinyModel("gpt2", {.layers = 1, .width = 140, .heads = 2, .ffn = 20, .context = 150}), 15, 150);
  const TinyOptions narrow = {.layers = 1, .width = 20, .heads = 2, .kv_heads = 1, .head_width = 8, .ffn = 20};
  ExpectAsReference(TinyModel("llama", narrow), 450, 5);
}

// A vocabulary whose logits are made in portions, and whose head is multiplied in pieces. (Sampling would be no comparison
// here: among so many tokens a float's rounding chooses the neighbour.)
TEST(FisherTest, LargeVocabulary) {
  const auto weights = TinyModel("llama", {.layers = 1, .width = 8, .heads = 1, .kv_heads = 1, .head_width = 8, .ffn = 8,
                                           .vocabulary = 700'000});
  const std::vector<int32_t> tokens = TinyTokens(30, 700'000), targets = TinyTokens(30, 700'000, 2);
  GradientReference reference(*weights);
  reference.Forward(tokens);
  reference.Backward(targets);
  const Gradients gradients = GradientsOf(weights, {tokens, 1, 30}, targets);
  for (const auto& [tensor, rows] : reference.outputs) ExpectNear(tensor, gradients.outputs.at(tensor), Flat(rows));
  ExpectNear("embedding", gradients.embedding, Flat(reference.embedding));
  ExpectNear("probabilities", gradients.probabilities, Flat(reference.probabilities));
}

TEST(FisherTest, HeadRowsAreTheSpreadOfPredictions) {
  const auto weights = TinyModel("qwen3");
  const Batch batch{TinyTokens(60, 97), 2, 30};
  const auto transformer = *Transformer::Open(weights, {.threads = 1});
  std::vector<float> hidden(60 * 48), logits(60 * 97);
  NS_ASSERT_OK(transformer->Run(batch, hidden.data(), nullptr));
  NS_ASSERT_OK(transformer->Logits(hidden.data(), 60, logits.data(), nullptr));
  std::vector<double> expected(97);
  for (size_t t = 0; t < 60; ++t) {
    double total = 0;
    for (size_t v = 0; v < 97; ++v) total += std::exp(double{logits[t * 97 + v]});
    for (size_t v = 0; v < 97; ++v) {
      const double p = std::exp(double{logits[t * 97 + v]}) / total;
      expected[v] += p * (1 - p) / 60;
    }
  }
  ExpectNear("head", Measure(weights, batch).rows.at("output.weight"), expected);
}

TEST(FisherTest, NamesAndSizesAreThoseOfTheTensors) {
  for (const char* architecture : {"gpt2", "llama", "qwen2", "qwen3", "gemma3"}) {
    const auto weights = TinyModel(architecture);
    const Fisher fisher = Measure(weights, {TinyTokens(30, 97), 3, 10});
    const bool tied = weights->Find("output.weight") == nullptr;
    std::set<std::string> expected;
    for (const auto& [name, tensor] : weights->tensors) {
      if (InputOf(name, tied).empty()) continue;
      expected.insert(name);
      ASSERT_EQ(fisher.rows.count(name), 1u) << architecture << " " << name;
      EXPECT_EQ(fisher.rows.at(name).size(), tensor.shape.rows) << architecture << " " << name;
      for (const float value : fisher.rows.at(name)) {
        EXPECT_TRUE(std::isfinite(value) && value > 0) << architecture << " " << name;
      }
    }
    EXPECT_EQ(fisher.rows.size(), expected.size()) << architecture;
    for (const auto& [name, table] : fisher.tables) {
      EXPECT_EQ(table.rows.size(), weights->Find(name)->rows);
      double rows = 0, trace = 0;
      for (const float value : table.rows) rows += value;
      for (uint64_t i = 0; i < 48; ++i) trace += table.moment[i * 48 + i] / 48;
      EXPECT_NEAR(rows, trace, 1e-5 * trace) << architecture << " " << name;
    }
  }
}

void ExpectSame(const Fisher& a, const Fisher& b, const std::string& what) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.rows, b.rows) << what;
  ASSERT_EQ(a.tables.size(), b.tables.size()) << what;
  for (const auto& [name, table] : a.tables) {
    EXPECT_EQ(table.rows, b.tables.at(name).rows) << what << " " << name;
    EXPECT_EQ(table.moment, b.tables.at(name).moment) << what << " " << name;
  }
}

TEST(FisherTest, ThreadsChangeNoBit) {
  for (const char* architecture : {"gpt2", "llama", "qwen3", "gemma3"}) {
    const auto weights = TinyModel(architecture);
    const Batch batch{TinyTokens(9 * 300, 97), 9, 300};
    const Fisher one = Measure(weights, batch, kSeed, {.threads = 1});
    for (const int threads : {2, 3}) ExpectSame(Measure(weights, batch, kSeed, {.threads = threads}), one, architecture);
  }
}

TEST(FisherTest, WeightsThatDoNotFitAreReadAgain) {
  const auto weights = TinyModel("qwen2", {.layers = 3, .vocabulary = 5000});
  const Batch batch{TinyTokens(80, 5000), 2, 40};
  const Fisher all = Measure(weights, batch);
  ExpectSame(Measure(weights, batch, kSeed, {.threads = 2, .weight_bytes = 0}), all, "none kept");
  ExpectSame(Measure(weights, batch, kSeed, {.threads = 2, .weight_bytes = 100'000}), all, "some kept");
}

TEST(FisherTest, SeedsChooseTargets) {
  const auto weights = TinyModel("llama");
  const Batch batch{TinyTokens(40, 97), 1, 40};
  const Fisher one = Measure(weights, batch), again = Measure(weights, batch), other = Measure(weights, batch, kSeed + 1);
  ExpectSame(one, again, "the same seed");
  EXPECT_NE(one.rows.at("blk.0.attn_q.weight"), other.rows.at("blk.0.attn_q.weight"));
  EXPECT_EQ(one.rows.at("output.weight"), other.rows.at("output.weight"));  // of all targets
}

TEST(FisherTest, ProgressGoesUpToAllTokensAndMayStopTheRun) {
  const auto weights = TinyModel("llama", {.layers = 3, .width = 16, .heads = 1, .kv_heads = 1, .ffn = 16});
  const Batch batch{TinyTokens(30 * 100, 97), 30, 100};
  uint64_t last = 0, calls = 0;
  const auto count = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 3000u);
    EXPECT_GE(done, last);
    last = done;
    ++calls;
    return absl::OkStatus();
  };
  EXPECT_TRUE(MeasureFisher(weights, batch, kSeed, {.threads = 2}, count).ok());
  EXPECT_EQ(last, 3000u);
  EXPECT_EQ(calls, 2u * 7);  // two groups, three layers forward and back, the head
  for (const uint64_t stop : {uint64_t{1}, uint64_t{500}, uint64_t{1500}, uint64_t{3000}}) {
    const auto cancel = [&](uint64_t done, uint64_t) {
      return done >= stop ? absl::CancelledError("enough") : absl::OkStatus();
    };
    EXPECT_EQ(MeasureFisher(weights, batch, kSeed, {.threads = 2}, cancel).status(), absl::CancelledError("enough"));
  }
}

void ExpectError(const std::shared_ptr<MemoryWeights>& weights, const Batch& batch, const std::string& reason,
                 const std::string& text) {
  const absl::Status status = MeasureFisher(weights, batch, kSeed, {.threads = 2}, nullptr).status();
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(FisherTest, Errors) {
  const auto weights = TinyModel("llama", {.context = 16});
  ExpectError(weights, {{}, 0, 0}, "BATCH_SHAPE", "nothing to measure");
  ExpectError(weights, {{}, 3, 0}, "BATCH_SHAPE", "nothing to measure");
  ExpectError(weights, {{1, 2, 3}, 2, 2}, "BATCH_SHAPE", "3 tokens are not 2 windows of 2");
  ExpectError(weights, {{}, uint64_t{1} << 62, 4}, "BATCH_SHAPE", "0 tokens");
  ExpectError(weights, {{1, 97}, 1, 2}, "TOKEN_OUT_OF_RANGE", "token 97");
  ExpectError(weights, {std::vector<int32_t>(17), 1, 17}, "CONTEXT_TOO_LONG", "17");
  auto unknown = TinyModel("llama");
  unknown->arch = "mamba";
  ExpectError(unknown, {{1}, 1, 1}, "ARCHITECTURE_UNKNOWN", "mamba");
  auto missing = TinyModel("llama");
  missing->tensors.erase("blk.1.ffn_up.weight");
  ExpectError(missing, {{1}, 1, 1}, "MODEL_TENSOR_MISSING", "blk.1.ffn_up.weight");
  auto damaged = TinyModel("gpt2");
  damaged->tensors["blk.1.ffn_up.weight"].values[7] = std::nanf("");
  ExpectError(damaged, {{1, 2}, 1, 2}, "NON_FINITE_ACTIVATIONS", "blk.1.ffn_up.weight");
  auto head = TinyModel("llama");
  head->tensors["output.weight"].values[7] = std::nanf("");
  ExpectError(head, {{1, 2}, 1, 2}, "NON_FINITE_ACTIVATIONS", "output.weight");
}

// Embeddings so small that a step of one is beyond all measure: the predictions are finite, their slope is not.
TEST(FisherTest, GradientsThatOverflow) {
  auto weights = TinyModel("llama", {.layers = 1});
  for (float& value : weights->tensors["token_embd.weight"].values) value *= 1e-42f;
  for (float& value : weights->tensors["blk.0.attn_norm.weight"].values) value *= 1e30f;
  weights->Real("attention.layer_norm_rms_epsilon", 1e-45f);
  ExpectError(weights, {{1, 2, 3}, 1, 3}, "NON_FINITE_GRADIENTS", "layer 0");
}

}  // namespace
}  // namespace nashswarm::forward
