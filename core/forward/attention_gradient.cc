#include "core/forward/attention_gradient.h"

#include <algorithm>

#include "core/forward/attention.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"

namespace nashswarm::forward {
namespace {

// Rows of the group's heads, one below the other: count * group rows of head_width.
void Gather(const float* from, uint64_t stride, uint64_t count, uint64_t row, std::vector<float>* to) {
  to->resize(count * row);
  for (uint64_t q = 0; q < count; ++q) std::copy_n(from + q * stride, row, to->data() + q * row);
}

}  // namespace

void AttentionGradient::Softmax(const AttentionGradientTask& task, uint64_t first, uint64_t count, uint64_t begin,
                                uint64_t keys) {
  const Kernels& kernels = ActiveKernels();
  for (uint64_t row = 0; row < count * task.group; ++row) {
    const uint64_t position = first + row / task.group;
    float* weights = weights_.data() + row * keys;
    const uint64_t lo = FirstSeen(task.window, position) - begin, hi = position + 1 - begin;
    std::fill(weights, weights + lo, 0.0f);
    std::fill(weights + hi, weights + keys, 0.0f);
    const float total = kernels.exp_sum(weights + lo, kernels.max(weights + lo, hi - lo), hi - lo);
    kernels.scale(weights + lo, 1 / total, hi - lo);
  }
}

void AttentionGradient::AddQueries(const AttentionGradientTask& task, uint64_t first, uint64_t count) {
  const uint64_t rows = count * task.group, width = task.head_width, stride = task.stride;
  const uint64_t begin = FirstSeen(task.window, first), keys = first + count - begin;
  const float *key = task.key + begin * stride, *value = task.value + begin * stride;
  Gather(task.query + first * stride, stride, count, task.group * width, &queries_);
  Gather(task.out_gradient + first * task.out_stride, task.out_stride, count, task.group * width, &out_gradients_);
  ActiveKernels().scale(queries_.data(), task.scale, queries_.size());
  weights_.resize(rows * keys);
  scores_.resize(rows * keys);
  query_gradients_.resize(rows * width);

  MultiplyTransposed(rows, keys, width, queries_.data(), width, key, stride, 0, weights_.data(), keys);
  Softmax(task, first, count, begin, keys);
  TransposedMultiply(keys, width, rows, weights_.data(), keys, out_gradients_.data(), width, 1,
                     task.value_gradient + begin * stride, stride);
  MultiplyTransposed(rows, keys, width, out_gradients_.data(), width, value, stride, 0, scores_.data(), keys);
  for (uint64_t row = 0; row < rows; ++row) SoftmaxDerivative(&weights_[row * keys], keys, &scores_[row * keys]);
  TransposedMultiply(keys, width, rows, scores_.data(), keys, queries_.data(), width, 1,
                     task.key_gradient + begin * stride, stride);
  Multiply(rows, width, keys, scores_.data(), keys, key, stride, 0, query_gradients_.data(), width);
  ActiveKernels().scale(query_gradients_.data(), task.scale, query_gradients_.size());
  for (uint64_t q = 0; q < count; ++q) {
    std::copy_n(&query_gradients_[q * task.group * width], task.group * width, task.query_gradient + (first + q) * stride);
  }
}

void AttentionGradient::Run(const AttentionGradientTask& task) {
  for (uint64_t position = 0; position < task.length; ++position) {
    std::fill_n(task.key_gradient + position * task.stride, task.head_width, 0.0f);
    std::fill_n(task.value_gradient + position * task.stride, task.head_width, 0.0f);
  }
  const uint64_t at_once = Attention::TileQueries(task.group);
  for (uint64_t first = 0; first < task.length; first += at_once) {
    AddQueries(task, first, std::min(at_once, task.length - first));
  }
}

}  // namespace nashswarm::forward
