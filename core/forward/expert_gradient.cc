#include "core/forward/expert_gradient.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

Rows From(const float* data, uint64_t stride) { return {const_cast<float*>(data), stride}; }

}  // namespace

void ExpertGradient::Run(const LayerWeights& weights, const float* normed, const float* gradient, uint64_t rows,
                         const Tell& tell, float* at_input) {
  const uint64_t width = config_.width, used = config_.experts_used;
  weights_ = &weights;
  Route(normed, rows);
  Room(at_input_, rows * used * width);
  Room(at_weight_, rows * used);
  for (uint64_t e = 0; e < config_.experts; ++e) {
    if (groups_.first[e + 1] > groups_.first[e]) Expert(e, normed, gradient, tell);
  }
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* to = at_input + row * width;
    std::fill_n(to, width, 0.0f);
    for (uint64_t s = 0; s < used; ++s) ActiveKernels().add(&at_input_[groups_.place[row * used + s] * width], width, to);
  });
  Router(rows, at_input);
  if (config_.shared_ffn > 0) Shared(normed, gradient, rows, tell, at_input);
}

void ExpertGradient::Route(const float* normed, uint64_t rows) {
  RouterLogits(pool_, weights_->router, normed, rows, Room(logits_, rows * config_.experts));
  choices_.tokens = rows;
  choices_.used = config_.experts_used;
  choices_.expert.resize(rows * choices_.used);
  ChooseGreatest(logits_.data(), rows, config_.experts, choices_.used, choices_.expert.data());
  WeighExperts(logits_.data(), config_.experts, config_.normalize_experts, &choices_);
  groups_ = GroupByExpert(choices_, config_.experts);
}

void ExpertGradient::FeedForward(const ExpertWeights& weights, uint64_t ffn, uint64_t rows, const std::string& which,
                                 const Tell& tell, Rows2 io) {
  const uint64_t width = config_.width, stride = 2 * ffn;
  float *in = Room(in_, rows * stride), *activated = Room(activated_, rows * ffn), *down = Room(down_, rows * width);
  ProjectRows(pool_, weights.in, From(io.x, width), rows, {in, stride});
  ForRows(pool_, rows, [&](uint64_t r, int) { ActiveKernels().silu_gate(in + r * stride, in + r * stride + ffn, ffn, activated + r * ffn); });
  ProjectRows(pool_, weights.down, {activated, ffn}, rows, {down, width});
  ForRows(pool_, rows, [&](uint64_t r, int) {
    double dot = 0;
    for (uint64_t c = 0; c < width; ++c) dot += static_cast<double>(io.g[r * width + c]) * down[r * width + c];
    io.dot[r] = static_cast<float>(dot);
  });
  tell("ffn_down" + which, io.g, width, rows, width);
  ProjectBack(pool_, weights.down, From(io.g, width), rows, {activated, ffn});
  ForRows(pool_, rows, [&](uint64_t r, int) {
    float *x = in + r * stride, *g = activated + r * ffn;
    ActiveKernels().scale(g, io.scale[r], ffn);
    GateDerivative(Activation::kSilu, g, ffn, x, x + ffn);
  });
  tell("ffn_gate" + which, in, stride, rows, ffn);
  tell("ffn_up" + which, in + ffn, stride, rows, ffn);
  ProjectBack(pool_, weights.in, {in, stride}, rows, {io.at_x, width});
}

void ExpertGradient::Expert(uint64_t expert, const float* normed, const float* gradient, const Tell& tell) {
  const uint64_t width = config_.width, first = groups_.first[expert], rows = groups_.first[expert + 1] - first;
  float *x = Room(gathered_, rows * width), *g = Room(gathered_gradient_, rows * width), *scale = Room(scale_, rows);
  ForRows(pool_, rows, [&](uint64_t r, int) {
    const uint64_t slot = groups_.slot[first + r], token = slot / choices_.used;
    std::copy_n(normed + token * width, width, x + r * width);
    std::copy_n(gradient + token * width, width, g + r * width);
    scale[r] = choices_.weight[slot];
  });
  FeedForward(weights_->experts[expert], config_.expert_ffn, rows, absl::StrCat(".", expert), tell,
              {x, g, scale, &at_input_[first * width], &at_weight_[first]});
}

// Through the softmax that gave the weights.
void ExpertGradient::Router(uint64_t rows, float* at_input) {
  const uint64_t experts = config_.experts, used = config_.experts_used;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* z = &logits_[row * experts];  // becomes the gradient at the logits
    const uint16_t* chosen = &choices_.expert[row * used];
    const float* weight = &choices_.weight[row * used];
    const auto at_weight = [&](uint64_t s) { return at_weight_[groups_.place[row * used + s]]; };
    double mean = 0;  // sum of p times the gradient at p
    for (uint64_t s = 0; s < used; ++s) mean += static_cast<double>(weight[s]) * at_weight(s);
    if (config_.normalize_experts) {
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

void ExpertGradient::Shared(const float* normed, const float* gradient, uint64_t rows, const Tell& tell, float* at_input) {
  const uint64_t width = config_.width;
  const float* gate = weights_->shared_gate.data();
  float *scale = Room(scale_, rows), *at_x = Room(gathered_, rows * width), *dot = Room(at_weight_, rows);
  ForRows(pool_, rows, [&](uint64_t row, int) {
    double sum = 0;
    for (uint64_t c = 0; c < width; ++c) sum += static_cast<double>(gate[c]) * normed[row * width + c];
    scale[row] = static_cast<float>(1 / (1 + std::exp(-sum)));
  });
  FeedForward(weights_->shared, config_.shared_ffn, rows, "_shexp", tell, {normed, gradient, scale, at_x, dot});
  ForRows(pool_, rows, [&](uint64_t row, int) {
    const float at_gate = dot[row] * scale[row] * (1 - scale[row]);
    float *to = at_input + row * width, *x = at_x + row * width;
    for (uint64_t c = 0; c < width; ++c) x[c] += at_gate * gate[c];
    ActiveKernels().add(x, width, to);
  });
}

}  // namespace nashswarm::forward
