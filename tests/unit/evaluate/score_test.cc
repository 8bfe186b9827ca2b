#include "core/evaluate/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/status.h"

namespace nashswarm::evaluate {
namespace {

// Its hidden state is the token, and its logits are a row of a table: the arithmetic can be followed by hand.
class TableModel : public forward::Transformer {
 public:
  explicit TableModel(std::vector<std::vector<float>> table) : table_(std::move(table)) {}
  uint64_t layers() const override { return 1; }
  uint64_t width() const override { return 1; }
  uint64_t vocabulary() const override { return table_[0].size(); }
  uint64_t context() const override { return 8; }
  bool tied_head() const override { return true; }
  uint64_t experts() const override { return 0; }
  uint64_t experts_used() const override { return 0; }
  bool normalized_experts() const override { return false; }
  void SetRouter(forward::ExpertRouter) override {}
  absl::Status Embed(const forward::Batch& batch, float* hidden) override {
    largest_batch = std::max(largest_batch, batch.windows);
    for (size_t i = 0; i < batch.tokens.size(); ++i) hidden[i] = static_cast<float>(batch.tokens[i]);
    return absl::OkStatus();
  }
  absl::Status RunLayer(uint64_t, uint64_t, uint64_t, float*, forward::InputTap*, const forward::Weights*) override {
    return absl::OkStatus();
  }
  absl::Status FinalNorm(uint64_t, float*, forward::InputTap*) override { return absl::OkStatus(); }
  absl::Status Logits(const float* normed, uint64_t rows, float* logits, const forward::Weights*) override {
    for (uint64_t r = 0; r < rows; ++r) {
      const auto& row = table_[static_cast<size_t>(normed[r])];
      std::copy(row.begin(), row.end(), logits + r * row.size());
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Session>> Start(uint64_t, uint64_t) override { return absl::UnimplementedError(""); }
  uint64_t largest_batch = 0;

 private:
  std::vector<std::vector<float>> table_;
};

float Log(double p) { return static_cast<float>(std::log(p)); }

const Progress kSilent = [](uint64_t, uint64_t) { return absl::OkStatus(); };

// After 0 comes 1 with probability 3/4, after 1 everything is as likely.
TableModel Model() { return TableModel({{Log(0.25), Log(0.75)}, {0, 0}}); }
TableModel Uniform() { return TableModel({{0, 0}, {0, 0}}); }

TEST(ScoreTest, PerplexityByHand) {
  TableModel model = Model();
  const std::vector<Window> windows = {{{0, 1, 0, 0}, 2}};  // scores 0 after 1 (1/2) and 0 after 0 (1/4)
  const auto predictions = *Predict(model, windows, kSilent);
  const Score score = *ScorePredictions(predictions, nullptr, windows, 1);
  EXPECT_EQ(score.tokens, 2u);
  EXPECT_NEAR(score.perplexity, std::sqrt(2.0 * 4.0), 1e-5);
  EXPECT_FALSE(score.agreement.has_value());
  const double half = (std::log(4.0) - std::log(2.0)) / 2;  // the two differ from their mean by this
  EXPECT_NEAR(score.mean_nll_stderr, std::sqrt(2 * half * half / 1 / 2), 1e-6);
}

TEST(ScoreTest, AgreementByHand) {
  TableModel reference = Model(), model = Uniform();
  const std::vector<Window> windows = {{{0, 1, 0, 1}, 1}};  // contexts 0, 1, 0
  const auto expected = *Predict(reference, windows, kSilent), predictions = *Predict(model, windows, kSilent);
  const Score score = *ScorePredictions(predictions, &expected, windows, 2);
  const double kl = 0.25 * std::log(0.5) + 0.75 * std::log(1.5);  // in context 0; none in context 1
  ASSERT_TRUE(score.agreement.has_value());
  EXPECT_NEAR(score.agreement->mean_kl, 2 * kl / 3, 1e-6);
  EXPECT_NEAR(score.agreement->p99_kl, kl, 1e-6);
  // Uniform's top is token 0, the reference's in context 0 is token 1.
  EXPECT_NEAR(score.agreement->same_top1, 1.0 / 3, 1e-9);
  const double squares = 2 * (kl / 3) * (kl / 3) + (2 * kl / 3) * (2 * kl / 3);
  EXPECT_NEAR(score.agreement->mean_kl_stderr, std::sqrt(squares / 2 / 3), 1e-6);
}

// Each model's own error of the mean is far greater than that of the difference: what is hard for one is hard for the other.
TEST(ScoreTest, TheChangeOfPerplexityHasThePairedError) {
  TableModel reference = Model(), model = Uniform();
  const std::vector<Window> windows = {{{0, 1, 0, 1, 0, 0}, 1}};  // targets 1, 0, 1, 0, 0 after 0, 1, 0, 1, 0
  const auto expected = *Predict(reference, windows, kSilent), predictions = *Predict(model, windows, kSilent);
  const Score score = *ScorePredictions(predictions, &expected, windows, 1);
  const double rare = std::log(2.0) - std::log(4.0), common = std::log(2.0) - std::log(4.0 / 3);
  const double changes[] = {common, 0, common, 0, rare};
  double mean = 0, squares = 0;
  for (const double change : changes) mean += change / 5;
  for (const double change : changes) squares += (change - mean) * (change - mean);
  EXPECT_NEAR(score.agreement->mean_nll_change, mean, 1e-6);
  EXPECT_NEAR(score.agreement->mean_nll_change_stderr, std::sqrt(squares / 4 / 5), 1e-6);
  const Score same = *ScorePredictions(expected, &expected, windows, 1);
  EXPECT_EQ(same.agreement->mean_nll_change_stderr, 0);
}

TEST(ScoreTest, NinetyNineInAHundredAreAtOrBelowTheP99) {
  TableModel reference = Model(), model = Uniform();
  Window window{std::vector<int32_t>(101, 1), 1};  // after 1 the models agree
  window.tokens[10] = window.tokens[20] = 0;       // after 0 they do not: 2 of 100
  const std::vector<Window> windows = {window};
  const auto expected = *Predict(reference, windows, kSilent), predictions = *Predict(model, windows, kSilent);
  const double kl = 0.25 * std::log(0.5) + 0.75 * std::log(1.5);
  EXPECT_NEAR(ScorePredictions(predictions, &expected, windows, 1)->agreement->p99_kl, kl, 1e-6);
  window.tokens[20] = 1;  // 1 of 100
  const std::vector<Window> fewer = {window};
  const auto expected_fewer = *Predict(reference, fewer, kSilent), fewer_predictions = *Predict(model, fewer, kSilent);
  EXPECT_NEAR(ScorePredictions(fewer_predictions, &expected_fewer, fewer, 1)->agreement->p99_kl, 0, 1e-6);
}

TEST(ScoreTest, WindowsOfOneLengthRunSideBySideAndTheRestAlone) {
  TableModel model = Model();
  std::vector<Window> windows(5, Window{{0, 1, 0, 1, 0, 1, 0, 1}, 5});
  windows.push_back({{0, 1, 0}, 1});
  const auto together = *Predict(model, windows, kSilent);
  EXPECT_EQ(model.largest_batch, 5u);
  EXPECT_EQ(together.rows, 5u * 3 + 2);
  const std::vector<float> expected = {0, 1, 0};
  EXPECT_EQ(std::vector<float>(together.normed.begin(), together.normed.begin() + 3), expected);
}

TEST(ScoreTest, ModelsOfDifferentVocabulariesAreNotCompared) {
  TableModel model = Model(), other({{0, 0, 0}, {0, 0, 0}});
  const std::vector<Window> windows = {{{0, 1, 0, 1}, 1}};
  const auto reference = *Predict(other, windows, kSilent), predictions = *Predict(model, windows, kSilent);
  EXPECT_EQ(ReasonOf(ScorePredictions(predictions, &reference, windows, 1).status()), "VOCABULARY_MISMATCH");
}

TEST(ScoreTest, LogitsThatAreNoNumbersMakeNoFiniteScore) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  TableModel model = Model(), broken({{kNan, kNan}, {0, 0}});
  const std::vector<Window> windows = {{{0, 1, 0, 0}, 2}};
  const auto reference = *Predict(model, windows, kSilent), predictions = *Predict(broken, windows, kSilent);
  EXPECT_TRUE(IsFinite(*ScorePredictions(reference, nullptr, windows, 1)));
  EXPECT_TRUE(IsFinite(*ScorePredictions(reference, &reference, windows, 1)));
  EXPECT_FALSE(IsFinite(*ScorePredictions(predictions, nullptr, windows, 1)));
  EXPECT_FALSE(IsFinite(*ScorePredictions(predictions, &reference, windows, 1)));
  Score score = *ScorePredictions(reference, &reference, windows, 1);
  score.agreement->mean_kl = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(IsFinite(score));
}

TEST(ScoreTest, ProgressCanStopARun) {
  TableModel model = Model();
  const std::vector<Window> windows = {{{0, 1}, 1}, {{0, 1, 1}, 1}};
  int calls = 0;
  const absl::Status status = Predict(model, windows, [&](uint64_t, uint64_t total) {
                                EXPECT_EQ(total, 5u);
                                ++calls;
                                return absl::CancelledError("enough");
                              }).status();
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace nashswarm::evaluate
