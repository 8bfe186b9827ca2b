// Gradients of the backward pass against finite differences of the loss, which the plain reference computes in double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/forward/backward.h"
#include "core/forward/derivatives.h"
#include "tests/support/files.h"
#include "tests/unit/forward/gradients.h"
#include "tests/unit/forward/memory_weights.h"
#include "tests/unit/forward/reference.h"

namespace nashswarm::forward {
namespace {

// Every kind of tensor in it, every size another number.
constexpr TinyOptions kSmall = {
    .layers = 2, .width = 24, .heads = 4, .kv_heads = 2, .head_width = 10, .ffn = 21, .vocabulary = 31, .biases = true};

// A model whose head is a tensor of its own, so that a row of the embeddings shows as one alone.
std::shared_ptr<MemoryWeights> Small(const std::string& architecture, TinyOptions options = kSmall) {
  auto weights = TinyModel(architecture, options);
  weights->Add("output.weight", options.vocabulary, options.width, 0, 0.3f);
  return weights;
}

class Checker {
 public:
  // Tokens of a window are all different when there are enough.
  Checker(std::shared_ptr<MemoryWeights> weights, uint64_t windows, uint64_t length)
      : weights_(std::move(weights)), batch_{{}, windows, length} {
    const uint64_t vocabulary = weights_->tensors["token_embd.weight"].shape.rows;
    for (uint64_t t = 0; t < windows * length; ++t) batch_.tokens.push_back(static_cast<int32_t>(t * 7 % vocabulary));
    targets_ = TinyTokens(windows * length, vocabulary, 3);
    gradients_ = GradientsOf(weights_, batch_, targets_);
    inputs_ = InputsOf(weights_, batch_);
  }

  // The sum over tokens of what linear layers tell is the gradient at a bias; weighed with their inputs, that at a weight.
  void CheckLinearLayers(uint64_t every) {
    uint64_t checked = 0;
    for (const auto& [tensor, rows] : gradients_.outputs) {
      const uint64_t outputs = weights_->tensors.at(tensor).shape.rows;
      const bool of_expert = Gradients::OfExpert(tensor);
      if (!of_expert) { ASSERT_EQ(rows.size(), batch_.tokens.size() * outputs) << tensor; }
      const std::string bias = tensor.substr(0, tensor.size() - 6) + "bias";
      std::vector<double> at_bias(outputs);
      for (size_t i = 0; i < rows.size(); ++i) at_bias[i % outputs] += rows[i];
      if (weights_->Find(bias) != nullptr) CheckAll(bias, at_bias, every);
      CheckWeights(tensor, rows, (of_expert ? 11 : 61) * every);
      ++checked;
    }
    const uint64_t layers = std::get<uint64_t>(weights_->hyperparameters.at("block_count").data);
    if (weights_->Find("blk.0.ffn_gate_inp.weight") == nullptr) {
      EXPECT_EQ(checked, layers * (weights_->arch == "gpt2" ? 4 : weights_->arch == "arcee" ? 6 : 7));
    } else {
      EXPECT_GT(checked, layers * (4 + 2 * 3));
    }
  }

  void CheckEmbeddings(uint64_t every) {
    for (const char* table : {"token_embd.weight", "position_embd.weight"}) {
      if (weights_->Find(table) == nullptr) continue;
      const WeightShape shape = *weights_->Find(table);
      std::vector<double> rows(shape.rows * shape.row_weights);
      for (size_t i = 0; i < gradients_.embedding.size(); ++i) {
        const size_t t = i / shape.row_weights;
        const size_t row = table[0] == 't' ? static_cast<size_t>(batch_.tokens[t]) : t % batch_.length;
        rows[row * shape.row_weights + i % shape.row_weights] += gradients_.embedding[i];
      }
      rows.resize(std::min<size_t>(shape.rows, batch_.length + 2) * shape.row_weights);
      CheckAll(table, rows, every);
    }
  }

 private:
  double Loss() const {
    double loss = 0;
    for (uint64_t window = 0; window < batch_.windows; ++window) {
      const auto first = batch_.tokens.begin() + static_cast<ptrdiff_t>(window * batch_.length);
      const auto logits = Reference(*weights_).Logits({first, first + static_cast<ptrdiff_t>(batch_.length)});
      for (uint64_t t = 0; t < batch_.length; ++t) {
        double total = 0;
        for (const double logit : logits[t]) total += std::exp(logit);
        loss += std::log(total) - logits[t][static_cast<size_t>(targets_[window * batch_.length + t])];
      }
    }
    return loss;
  }

  double Difference(float* weight) const {
    constexpr float kStep = 1.0f / 1024;
    const float kept = *weight, up = kept + kStep, down = kept - kStep;
    *weight = up;
    const double above = Loss();
    *weight = down;
    const double below = Loss();
    *weight = kept;
    return (above - below) / (static_cast<double>(up) - down);
  }

