// Perplexity of a model on windows of text, and how far its predictions are from a reference model's.
#ifndef NASHSWARM_CORE_EVALUATE_SCORE_H_
#define NASHSWARM_CORE_EVALUATE_SCORE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/evaluate/windows.h"
#include "core/forward/transformer.h"

namespace nashswarm::evaluate {

// Tokens done of all; an error stops the run.
using Progress = std::function<absl::Status(uint64_t done, uint64_t total)>;

// A model's hidden states (after the final norm) at every position that is scored, in the order of the windows: all that
// is needed to compare it with another model, at a small part of the logits' size.
struct Predictions {
  forward::Transformer* model = nullptr;  // not owned; turns hidden states into logits
  uint64_t rows = 0;
  std::vector<float> normed;              // rows * model->width()
};
absl::StatusOr<Predictions> Predict(forward::Transformer& model, absl::Span<const Window> windows, const Progress& progress);

// How near two models' predictions are.
struct Agreement {
  double mean_kl = 0;         // nats a token
  double mean_kl_stderr = 0;  // of the mean, tokens taken as independent
  double p99_kl = 0;          // 99 % of the tokens are at or below
  double same_top1 = 0;       // share of tokens with the same most likely next token
  // Of the negative log likelihood, token by token: what both models find hard cancels, so the error is far below that of
  // either mean. exp(change) - 1 is the change of perplexity.
  double mean_nll_change = 0, mean_nll_change_stderr = 0;
};

struct Score {
  double perplexity = 0;      // exp of the mean negative log likelihood
  double mean_nll = 0;        // nats a token
  double mean_nll_stderr = 0;
  uint64_t tokens = 0;        // scored
  std::optional<Agreement> agreement;  // with the reference
};

// Whether all its numbers are finite: those of a model whose states overflow are not, and JSON has no such numbers.
bool IsFinite(const Score& score);
// Whether a run of a model ended because its states were not finite: of weights that were changed this is no damage of a file.
bool Overflows(const absl::Status& status);

// `reference` may be null; it was made from the same windows by a model of the same vocabulary (else INVALID_ARGUMENT /
// VOCABULARY_MISMATCH). Sums run in the order of the windows: the result does not depend on `threads`.
absl::StatusOr<Score> ScorePredictions(const Predictions& predictions, const Predictions* reference,
                                       absl::Span<const Window> windows, int threads);

}  // namespace nashswarm::evaluate

#endif  // NASHSWARM_CORE_EVALUATE_SCORE_H_
