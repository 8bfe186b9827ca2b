#include "core/forward/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/forward/kernels.h"
#include "core/forward/linear.h"

namespace nashswarm::forward {
namespace {

// A tile of scores is kTileRows x kTileKeys floats: with queries, keys, values and sums of heads of 64 or 128 it stays in
// a second-level cache of 512 KiB, and is large enough for BLAS to run well.
constexpr uint64_t kTileRows = 128, kTileKeys = 256;

}  // namespace

uint64_t Attention::TileQueries(uint64_t group) { return std::max<uint64_t>(1, kTileRows / group); }

void Attention::LoadQueries(const AttentionTask& task) {
  const uint64_t row = task.group * task.head_width;
  queries_.resize(task.count * row);
  for (uint64_t q = 0; q < task.count; ++q) {
    std::memcpy(&queries_[q * row], task.query + q * task.query_stride, row * sizeof(float));
  }
  ActiveKernels().scale(queries_.data(), task.scale, queries_.size());
}

// Turns row `row` of the tile's scores into weights of the values of keys [begin, end), zero where it sees no key.
void Attention::AddScores(const AttentionTask& task, uint64_t row, uint64_t begin, uint64_t end) {
  const Kernels& kernels = ActiveKernels();
  float* scores = &scores_[row * (end - begin)];
  const uint64_t position = task.first + row / task.group;
  const uint64_t lo = std::clamp(FirstSeen(task.window, position), begin, end), hi = std::clamp(position + 1, begin, end);
  if (lo >= hi) return std::fill(scores, scores + (end - begin), 0.0f);
  std::fill(scores, scores + (lo - begin), 0.0f);
  std::fill(scores + (hi - begin), scores + (end - begin), 0.0f);

  const float greatest = std::max(greatest_[row], kernels.max(scores + (lo - begin), hi - lo));
  if (greatest > greatest_[row]) {
    const float shrink = std::exp(greatest_[row] - greatest);  // 0 at first
    kernels.scale(&sums_[row * task.head_width], shrink, task.head_width);
    total_[row] *= shrink;
    greatest_[row] = greatest;
  }
  total_[row] += kernels.exp_sum(scores + (lo - begin), greatest_[row], hi - lo);
}

void Attention::AddKeys(const AttentionTask& task, uint64_t begin, uint64_t end) {
  const uint64_t rows = task.count * task.group, keys = end - begin, width = task.head_width;
  MultiplyTransposed(rows, keys, width, queries_.data(), width, task.key + begin * task.key_stride, task.key_stride, 0,
                     scores_.data(), keys);
  for (uint64_t row = 0; row < rows; ++row) AddScores(task, row, begin, end);
  Multiply(rows, width, keys, scores_.data(), keys, task.value + begin * task.value_stride, task.value_stride, 1,
           sums_.data(), width);
}

void Attention::StoreOut(const AttentionTask& task) {
  const uint64_t width = task.head_width;
  for (uint64_t row = 0; row < task.count * task.group; ++row) {
    float* out = task.out + row / task.group * task.out_stride + row % task.group * width;
    std::memcpy(out, &sums_[row * width], width * sizeof(float));
    ActiveKernels().scale(out, 1 / total_[row], width);
  }
}

void Attention::Run(const AttentionTask& task) {
  const uint64_t rows = task.count * task.group;
  LoadQueries(task);
  scores_.resize(rows * kTileKeys);
  sums_.assign(rows * task.head_width, 0);
  greatest_.assign(rows, -std::numeric_limits<float>::infinity());
  total_.assign(rows, 0);
  const uint64_t end = task.first + task.count;
  // Tiles start at multiples of kTileKeys whatever the window, so that a query's tiles do not depend on its neighbours.
  for (uint64_t begin = FirstSeen(task.window, task.first) / kTileKeys * kTileKeys; begin < end; begin += kTileKeys) {
    AddKeys(task, begin, std::min(begin + kTileKeys, end));
  }
  StoreOut(task);
}

}  // namespace nashswarm::forward
