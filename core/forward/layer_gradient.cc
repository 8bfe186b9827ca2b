#include "core/forward/layer_gradient.h"

#include <algorithm>
#include <atomic>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

// Rows whose feed-forward activations are kept at a time: enough for whole blocks of every product.
constexpr uint64_t kPortionRows = 1024;

}  // namespace

LayerGradient::LayerGradient(const ModelConfig& config, ThreadPool& pool, LayerPass& pass)
    : config_(config), pool_(pool), pass_(pass), sines_(pool.threads()), attention_(pool.threads()), experts_(config, pool) {}

void LayerGradient::Tell(const LayerGradientCall& call, std::string_view part, const TokenRows& gradients) const {
  call.tap->Output(absl::StrCat("blk.", call.layer, ".", ToAbsl(part), ".weight"), gradients);
}

void LayerGradient::NormRowDerivative(const Norm& norm, const float* x, float* g) const {
  const auto derivative = config_.layer_norm ? LayerNormDerivative : RmsNormDerivative;
  derivative(x, norm.weight.data(), config_.epsilon, config_.width, g);
}

void LayerGradient::AddNormDerivative(const Norm& norm, const float* x, uint64_t rows, float* g, float* gradient) {
  const uint64_t width = config_.width;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    NormRowDerivative(norm, x + row * width, g + row * width);
    ActiveKernels().add(g + row * width, width, gradient + row * width);
  });
}

bool LayerGradient::Run(const LayerGradientCall& call) {
  const uint64_t rows = call.windows * call.length, portion = std::min(rows, kPortionRows);
  RunFirstHalf(call);
  for (uint64_t first = 0; first < rows; first += portion) FeedForward(call, first, std::min(portion, rows - first));
  AttentionOutput(call);
  Attend(call);
  QueryKeyValue(call);
  std::atomic<bool> finite{true};
  ForRows(pool_, rows, [&](uint64_t row, int) {
    if (!ActiveKernels().finite(call.gradient + row * config_.width, config_.width)) finite = false;
  });
  return finite;
}

void LayerGradient::RunFirstHalf(const LayerGradientCall& call) {
  const uint64_t values = call.windows * call.length * config_.width;
  std::copy_n(call.input, values, Room(middle_, values));
  LayerCall forward{};
  forward.layer = call.layer;
  forward.weights = call.weights;
  forward.rope = call.rope;
  forward.windows = call.windows;
  forward.length = call.length;
  forward.hidden = middle_.data();
  pass_.RunAttention(forward, config_.head_norms || config_.whole_norms ? &raw_ : nullptr);
}

// The gradient at ffn_down's output, which is the layer's own unless a norm comes between. activated_ has the layer's
// activations when there is such a norm; nobody else needs them.
const float* LayerGradient::FfnDownGradient(const LayerGradientCall& call, uint64_t first, uint64_t rows) {
  const uint64_t width = config_.width;
  const float* gradient = call.gradient + first * width;
  if (!config_.post_norms) return gradient;
  float* normed = Room(down_, 2 * rows * width);
  float* down = normed + rows * width;
  ProjectRows(pool_, call.weights->ffn_down, {activated_.data(), config_.ffn}, rows, {down, width});
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float* g = normed + row * width;
    std::copy_n(gradient + row * width, width, g);
    NormRowDerivative(call.weights->post_ffn_norm, down + row * width, g);
  });
  return normed;
}

void LayerGradient::Experts(const LayerGradientCall& call, uint64_t first, uint64_t rows) {
  const uint64_t width = config_.width;
  const float* middle = middle_.data() + first * width;
  float *normed = Room(normed_, rows * width), *at_input = Room(down_, rows * width);
  pass_.NormRows(call.weights->ffn_norm, middle, rows, normed);
  const auto tell = [&](const std::string& part, const float* data, uint64_t stride, uint64_t count, uint64_t columns) {
    Tell(call, part, {data, stride, first, count, columns});
  };
  experts_.Run(*call.weights, normed, call.gradient + first * width, rows, tell, at_input);
  AddNormDerivative(call.weights->ffn_norm, middle, rows, at_input, call.gradient + first * width);
}

void LayerGradient::FeedForward(const LayerGradientCall& call, uint64_t first, uint64_t rows) {
  if (config_.experts > 0) return Experts(call, first, rows);
  const LayerWeights& weights = *call.weights;
  const uint64_t width = config_.width, ffn = config_.ffn, inner = weights.ffn_in.outputs;
  const Activation activation = config_.gelu ? Activation::kGelu : Activation::kSilu;
  const float* middle = middle_.data() + first * width;
  float *normed = Room(normed_, rows * width), *in = Room(ffn_in_, rows * inner), *activated = Room(activated_, rows * ffn);
  pass_.NormRows(weights.ffn_norm, middle, rows, normed);
  ProjectRows(pool_, weights.ffn_in, {normed, width}, rows, {in, inner});
  if (config_.post_norms) {
    const auto gate = config_.gelu ? ActiveKernels().gelu_gate : ActiveKernels().silu_gate;
    ForRows(pool_, rows, [&](uint64_t row, int) {
      const float* x = in + row * inner;
      gate(x, x + ffn, ffn, activated + row * ffn);
    });
  }
  const float* down = FfnDownGradient(call, first, rows);
  Tell(call, "ffn_down", {down, width, first, rows, width});

  ProjectBack(pool_, weights.ffn_down, {const_cast<float*>(down), width}, rows, {activated, ffn});
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float *x = in + row * inner, *g = activated + row * ffn;
    config_.gated ? GateDerivative(activation, g, ffn, x, x + ffn) : ActivationDerivative(activation, g, ffn, x);
  });
  if (config_.gated) Tell(call, "ffn_gate", {in, inner, first, rows, ffn});
  Tell(call, "ffn_up", {in + (config_.gated ? ffn : 0), inner, first, rows, ffn});
  ProjectBack(pool_, weights.ffn_in, {in, inner}, rows, {normed, width});
  AddNormDerivative(weights.ffn_norm, middle, rows, normed, call.gradient + first * width);
}

