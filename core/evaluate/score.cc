#include "core/evaluate/score.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/evaluate/distributions.h"

namespace nashswarm::evaluate {
namespace {

// Windows run side by side until they have this many tokens: enough rows for the matrix products and for every core, and
// a layer that has to be read again for every batch is read seldom.
constexpr uint64_t kBatchTokens = 4096;
// Logits are made for so many floats at a time and then forgotten.
constexpr uint64_t kLogitFloats = 16u << 20;

struct RowScore {
  double nll = 0, kl = 0;
  double nll_change = 0;  // from the reference's
  bool same_top = false;
};

// The windows [first, last) that run together: of equal length, and not too many.
size_t EndOfBatch(absl::Span<const Window> windows, size_t first) {
  size_t last = first + 1;
  const uint64_t length = windows[first].tokens.size();
  while (last < windows.size() && windows[last].tokens.size() == length && (last + 1 - first) * length <= kBatchTokens) ++last;
  return last;
}

std::vector<int32_t> TargetsOf(absl::Span<const Window> windows) {
  std::vector<int32_t> targets;
  for (const Window& window : windows) {
    targets.insert(targets.end(), window.tokens.begin() + static_cast<ptrdiff_t>(window.score_from), window.tokens.end());
  }
  return targets;
}

struct MeanAndError {
  double mean = 0, standard_error = 0;
};

template <typename Value>
MeanAndError MeanOf(const std::vector<RowScore>& rows, Value value) {
  const double n = static_cast<double>(rows.size());
  double sum = 0, squares = 0;
  for (const RowScore& row : rows) sum += value(row);
  const double mean = sum / n;
  for (const RowScore& row : rows) squares += (value(row) - mean) * (value(row) - mean);
  return {mean, rows.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

Agreement Summarize(const std::vector<RowScore>& rows) {
  const MeanAndError kl = MeanOf(rows, [](const RowScore& row) { return row.kl; });
  const MeanAndError change = MeanOf(rows, [](const RowScore& row) { return row.nll_change; });
  std::vector<double> values;
  uint64_t same = 0;
  for (const RowScore& row : rows) {
    values.push_back(row.kl);
    same += row.same_top ? 1 : 0;
  }
  const size_t rank = static_cast<size_t>(std::ceil(0.99 * static_cast<double>(values.size()))) - 1;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(rank), values.end());
  return {kl.mean, kl.standard_error, values[rank], static_cast<double>(same) / static_cast<double>(rows.size()), change.mean,
          change.standard_error};
}

}  // namespace

absl::StatusOr<Predictions> Predict(forward::Transformer& model, absl::Span<const Window> windows, const Progress& progress) {
  const uint64_t width = model.width(), total = TokensOf(windows);
  Predictions predictions{&model, 0, {}};
  for (const Window& window : windows) predictions.rows += window.scored();
  predictions.normed.resize(predictions.rows * width);

  float* out = predictions.normed.data();
  uint64_t done = 0;
  std::vector<float> hidden;
  for (size_t first = 0; first < windows.size();) {
    const size_t last = EndOfBatch(windows, first);
    forward::Batch batch;
    batch.windows = last - first;
    batch.length = windows[first].tokens.size();
    for (size_t w = first; w < last; ++w) {
      batch.tokens.insert(batch.tokens.end(), windows[w].tokens.begin(), windows[w].tokens.end());
    }
    hidden.resize(batch.tokens.size() * width);
    NS_RETURN_IF_ERROR(model.Run(batch, hidden.data(), nullptr));
    for (size_t w = first; w < last; ++w) {
      // The state at position i predicts token i + 1.
      const float* row = &hidden[((w - first) * batch.length + windows[w].score_from - 1) * width];
      std::memcpy(out, row, windows[w].scored() * width * sizeof(float));
      out += windows[w].scored() * width;
    }
    done += batch.tokens.size();
    NS_RETURN_IF_ERROR(progress(done, total));
    first = last;
  }
  return predictions;
}

bool IsFinite(const Score& score) {
  const Agreement agreement = score.agreement.value_or(Agreement());
  const double numbers[] = {score.perplexity, score.mean_nll, score.mean_nll_stderr, agreement.mean_kl, agreement.mean_kl_stderr,
                            agreement.p99_kl, agreement.same_top1, agreement.mean_nll_change, agreement.mean_nll_change_stderr};
  return std::all_of(std::begin(numbers), std::end(numbers), [](double number) { return std::isfinite(number); });
}

bool Overflows(const absl::Status& status) { return ReasonOf(status) == "NON_FINITE_ACTIVATIONS"; }

absl::StatusOr<Score> ScorePredictions(const Predictions& predictions, const Predictions* reference,
                                       absl::Span<const Window> windows, int threads) {
  forward::Transformer& model = *predictions.model;
  const uint64_t vocabulary = model.vocabulary();
  if (reference != nullptr && reference->model->vocabulary() != vocabulary) {
    return MakeError(absl::StatusCode::kInvalidArgument, "VOCABULARY_MISMATCH",
                     absl::StrCat("the model predicts ", vocabulary, " tokens, the reference ",
                                  reference->model->vocabulary()),
                     "compare models with the same tokenizer");
  }
  const std::vector<int32_t> targets = TargetsOf(windows);
  const uint64_t step = std::max<uint64_t>(1, kLogitFloats / vocabulary);
  std::vector<float> logits(std::min(step, predictions.rows) * vocabulary), reference_logits;
  if (reference != nullptr) reference_logits.resize(logits.size());
  std::vector<RowScore> rows(predictions.rows);
  for (uint64_t first = 0; first < predictions.rows; first += step) {
    const uint64_t count = std::min(step, predictions.rows - first);
    NS_RETURN_IF_ERROR(model.Logits(&predictions.normed[first * model.width()], count, logits.data(), nullptr));
    if (reference != nullptr) {
      NS_RETURN_IF_ERROR(reference->model->Logits(&reference->normed[first * reference->model->width()], count,
                                                  reference_logits.data(), nullptr));
    }
    NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), count, [&](uint64_t r) {
      const absl::Span<const float> q(&logits[r * vocabulary], vocabulary);
      const Normalizer q_sum = Normalize(q);
      RowScore& row = rows[first + r];
      row.nll = q_sum.log_sum - q[static_cast<size_t>(targets[first + r])];
      if (reference == nullptr) return absl::OkStatus();
      const absl::Span<const float> p(&reference_logits[r * vocabulary], vocabulary);
      const Normalizer p_sum = Normalize(p);
      row.kl = KlDivergence(p, p_sum, q, q_sum);
      row.nll_change = row.nll - (p_sum.log_sum - p[static_cast<size_t>(targets[first + r])]);
      row.same_top = p_sum.top == q_sum.top;
      return absl::OkStatus();
    }));
  }
  const MeanAndError nll = MeanOf(rows, [](const RowScore& row) { return row.nll; });
  Score score{std::exp(nll.mean), nll.mean, nll.standard_error, rows.size(), std::nullopt};
  if (reference != nullptr) score.agreement = Summarize(rows);
  return score;
}

}  // namespace nashswarm::evaluate
