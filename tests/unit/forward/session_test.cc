// Continuing sequences with kept keys and values, and text made that way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/status.h"
#include "core/forward/generate.h"
#include "core/forward/transformer.h"
#include "tests/support/files.h"
#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {
namespace {

std::unique_ptr<Transformer> Open(const std::shared_ptr<MemoryWeights>& weights, int threads = 2) {
  auto opened = Transformer::Open(weights, {.threads = threads});
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

std::vector<float> FullPass(Transformer& transformer, const std::vector<int32_t>& tokens, uint64_t windows) {
  std::vector<float> hidden(tokens.size() * transformer.width()), logits(tokens.size() * transformer.vocabulary());
  NS_EXPECT_OK(transformer.Run({tokens, windows, tokens.size() / windows}, hidden.data(), nullptr));
  NS_EXPECT_OK(transformer.Logits(hidden.data(), tokens.size(), logits.data(), nullptr));
  return logits;
}

// Steps of `counts` tokens; after each, the logits are those of the full pass.
void ExpectAsFullPass(const std::shared_ptr<MemoryWeights>& weights, const std::vector<uint64_t>& counts) {
  constexpr uint64_t kWindows = 2, kVocabulary = 97;
  const auto transformer = Open(weights);
  uint64_t length = 0;
  for (const uint64_t count : counts) length += count;
  const auto tokens = TinyTokens(kWindows * length, kVocabulary);
  const std::vector<float> expected = FullPass(*transformer, tokens, kWindows);
  auto session = transformer->Start(kWindows, length);
  NS_ASSERT_OK(session.status());
  for (const uint64_t count : counts) {
    const uint64_t from = (*session)->position();
    std::vector<int32_t> step;
    for (uint64_t w = 0; w < kWindows; ++w) {
      step.insert(step.end(), tokens.begin() + w * length + from, tokens.begin() + w * length + from + count);
    }
    std::vector<float> logits(kWindows * kVocabulary);
    NS_ASSERT_OK((*session)->Step(step, count, logits.data()));
    ASSERT_EQ((*session)->position(), from + count);
    for (size_t i = 0; i < logits.size(); ++i) {
      const uint64_t position = i / kVocabulary * length + from + count - 1;
      ASSERT_NEAR(logits[i], expected[position * kVocabulary + i % kVocabulary], 3e-5) << weights->arch << " after " << from + count;
    }
  }
}

TEST(SessionTest, StepsGiveTheLogitsOfTheFullPass) {
  for (const char* architecture : {"gpt2", "llama", "qwen2", "qwen3", "gemma3"}) {
    ExpectAsFullPass(TinyModel(architecture), {1, 1, 1, 5, 1, 12, 1, 1});
    ExpectAsFullPass(TinyModel(architecture), {20, 1, 1});
  }
}

TEST(SessionTest, SlidingWindow) {
  auto weights = TinyModel("llama");
  weights->Count("attention.sliding_window", 4);
  ExpectAsFullPass(weights, {3, 1, 1, 1, 7, 1, 1});
}

TEST(SessionTest, MoreKeysThanATile) { ExpectAsFullPass(TinyModel("llama"), {250, 1, 1, 20, 1, 200, 1, 100, 1}); }

TEST(SessionTest, ThreadsChangeNoBit) {
  const auto weights = TinyModel("llama");
  const std::vector<int32_t> tokens = TinyTokens(6, 97);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    const auto transformer = Open(weights, threads);
    auto session = *transformer->Start(3, 10);
    std::vector<float> logits(3 * 97);
    NS_ASSERT_OK(session->Step(tokens, 2, logits.data()));
    NS_ASSERT_OK(session->Step(absl::MakeConstSpan(tokens).subspan(0, 3), 1, logits.data()));
    results.push_back(logits);
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

TEST(SessionTest, Errors) {
  const auto transformer = Open(TinyModel("gpt2", {.context = 8}));
  EXPECT_EQ(ReasonOf(transformer->Start(1, 9).status()), "CONTEXT_TOO_LONG");
  EXPECT_EQ(ReasonOf(transformer->Start(uint64_t{1} << 60, 8).status()), "BATCH_TOO_LARGE");
  EXPECT_EQ(ReasonOf(transformer->Start(0, 8).status()), "BATCH_TOO_LARGE");
  auto session = *transformer->Start(2, 4);
  std::vector<float> logits(2 * 97);
  EXPECT_EQ(ReasonOf(session->Step({1, 2, 3}, 2, logits.data())), "BATCH_SHAPE");
  EXPECT_EQ(ReasonOf(session->Step({}, 0, logits.data())), "BATCH_SHAPE");
  EXPECT_EQ(ReasonOf(session->Step({1, 97}, 1, logits.data())), "TOKEN_OUT_OF_RANGE");
  NS_EXPECT_OK(session->Step({1, 2, 3, 4, 5, 6}, 3, logits.data()));
  EXPECT_EQ(ReasonOf(session->Step({1, 2, 3, 4}, 2, logits.data())), "CONTEXT_TOO_LONG");
  NS_EXPECT_OK(session->Step({1, 2}, 1, logits.data()));
}

std::vector<std::vector<int32_t>> Make(Transformer& transformer, const std::vector<std::vector<int32_t>>& prompts,
                                       uint64_t length, const Sampling& sampling) {
  auto made = Generate(transformer, prompts, length, sampling, nullptr);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *std::move(made) : std::vector<std::vector<int32_t>>();
}

TEST(GenerateTest, GreedyTakesTheLikeliestToken) {
  const auto transformer = Open(TinyModel("llama"));
  const auto made = Make(*transformer, {{5, 9, 2}, {1, 1, 1}}, 20, {.temperature = 0});
  ASSERT_EQ(made.size(), 2u);
  for (const auto& sequence : made) {
    ASSERT_EQ(sequence.size(), 20u);
    const std::vector<float> logits = FullPass(*transformer, sequence, 1);
    for (uint64_t t = 2; t + 1 < 20; ++t) {
      const auto begin = logits.begin() + t * 97;
      EXPECT_EQ(sequence[t + 1], std::max_element(begin, begin + 97) - begin);
    }
  }
}

TEST(GenerateTest, SameSeedSameText) {
  const auto weights = TinyModel("llama");
  const Sampling sampling{.temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 7};
  const auto made = Make(*Open(weights, 1), {{5, 9}, {5, 9}}, 30, sampling);
  EXPECT_EQ(Make(*Open(weights, 3), {{5, 9}, {5, 9}}, 30, sampling), made);
  EXPECT_NE(made[0], made[1]);  // each draws for itself
  EXPECT_NE(Make(*Open(weights), {{5, 9}, {5, 9}}, 30, {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 8}), made);
  // The first sequence is the same in company and alone.
  EXPECT_EQ(Make(*Open(weights), {{5, 9}}, 30, sampling)[0], made[0]);
}

TEST(GenerateTest, DrawsByProbability) {
  const auto transformer = Open(TinyModel("llama"));
  std::vector<float> logits = FullPass(*transformer, {3}, 1);
  std::vector<double> wanted(97);
  double total = 0;
  for (int i = 0; i < 97; ++i) total += wanted[i] = std::exp(logits[i] / 0.7);
  constexpr int kDraws = 20000;
  const auto made = Make(*transformer, std::vector<std::vector<int32_t>>(kDraws, {3}), 2, {.temperature = 0.7, .seed = 1});
  std::vector<int> seen(97);
  for (const auto& sequence : made) ++seen[sequence[1]];
  for (int i = 0; i < 97; ++i) {
    const double p = wanted[i] / total;
    EXPECT_NEAR(seen[i], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)) + 1) << i;  // five standard deviations
  }
}

TEST(GenerateTest, TopKAndTopPKeepTheLikeliest) {
  const auto transformer = Open(TinyModel("llama"));
  const std::vector<float> logits = FullPass(*transformer, {3}, 1);
  std::vector<int32_t> order(97);
  for (int i = 0; i < 97; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
  const auto tokens_of = [&](Sampling sampling) {
    std::set<int32_t> tokens;
    for (const auto& s : Make(*transformer, std::vector<std::vector<int32_t>>(3000, {3}), 2, sampling)) tokens.insert(s[1]);
    return tokens;
  };
  EXPECT_EQ(tokens_of({.top_k = 3}), std::set<int32_t>(order.begin(), order.begin() + 3));
  EXPECT_EQ(tokens_of({.top_k = 1}), std::set<int32_t>{order[0]});
  EXPECT_EQ(tokens_of({.top_p = 1e-9}), std::set<int32_t>{order[0]});
  double total = 0, kept = 0;
  for (const float logit : logits) total += std::exp(double{logit});
  size_t count = 0;
  while (kept < 0.3 * total) kept += std::exp(double{logits[order[count++]]});
  EXPECT_EQ(tokens_of({.top_p = 0.3}), std::set<int32_t>(order.begin(), order.begin() + count));
}

TEST(GenerateTest, ProgressAndErrors) {
  const auto transformer = Open(TinyModel("llama", {.context = 16}));
  std::vector<uint64_t> heard;
  const auto listen = [&](uint64_t made) {
    heard.push_back(made);
    return made < 6 ? absl::OkStatus() : absl::CancelledError("enough");
  };
  EXPECT_EQ(Generate(*transformer, {{1}, {2}}, 10, {}, listen).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(heard, (std::vector<uint64_t>{2, 4, 6}));
  EXPECT_EQ(Make(*transformer, {{1, 2}}, 2, {}), (std::vector<std::vector<int32_t>>{{1, 2}}));
  EXPECT_EQ(Make(*transformer, {{1, 2}}, 17, {})[0].size(), 17u);  // the last token needs no room
  const auto reason = [&](const std::vector<std::vector<int32_t>>& prompts, uint64_t length, const Sampling& sampling) {
    return ReasonOf(Generate(*transformer, prompts, length, sampling, nullptr).status());
  };
  EXPECT_EQ(reason({{1, 2}}, 18, {}), "CONTEXT_TOO_LONG");
  EXPECT_EQ(reason({{1, 2}, {1}}, 8, {}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{}}, 8, {}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1, 2}}, 1, {}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1}}, 8, {.temperature = -1}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1}}, 8, {.temperature = NAN}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1}}, 8, {.top_k = -1}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1}}, 8, {.top_p = 0}), "SAMPLING_INVALID");
  EXPECT_EQ(reason({{1}}, 8, {.top_p = 1.5}), "SAMPLING_INVALID");
}

}  // namespace
}  // namespace nashswarm::forward