  void Check(const std::string& tensor, size_t i, double gradient, double spread) {
    const double expected = Difference(&weights_->tensors.at(tensor).values.at(i));
    EXPECT_NEAR(gradient, expected, 0.005 * std::abs(expected) + 0.001 * spread + 1e-4)
        << weights_->arch << " " << tensor << " " << i;
  }

  // `gradients` are those of the tensor's first values.
  void CheckAll(const std::string& tensor, const std::vector<double>& gradients, uint64_t every) {
    const double squares = std::inner_product(gradients.begin(), gradients.end(), gradients.begin(), 0.0);
    const double spread = std::sqrt(squares / static_cast<double>(gradients.size()));
    for (size_t i = every / 2; i < gradients.size(); i += every) Check(tensor, i, gradients[i], spread);
  }

  void CheckWeights(const std::string& tensor, const std::vector<float>& rows, uint64_t every) {
    const WeightShape shape = weights_->tensors.at(tensor).shape;
    const std::vector<float> x = Gradients::OfExpert(tensor) ? ExpertInput(tensor) : inputs_.at(InputOf(tensor, false));
    ASSERT_EQ(x.size() / shape.row_weights, rows.size() / shape.rows) << tensor;
    for (size_t i = 5; i < shape.rows * shape.row_weights; i += every) {
      double gradient = 0, squares = 0;
      for (uint64_t t = 0; t < rows.size() / shape.rows; ++t) {
        const double g = rows[t * shape.rows + i / shape.row_weights];
        const double product = g * x[t * shape.row_weights + i % shape.row_weights];
        gradient += product;
        squares += product * product;
      }
      Check(tensor, i, gradient, std::sqrt(squares));
    }
  }

  // What the expert of "blk.0.ffn_up.3.weight" reads, as it is; taps hear it times the router's weights. That is right for
  // ffn_down, whose gradient is told as if its input had them.
  std::vector<float> ExpertInput(const std::string& tensor) {
    if (tensor.find("ffn_down") != std::string::npos) return inputs_.at(InputOf(tensor, false));
    const std::string block = tensor.substr(0, tensor.find("ffn_"));
    const auto expert = static_cast<size_t>(std::stoi(tensor.substr(tensor.rfind('.', tensor.size() - 8) + 1)));
    const std::vector<float>& all = inputs_.at(block + "ffn_in");
    const MemoryWeights::Tensor& router = weights_->tensors.at(block + "ffn_gate_inp.weight");
    const uint64_t used = std::get<uint64_t>(weights_->hyperparameters.at("expert_used_count").data), width = router.shape.row_weights;
    std::vector<float> x;
    for (auto row = all.begin(); row != all.end(); row += static_cast<ptrdiff_t>(width)) {
      std::vector<double> logits;
      for (size_t e = 0; e < router.shape.rows; ++e) {
        logits.push_back(std::inner_product(row, row + static_cast<ptrdiff_t>(width), router.values.begin() + static_cast<ptrdiff_t>(e * width), 0.0));
      }
      const auto better = std::count_if(logits.begin(), logits.end(), [&](double logit) { return logit > logits[expert]; });
      if (static_cast<uint64_t>(better) < used) x.insert(x.end(), row, row + static_cast<ptrdiff_t>(width));
    }
    return x;
  }

