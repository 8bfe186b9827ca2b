// The way back through a mixture of experts.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/forward/blocks/experts.h"
#include "core/forward/blocks/mlp.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

Rows From(const float* data, uint64_t stride) { return {const_cast<float*>(data), stride}; }

}  // namespace

void ExpertsBlock::Backward(const BlockGradientCall& call) {
  Enter(call.weights);
  for (uint64_t first = 0; first < call.rows(); first += kPortionBack) {
    BackwardRows(call, first, std::min(kPortionBack, call.rows() - first));
  }
}

void ExpertsBlock::BackwardRows(const BlockGradientCall& call, uint64_t first, uint64_t rows) {
  const uint64_t width = config_.width, used = config_.used;
  call.residual->Read(first, rows, Room(normed_, rows * width));
  BlockCall forward;  // the model's own choice, and nobody hears
  if (call.residual->needs_output()) {
    std::fill_n(Room(output_, rows * width), rows * width, 0.0f);
    ForwardRows(forward, normed_.data(), rows, output_.data());
  } else {
    Route(forward, normed_.data(), rows);
  }
  const float* gradient = call.residual->AtOutput(first, rows, output_.data());
  Room(at_place_, rows * used * width);
  Room(at_weight_, rows * used);
  for (uint64_t e = 0; e < config_.count; ++e) {
    if (groups_.first[e + 1] > groups_.first[e]) ExpertBack(call, e, first, gradient);
  }
  float* at_input = Room(input_back_, rows * width);
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* to = at_input + row * width;
    std::fill_n(to, width, 0.0f);
    for (uint64_t s = 0; s < used; ++s) ActiveKernels().add(&at_place_[groups_.place[row * used + s] * width], width, to);
  });
  RouterBack(rows, at_input);
  if (config_.shared_hidden > 0) SharedBack(call, first, gradient, rows, at_input);
  call.residual->AddAtInput(first, rows, at_input);
}

void ExpertsBlock::FeedForwardBack(const BlockGradientCall& call, const Expert& expert, uint64_t hidden, uint64_t first, uint64_t rows,
                                   const std::string& which, ExpertRows io) {
  const uint64_t width = config_.width, stride = 2 * hidden;
  float *in = Room(in_, rows * stride), *activated = Room(activated_, rows * hidden), *down = Room(down_, rows * width);
  ProjectRows(pool_, expert.in, From(io.x, width), rows, {in, stride});
  ForRows(pool_, rows, [&](uint64_t r, int) {
    Activate(config_.mlp, in + r * stride, in + r * stride + hidden, hidden, activated + r * hidden);
  });
  ProjectRows(pool_, expert.down, {activated, hidden}, rows, {down, width});
  ForRows(pool_, rows, [&](uint64_t r, int) {
    double dot = 0;
    for (uint64_t c = 0; c < width; ++c) dot += static_cast<double>(io.g[r * width + c]) * down[r * width + c];
    io.dot[r] = static_cast<float>(dot);
  });
  // The input of ffn_down counts as weighted by the router, as in InputOf, so that the gradient is the mixture's own.
  call.Tell("ffn_down" + which, {io.g, width, first, rows, width});
  ProjectBack(pool_, expert.down, From(io.g, width), rows, {activated, hidden});
  ForRows(pool_, rows, [&](uint64_t r, int) {
    float *x = in + r * stride, *g = activated + r * hidden;
    ActiveKernels().scale(g, io.scale[r], hidden);
    GateDerivative(config_.mlp.activation, g, hidden, x, x + hidden);
  });
  call.Tell("ffn_gate" + which, {in, stride, first, rows, hidden});
  call.Tell("ffn_up" + which, {in + hidden, stride, first, rows, hidden});
  ProjectBack(pool_, expert.in, {in, stride}, rows, {io.at_x, width});
}

void ExpertsBlock::ExpertBack(const BlockGradientCall& call, uint64_t expert, uint64_t first, const float* gradient) {
  const uint64_t width = config_.width, begin = groups_.first[expert], rows = groups_.first[expert + 1] - begin;
  float *x = Room(gathered_, rows * width), *g = Room(gathered_gradient_, rows * width), *scale = Room(scale_, rows);
  ForRows(pool_, rows, [&](uint64_t r, int) {
    const uint64_t slot = groups_.slot[begin + r], token = slot / choices_.used;
    std::copy_n(normed_.data() + token * width, width, x + r * width);
    std::copy_n(gradient + token * width, width, g + r * width);
    scale[r] = choices_.weight[slot];
  });
  FeedForwardBack(call, weights_->experts[expert], config_.hidden, first, rows, absl::StrCat(".", expert),
                  {x, g, scale, &at_place_[begin * width], &at_weight_[begin]});
}

// Through the softmax that gave the weights.
void ExpertsBlock::RouterBack(uint64_t rows, float* at_input) {
  const uint64_t experts = config_.count, used = config_.used;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* z = &logits_[row * experts];  // becomes the gradient at the logits
    const uint16_t* chosen = &choices_.expert[row * used];
    const float* weight = &choices_.weight[row * used];
    const auto at_weight = [&](uint64_t s) { return at_weight_[groups_.place[row * used + s]]; };
    double mean = 0;  // sum of p times the gradient at p
    for (uint64_t s = 0; s < used; ++s) mean += static_cast<double>(weight[s]) * at_weight(s);
    if (config_.normalized) {
      std::fill_n(z, experts, 0.0f);
    } else {
      const float greatest = *std::max_element(z, z + experts);
      // p of all experts, from the first chosen one's.
      const float scale = weight[0] / std::exp(z[chosen[0]] - greatest);
      for (uint64_t e = 0; e < experts; ++e) z[e] = static_cast<float>(-mean * (scale * std::exp(z[e] - greatest)));
    }
    for (uint64_t s = 0; s < used; ++s) {
      const double p = weight[s];
      z[chosen[s]] = static_cast<float>(p * (at_weight(s) - mean));
    }
  });
  MultiplyRows(pool_, {logits_.data(), experts}, rows, From(weights_->router.weight.data(), config_.width), experts,
               config_.width, 1, {at_input, config_.width});
}

void ExpertsBlock::SharedBack(const BlockGradientCall& call, uint64_t first, const float* gradient, uint64_t rows, float* at_input) {
  const uint64_t width = config_.width;
  const float *gate = weights_->shared_gate.data(), *normed = normed_.data();
  float *scale = Room(scale_, rows), *at_x = Room(gathered_, rows * width), *dot = Room(at_weight_, rows);
  ForRows(pool_, rows, [&](uint64_t row, int) {
    double sum = 0;
    for (uint64_t c = 0; c < width; ++c) sum += static_cast<double>(gate[c]) * normed[row * width + c];
    scale[row] = static_cast<float>(1 / (1 + std::exp(-sum)));
  });
  FeedForwardBack(call, weights_->shared, config_.shared_hidden, first, rows, "_shexp", {normed, gradient, scale, at_x, dot});
  ForRows(pool_, rows, [&](uint64_t row, int) {
    const float at_gate = dot[row] * scale[row] * (1 - scale[row]);
    float *to = at_input + row * width, *x = at_x + row * width;
    for (uint64_t c = 0; c < width; ++c) x[c] += at_gate * gate[c];
    ActiveKernels().add(x, width, to);
  });
}

}  // namespace nashswarm::forward
