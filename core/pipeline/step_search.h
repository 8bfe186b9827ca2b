// What a stream takes is known only when it is there, and then not quite smoothly in its step. So the steps of a plan are scaled,
// all by the same factor, until the streams meet a budget: to first order that keeps the equilibrium. What is left over goes to
// single tensors.
#ifndef NASHSWARM_CORE_PIPELINE_STEP_SEARCH_H_
#define NASHSWARM_CORE_PIPELINE_STEP_SEARCH_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::pipeline {

// Finds the factor. Steps times 2^log_factor(), as it says; then it hears the bytes they took.
class StepSearch {
 public:
  // Near enough is within `close` of the budget, a share; so are `tries`, once something fits. `weights`: of all streams.
  StepSearch(uint64_t budget, uint64_t weights, double close, int tries);

  bool done() const { return done_; }
  double log_factor() const { return at_; }  // in octaves
  // Whether this is the best that fits so far, for the caller to keep.
  bool Took(uint64_t bytes);

  uint64_t bytes() const { return coarse_bytes_; }         // of the best; 0: nothing has fitted yet
  double best_log_factor() const { return coarse_; }

 private:
  double budget_, weights_, close_;
  int tries_;
  bool done_ = false;
  double at_ = 0;
  // The least that was too much, and the most that fitted.
  double fine_ = 0, coarse_ = 0;
  uint64_t fine_bytes_ = 0, coarse_bytes_ = 0;
};

// A coded tensor that may take some of what is left over.
struct Spender {
  size_t tensor = 0;
  uint64_t weights = 0, bytes = 0;  // of its stream now
  double step = 0;
};
// The largest tensors get a finer step, one after the other, as long as more than `close` of the budget is left over of `bytes`.
// `encode` makes a tensor's stream at a step and returns its bytes; `settle` then hears whether that stream stays.
absl::Status SpendLeftover(uint64_t budget, uint64_t bytes, double close, std::vector<Spender> spenders,
                           const std::function<absl::StatusOr<uint64_t>(size_t tensor, double step)>& encode,
                           const std::function<void(size_t tensor, bool stays)>& settle);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_STEP_SEARCH_H_
