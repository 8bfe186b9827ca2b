// The residual stream as a block meets it: rows of `width` floats, a row a token, which it reads through a norm and adds to. How
// the block hangs on it (which norms, what it reads) is known here alone.
#ifndef NASHSWARM_CORE_FORWARD_BLOCKS_RESIDUAL_H_
#define NASHSWARM_CORE_FORWARD_BLOCKS_RESIDUAL_H_

#include <cstdint>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/forward/blocks/norm.h"
#include "core/forward/linear.h"

namespace nashswarm::forward {

// The norms of a branch; of those that it does not have the weight is empty.
struct BranchNorms {
  Norm before, after;
};

class Residual {
 public:
  // Both outlive this. Keeps its buffers from call to call.
  Residual(const NormConfig& config, uint64_t width, ThreadPool& pool) : config_(config), width_(width), pool_(pool) {}

  // Before a branch runs. It reads `from` and adds to `to`, both rows x width, which may be the same.
  void Enter(const BranchNorms& norms, const float* from, float* to, uint64_t rows);

  uint64_t width() const { return width_; }
  // Rows [first, first + count) behind the norm, a row after the other: until the next call of Read.
  const float* Read(uint64_t first, uint64_t count);
  // Adds x W^T + b to rows [first, first + count).
  void Add(const Matrix& matrix, Rows x, uint64_t first, uint64_t count);
  // The same in two steps: a block adds to what Begin gives, `count` rows, and says when it has.
  float* Begin(uint64_t first, uint64_t count);
  void End(uint64_t first, uint64_t count);

 private:
  const NormConfig& config_;
  const uint64_t width_;
  ThreadPool& pool_;
  const BranchNorms* norms_ = nullptr;
  const float* from_ = nullptr;
  float* to_ = nullptr;
  uint64_t rows_ = 0;                      // of the batch
  std::vector<float> normed_, added_;
};

// The way back through a branch.
class ResidualGradient {
 public:
  ResidualGradient(const NormConfig& config, uint64_t width, ThreadPool& pool) : config_(config), width_(width), pool_(pool) {}

  // The branch read `from`; `at_output` is the gradient behind the branch, and what goes back through it is added to `at_input`.
  // They may be the same: a block has then read its rows of it before it adds to them. All are rows x width.
  void Enter(const BranchNorms& norms, const float* from, const float* at_output, float* at_input);

  uint64_t width() const { return width_; }
  // What the block read, rows [first, first + count), into `to`.
  void Read(uint64_t first, uint64_t count, float* to);
  // Whether the gradient at what the block gives depends on that: there is a norm behind it.
  bool needs_output() const { return !norms_->after.weight.empty(); }
  // The gradient at what the block gives. `output`: that, `count` rows; null unless needs_output(). Until the next call.
  const float* AtOutput(uint64_t first, uint64_t count, const float* output);
  // `gradient`, at what the block read, is spoilt.
  void AddAtInput(uint64_t first, uint64_t count, float* gradient);

 private:
  const NormConfig& config_;
  const uint64_t width_;
  ThreadPool& pool_;
  const BranchNorms* norms_ = nullptr;
  const float *from_ = nullptr, *at_output_ = nullptr;
  float* at_input_ = nullptr;
  std::vector<float> behind_;              // at_output of some rows, brought back through the norm
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_BLOCKS_RESIDUAL_H_
