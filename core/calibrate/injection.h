// Loss weights by injection: one tensor at a time is compressed, and what that alone does to the predictions is read off as
// a KL divergence. a_t = KL / D_t, so that a_t D_t predicts the loss of any other error of the tensor at medium rates.
#ifndef NASHSWARM_CORE_CALIBRATE_INJECTION_H_
#define NASHSWARM_CORE_CALIBRATE_INJECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/calibrate/moments.h"
#include "core/evaluate/score.h"
#include "core/evaluate/windows.h"
#include "core/forward/transformer.h"
#include "core/model/architecture.h"
#include "core/quant/format.h"

namespace nashswarm::calibrate {

struct LossWeight {
  std::string tensor;         // in GGUF
  quant::Format format;       // it was compressed to
  double distortion = 0;      // D_t of that (Distortion::relative)
  double kl = 0;              // mean, nats a token
  double matrix_distortion = 0;  // the same error by the tensor's MatrixLoss
  double weight() const { return distortion > 0 ? kl / distortion : 0; }
  double matrix_weight() const { return matrix_distortion > 0 ? kl / matrix_distortion : 0; }
};

// What experts do is measured by stack: kl of an expert is its share in that of all experts of the layer, by the tokens that
// use it and the energy of what it gives them.
// Loss weights of every player of `model`, in its order. A tensor of layer l costs a run of layers l and above only, since
// what enters layer l does not change. `progress` hears tokens run through
// the whole model, parts of it counted as parts.
absl::StatusOr<std::vector<LossWeight>> MeasureLossWeights(
    forward::Transformer& transformer, std::shared_ptr<const forward::Weights> weights, const model::Model& model,
    const Moments& moments, absl::Span<const evaluate::Window> windows, int threads, const evaluate::Progress& progress);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_INJECTION_H_