  std::shared_ptr<MemoryWeights> weights_;
  Batch batch_;
  std::vector<int32_t> targets_;
  Gradients gradients_;
  std::map<std::string, std::vector<float>> inputs_;
};

void ExpectAsDifferences(const std::shared_ptr<MemoryWeights>& weights, uint64_t every = 3) {
  Checker checker(weights, 2, 9);
  checker.CheckLinearLayers(every);
  checker.CheckEmbeddings(every);
}

TEST(GradientTest, Gpt2) { ExpectAsDifferences(Small("gpt2"), 1); }
TEST(GradientTest, Llama) { ExpectAsDifferences(Small("llama"), 1); }
TEST(GradientTest, Qwen2) { ExpectAsDifferences(Small("qwen2"), 1); }
TEST(GradientTest, Qwen3) { ExpectAsDifferences(Small("qwen3"), 1); }
TEST(GradientTest, Arcee) { ExpectAsDifferences(Small("arcee"), 1); }
TEST(GradientTest, SmolLm3) {
  TinyOptions options = kSmall;
  options.layers = 4;
  ExpectAsDifferences(Small("smollm3", options), 3);
}
TEST(GradientTest, LayersWiredInOtherWays) {
  for (const char* wiring : {"parallel", "post-norm", "sandwich", "parallel sandwich, attention last"}) {
    SCOPED_TRACE(wiring);
    ExpectAsDifferences(Rewired(Small("llama"), wiring), 3);
    ExpectAsDifferences(Rewired(Small("qwen2moe"), wiring), 7);
  }
}
TEST(GradientTest, Gemma3) { ExpectAsDifferences(Small("gemma3"), 1); }

TEST(GradientTest, LlamaWithExperts) {
  TinyOptions options = kSmall;
  options.experts = 4;
  ExpectAsDifferences(Small("llama", options), 1);
}
TEST(GradientTest, Qwen2WithExperts) { ExpectAsDifferences(Small("qwen2moe"), 1); }
TEST(GradientTest, Qwen3WithExperts) { ExpectAsDifferences(Small("qwen3moe"), 1); }
TEST(GradientTest, Olmoe) { ExpectAsDifferences(Small("olmoe"), 1); }

TEST(GradientTest, HeadsThatShareNothingAndOneThatIsSharedByAll) {
  for (const uint32_t kv_heads : {1u, 4u}) {
    TinyOptions options = kSmall;
    options.layers = 1;
    options.kv_heads = kv_heads;
    ExpectAsDifferences(Small("llama", options));
  }
}

TEST(GradientTest, SlidingWindow) {
  for (const uint32_t window : {1u, 4u}) {
    auto weights = Small("llama");
    weights->Count("attention.sliding_window", window);
    ExpectAsDifferences(weights);
  }
}

TEST(GradientTest, RopeOfAPartOfAHead) {
  for (const char* architecture : {"llama", "qwen2"}) {
    auto weights = Small(architecture);
    weights->Count("rope.dimension_count", 6);
    ExpectAsDifferences(weights);
  }
}

// Yarn makes rotated heads longer; the way back has to as well.
TEST(GradientTest, RopeThatScales) {
  auto weights = Small("llama");
  weights->hyperparameters["rope.scaling.type"] = checkpoint::GgufValue::String("yarn");
  weights->Real("rope.scaling.factor", 4);
  weights->Count("rope.scaling.original_context_length", 64);
  weights->Real("rope.scaling.attn_factor", 1.5f);
  ExpectAsDifferences(weights);
}

TEST(GradientTest, ScoresOfAnotherScale) {
  auto weights = Small("gemma3");
  weights->Real("attention.scale", 0.6f);
  ExpectAsDifferences(weights);
}

// Longer than a tile of queries, and with more tokens than feed-forward activations are kept of.
TEST(GradientTest, LongWindows) {
  for (const char* architecture : {"gpt2", "llama", "gemma3"}) {
    TinyOptions options = kSmall;
    options.layers = 1;
    options.vocabulary = 211;
    auto weights = Small(architecture, options);
    if (weights->arch == "llama") weights->Count("attention.sliding_window", 100);
    Checker checker(weights, 6, 180);
    checker.CheckLinearLayers(37);
    checker.CheckEmbeddings(2203);
  }
}

// With a tied head both uses of the table make its gradient; the backward pass tells that of the table's rows alone.
TEST(GradientTest, TiedHead) {
  auto untied = TinyModel("qwen2", kSmall);
  untied->tensors["output.weight"] = untied->tensors["token_embd.weight"];
  auto tied = TinyModel("qwen2", kSmall);
  tied->tensors.erase("output.weight");
  const Batch batch{TinyTokens(20, 31), 2, 10};
  const std::vector<int32_t> targets = TinyTokens(20, 31, 5);
  const Gradients one = GradientsOf(untied, batch, targets), other = GradientsOf(tied, batch, targets);
  EXPECT_EQ(one.embedding, other.embedding);
  EXPECT_EQ(one.outputs, other.outputs);
}

TEST(GradientTest, ActivationsFarFromZero) {
  for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
    for (const float at : {-1e30f, -200.0f, -90.0f, 90.0f, 200.0f, 1e30f}) {
      float x = at, up = 3;
      const float g = 2;
      GateDerivative(activation, &g, 1, &x, &up);
      EXPECT_NEAR(x, at > 0 ? 6 : 0, 1e-6) << at;
      EXPECT_NEAR(up, at > 0 ? 2 * at : 0, 1e-6) << at;
      x = at;
      ActivationDerivative(activation, &g, 1, &x);
      EXPECT_NEAR(x, at > 0 ? 2 : 0, 1e-6) << at;
    }
  }
}

TEST(GradientTest, ReluSquared) {
  for (const float at : {-1e9f, -1.5f, 0.0f, 0.25f, 3.0f}) {
    float x = at, up = 3;
    const float g = 2;
    GateDerivative(Activation::kReluSquared, &g, 1, &x, &up);
    EXPECT_EQ(x, at > 0 ? 2 * 3 * 2 * at : 0) << at;
    EXPECT_EQ(up, at > 0 ? 2 * at * at : 0) << at;
    x = at;
    ActivationDerivative(Activation::kReluSquared, &g, 1, &x);
    EXPECT_EQ(x, at > 0 ? 2 * 2 * at : 0) << at;
  }
}

}  // namespace
}  // namespace nashswarm::forward
