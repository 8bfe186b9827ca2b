#include "core/forward/blocks/residual.h"

#include <algorithm>

#include "core/forward/kernels.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"
#include "core/forward/tiling.h"

namespace nashswarm::forward {

void Residual::Enter(const BranchNorms& norms, const float* from, float* to, uint64_t rows) {
  norms_ = &norms;
  from_ = from;
  to_ = to;
  rows_ = rows;
}

const float* Residual::Read(uint64_t first, uint64_t count) {
  float* normed = Room(normed_, count * width_);
  const float* from = from_ + first * width_;
  if (norms_->before.weight.empty()) {
    std::copy_n(from, count * width_, normed);
    return normed;
  }
  ForRows(pool_, count, [&](uint64_t row, int) { NormRow(config_, norms_->before, from + row * width_, width_, normed + row * width_); });
  return normed;
}

void Residual::Add(const Matrix& matrix, Rows x, uint64_t first, uint64_t count) {
  const bool normed = !norms_->after.weight.empty();
  float* to = normed ? Room(added_, count * width_) : to_ + first * width_;
  const Tiling tiling(count, width_, rows_);
  pool_.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, rows, column, columns] = tiling[i];
      const auto project = normed ? Project : ProjectAndAdd;
      project(matrix, {x.at(row), x.stride}, rows, column, columns, {to + row * width_ + column, width_});
      return absl::OkStatus();
    }).IgnoreError();
  End(first, count);
}

float* Residual::Begin(uint64_t first, uint64_t count) {
  if (norms_->after.weight.empty()) return to_ + first * width_;
  float* added = Room(added_, count * width_);
  std::fill_n(added, count * width_, 0.0f);
  return added;
}

void Residual::End(uint64_t first, uint64_t count) {
  if (norms_->after.weight.empty()) return;
  float* to = to_ + first * width_;
  ForRows(pool_, count, [&](uint64_t row, int) {
    float* added = added_.data() + row * width_;
    NormRow(config_, norms_->after, added, width_, added);
    ActiveKernels().add(added, width_, to + row * width_);
  });
}

void ResidualGradient::Enter(const BranchNorms& norms, const float* from, const float* at_output, float* at_input) {
  norms_ = &norms;
  from_ = from;
  at_output_ = at_output;
  at_input_ = at_input;
}

void ResidualGradient::Read(uint64_t first, uint64_t count, float* to) {
  const float* from = from_ + first * width_;
  if (norms_->before.weight.empty()) {
    std::copy_n(from, count * width_, to);
    return;
  }
  ForRows(pool_, count, [&](uint64_t row, int) { NormRow(config_, norms_->before, from + row * width_, width_, to + row * width_); });
}

const float* ResidualGradient::AtOutput(uint64_t first, uint64_t count, const float* output) {
  const float* gradient = at_output_ + first * width_;
  if (!needs_output()) return gradient;
  float* behind = Room(behind_, count * width_);
  ForRows(pool_, count, [&](uint64_t row, int) {
    float* g = behind + row * width_;
    std::copy_n(gradient + row * width_, width_, g);
    NormRowDerivative(config_, norms_->after, output + row * width_, width_, g);
  });
  return behind;
}

void ResidualGradient::AddAtInput(uint64_t first, uint64_t count, float* gradient) {
  const bool normed = !norms_->before.weight.empty();
  ForRows(pool_, count, [&](uint64_t row, int) {
    float* g = gradient + row * width_;
    if (normed) NormRowDerivative(config_, norms_->before, from_ + (first + row) * width_, width_, g);
    ActiveKernels().add(g, width_, at_input_ + (first + row) * width_);
  });
}

}  // namespace nashswarm::forward
