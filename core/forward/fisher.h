// Fisher information of what every linear layer gives: how much the predictions change when one output of a matrix errs.
// It weighs the rows of matrices as second moments of inputs weigh their columns: the two are the factors of Kronecker-
// factored curvature (Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", 2015,
// sections 2 and 3; for rounding weights: Tseng et al., "Model-Preserving Adaptive Rounding", 2025).
//
// The true Fisher: targets y_t are drawn from the model's own predictions p(. | x_<=t), loss = sum over t of -log p(y_t),
// and g is the loss's gradient at a layer's output (before or after the bias: it is the same). Deterministic: the same bits
// for the same seed at any number of threads.
#ifndef NASHSWARM_CORE_FORWARD_FISHER_H_
#define NASHSWARM_CORE_FORWARD_FISHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/forward/transformer.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

// Means over all positions. Squared nats by squared units of the output.
struct Fisher {
  uint64_t tokens = 0;  // positions run
  // By linear layer tensor, under GGUF's name: the mean of g_i^2, one a row as the tensor is stored under that name. The
  // head's ("output.weight", or "token_embd.weight" when it is tied) is the mean of p_v (1 - p_v), which is the expectation
  // over targets: no sample of it is needed.
  std::map<std::string, std::vector<float>> rows;

  // A table of embeddings; g is the gradient at the row as it is stored (before a model scales it).
  struct Table {
    std::vector<float> rows;    // mean of |g|^2 / width over all positions, those of other rows as zeros; one a row
    std::vector<float> moment;  // mean of g g^T, width x width, symmetric; empty for widths above 16384
  };
  std::map<std::string, Table> tables;  // "token_embd.weight", and "position_embd.weight" where there is one
};

// Positions done of all, from the calling thread; an error stops the run and is returned.
using FisherProgress = std::function<absl::Status(uint64_t done, uint64_t total)>;

// Runs `batch` (every window; cut into groups of about 2048 positions) forward and back. Needs, besides the weights that
// `options` lets stay, (layers + 1) * 2048 * width floats, one layer's activations of 2048 positions, 64 MiB of logits and,
// for tables, width^2 doubles. Costs about three forward passes.
//
// The errors of Transformer::Open, Embed, RunLayer, FinalNorm and Logits; INVALID_ARGUMENT / BATCH_SHAPE for a batch without
// tokens; DATA_LOSS / NON_FINITE_GRADIENTS, which names the layer. `progress` may be null.
absl::StatusOr<Fisher> MeasureFisher(std::shared_ptr<const Weights> weights, const Batch& batch, uint64_t seed,
                                     Options options, const FisherProgress& progress);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_FISHER_H_
