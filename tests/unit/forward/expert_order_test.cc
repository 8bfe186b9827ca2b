// The experts of a layer may lie in any order: the model computes the same, to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/status.h"
#include "core/forward/blocks/expert_choices.h"
#include "core/forward/transformer.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::forward {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyMixture;
using ::nashswarm::testing::TinyTensor;

constexpr uint64_t kTokens = 30;

std::vector<uint32_t> Shuffled(uint32_t experts, uint32_t seed) {
  std::vector<uint32_t> order(experts);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  return order;
}

// Place p of every layer has what was expert order[p]; `with_router`: its rows follow.
TinyCheckpoint Reordered(const TinyCheckpoint& tiny, const std::vector<uint32_t>& order, bool with_router) {
  TinyCheckpoint out = tiny;
  for (const auto& [name, tensor] : tiny.tensors) {
    const size_t at = name.find(".experts."), number = at + 9;
    if (at != std::string::npos) {
      const size_t end = name.find('.', number);
      const auto place = static_cast<size_t>(std::stoi(name.substr(number, end - number)));
      out.tensors[name] = tiny.tensors.at(name.substr(0, number) + std::to_string(order[place]) + name.substr(end));
    } else if (with_router && tensor.shape[0] == order.size() && name.find(".gate.weight") != std::string::npos) {
      const uint64_t width = tensor.shape[1];
      for (size_t place = 0; place < order.size(); ++place) {
        std::copy_n(tensor.values.begin() + static_cast<ptrdiff_t>(order[place] * width), width,
                    out.tensors[name].values.begin() + static_cast<ptrdiff_t>(place * width));
      }
    }
  }
  return out;
}

std::vector<float> LogitsOf(const TinyCheckpoint& tiny, InputTap* tap = nullptr) {
  const auto directory = MakeTemporaryDirectory();
  tiny.Write(directory.path());
  const auto checkpoint = *checkpoint::Checkpoint::Open(directory.path());
  const model::Model model = *model::MapModel(*checkpoint);
  const auto transformer = *Transformer::Open(WeightsOf(*checkpoint, model), {2});
  std::vector<int32_t> tokens(kTokens);
  for (size_t t = 0; t < kTokens; ++t) tokens[t] = static_cast<int32_t>(t * 37 % 290);
  std::vector<float> hidden(kTokens * transformer->width()), logits(kTokens * transformer->vocabulary());
  NS_EXPECT_OK(transformer->Run({tokens, 1, kTokens}, hidden.data(), tap));
  NS_EXPECT_OK(transformer->Logits(hidden.data(), kTokens, logits.data(), nullptr));
  return logits;
}

TEST(ExpertOrderTest, LogitsAreTheSameToTheBit) {
  for (const char* type : {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe"}) {
    for (const int experts : {4, 13, 60}) {
      const TinyCheckpoint tiny = TinyMixture(type, experts);
      const std::vector<uint32_t> order = Shuffled(static_cast<uint32_t>(experts), 7);
      const std::vector<float> logits = LogitsOf(tiny);
      EXPECT_EQ(LogitsOf(Reordered(tiny, order, true)), logits) << type << " of " << experts;
      EXPECT_NE(LogitsOf(Reordered(tiny, order, false)), logits) << type << " of " << experts << ": a router of its own order";
    }
  }
}

// Whatever kernels BLAS has for this machine.
TEST(ExpertOrderTest, LogitsOfARouterDoNotDependOnTheirRows) {
  constexpr uint64_t kExperts = 13, kWidth = 83;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  const std::vector<uint32_t> order = Shuffled(kExperts, 2);
  Matrix plain, turned;
  for (Matrix* matrix : {&plain, &turned}) {
    matrix->outputs = kExperts;
    matrix->inputs = kWidth;
    matrix->weight.resize(kExperts * kWidth);
  }
  for (float& weight : plain.weight) weight = normal(random);
  for (uint64_t e = 0; e < kExperts; ++e) std::copy_n(&plain.weight[order[e] * kWidth], kWidth, &turned.weight[e * kWidth]);
  ThreadPool pool(2);
  for (const uint64_t tokens : {1u, 7u, 300u}) {
    std::vector<float> x(tokens * kWidth), logits(tokens * kExperts), other(logits.size());
    for (float& value : x) value = normal(random);
    RouterLogits(pool, plain, x.data(), tokens, logits.data());
    RouterLogits(pool, turned, x.data(), tokens, other.data());
    for (size_t i = 0; i < other.size(); ++i) ASSERT_EQ(other[i], logits[i / kExperts * kExperts + order[i % kExperts]]) << tokens;
  }
}

// Their sum is over all experts, and floats depend on the order they are added in.
TEST(ExpertOrderTest, WeightsAreTheSameToTheBit) {
  constexpr uint64_t kExperts = 100, kRows = 200, kUsed = 5;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(kRows * kExperts), turned(logits.size());
  for (float& logit : logits) logit = normal(random);
  const std::vector<uint32_t> order = Shuffled(kExperts, 1);
  for (size_t i = 0; i < logits.size(); ++i) turned[i] = logits[i / kExperts * kExperts + order[i % kExperts]];
  ExpertChoices plain{kRows, kUsed, std::vector<uint16_t>(kRows * kUsed), {}}, other = plain;
  ChooseGreatest(logits.data(), kRows, kExperts, kUsed, plain.expert.data());
  ChooseGreatest(turned.data(), kRows, kExperts, kUsed, other.expert.data());
  for (const bool normalized : {false, true}) {
    WeighExperts(logits.data(), kExperts, normalized, &plain);
    WeighExperts(turned.data(), kExperts, normalized, &other);
    EXPECT_EQ(plain.weight, other.weight) << normalized;
  }
  for (size_t i = 0; i < plain.expert.size(); ++i) ASSERT_EQ(order[other.expert[i]], plain.expert[i]);
}

TEST(ExpertOrderTest, TapHearsWhichExpertsEachTokenTakes) {
  struct Listener : InputTap {
    void Input(const std::string& input, const float*, uint64_t tokens, uint64_t) override { heard[input] = tokens; }
    void Experts(uint64_t layer, const uint16_t* chosen, uint64_t tokens, uint64_t used) override {
      EXPECT_TRUE(heard.contains(absl::StrCat("blk.", layer, ".ffn_in")));
      EXPECT_FALSE(heard.contains(absl::StrCat("blk.", layer, ".ffn_in.0")));
      EXPECT_EQ(tokens, kTokens);
      EXPECT_EQ(used, 2u);
      choices.emplace_back(chosen, chosen + tokens * used);
    }
    std::map<std::string, uint64_t> heard;
    std::vector<std::vector<uint16_t>> choices;
  } tap;
  LogitsOf(TinyMixture("qwen2_moe", 5), &tap);
  ASSERT_EQ(tap.choices.size(), 2u);
  for (size_t layer = 0; layer < 2; ++layer) {
    for (uint16_t e = 0; e < 5; ++e) {
      const auto tokens = static_cast<uint64_t>(std::count(tap.choices[layer].begin(), tap.choices[layer].end(), e));
      EXPECT_EQ(tap.heard[absl::StrCat("blk.", layer, ".ffn_in.", e)], tokens);
    }
    for (size_t i = 0; i < tap.choices[layer].size(); i += 2) EXPECT_NE(tap.choices[layer][i], tap.choices[layer][i + 1]);
  }
}

}  // namespace
}  // namespace nashswarm::forward