void LayerGradient::AttentionOutput(const LayerGradientCall& call) {
  const LayerWeights& weights = *call.weights;
  const uint64_t rows = call.windows * call.length, width = config_.width, query = config_.query_width();
  float* gradient = call.gradient;
  if (config_.post_norms) {
    float* added = Room(added_, rows * width);
    gradient = Room(middle_, rows * width);  // done with
    ProjectRows(pool_, weights.output, {const_cast<float*>(pass_.attended()), query}, rows, {added, width});
    std::copy_n(call.gradient, rows * width, gradient);
    ForRows(pool_, rows, [&](uint64_t row, int) {
      NormRowDerivative(weights.post_attention_norm, added + row * width, gradient + row * width);
    });
  }
  Tell(call, "attn_output", {gradient, width, 0, rows, width});
  ProjectBack(pool_, weights.output, {gradient, width}, rows, {Room(attended_, rows * query), query});
}

void LayerGradient::Attend(const LayerGradientCall& call) {
  const uint64_t stride = config_.qkv_width(), width = config_.head_width, query = config_.query_width();
  float* gradients = Room(qkv_, call.windows * call.length * stride);
  pool_.Run(call.windows * config_.kv_heads, [&](uint64_t i, int thread) {
      const uint64_t head = i % config_.kv_heads, row = i / config_.kv_heads * call.length;
      const uint64_t queries = row * stride + head * config_.group() * width, keys = row * stride + query + head * width,
                     values = keys + config_.kv_width();
      AttentionGradientTask task{};
      task.query = pass_.qkv() + queries;
      task.key = pass_.qkv() + keys;
      task.value = pass_.qkv() + values;
      task.query_gradient = gradients + queries;
      task.key_gradient = gradients + keys;
      task.value_gradient = gradients + values;
      task.stride = stride;
      task.out_gradient = attended_.data() + row * query + head * config_.group() * width;
      task.out_stride = query;
      task.length = call.length;
      task.window = config_.WindowOf(call.layer);
      task.group = config_.group();
      task.head_width = width;
      task.scale = config_.score_scale;
      attention_[thread].Run(task);
      return absl::OkStatus();
    }).IgnoreError();
}

// A rotation's derivative is the rotation back; a scaling in the table scales both ways.
void LayerGradient::RotateBack(const LayerGradientCall& call, uint64_t row, int thread) {
  const Kernels& kernels = ActiveKernels();
  const uint64_t width = config_.head_width, position = row % call.length;
  std::vector<float>& sines = sines_[thread];
  if (call.rope != nullptr) {
    sines.assign(call.rope->sin(position), call.rope->sin(position) + call.rope->half());
    for (float& sine : sines) sine = -sine;
  }
  for (uint64_t head = 0; head < config_.heads + config_.kv_heads; ++head) {
    const uint64_t at = row * config_.qkv_width() + head * width;
    if (call.rope != nullptr) {
      const auto rotate = config_.rope_halves ? kernels.rotate_halves : kernels.rotate_pairs;
      rotate(qkv_.data() + at, call.rope->cos(position), sines.data(), call.rope->half());
    }
    if (!config_.head_norms) continue;
    const Norm& norm = head < config_.heads ? call.weights->query_norm : call.weights->key_norm;
    RmsNormDerivative(raw_.data() + at, norm.weight.data(), config_.epsilon, width, qkv_.data() + at);
  }
  if (!config_.whole_norms) return;
  const uint64_t at = row * config_.qkv_width(), query = config_.query_width();
  RmsNormDerivative(raw_.data() + at, call.weights->query_norm.weight.data(), config_.epsilon, query, qkv_.data() + at);
  RmsNormDerivative(raw_.data() + at + query, call.weights->key_norm.weight.data(), config_.epsilon, config_.kv_width(),
                    qkv_.data() + at + query);
}

void LayerGradient::QueryKeyValue(const LayerGradientCall& call) {
  const uint64_t rows = call.windows * call.length, width = config_.width, query = config_.query_width(),
                 kv = config_.kv_width(), stride = config_.qkv_width();
  ForRows(pool_, rows, [&](uint64_t row, int thread) { RotateBack(call, row, thread); });
  if (config_.fused_qkv) {
    Tell(call, "attn_qkv", {qkv_.data(), stride, 0, rows, stride});
  } else {
    Tell(call, "attn_q", {qkv_.data(), stride, 0, rows, query});
    Tell(call, "attn_k", {qkv_.data() + query, stride, 0, rows, kv});
    Tell(call, "attn_v", {qkv_.data() + query + kv, stride, 0, rows, kv});
  }
  float* normed = Room(added_, rows * width);
  ProjectBack(pool_, call.weights->qkv, {qkv_.data(), stride}, rows, {normed, width});
  AddNormDerivative(call.weights->attention_norm, call.input, rows, normed, call.gradient);
}

}  // namespace nashswarm::forward
