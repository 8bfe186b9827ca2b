// Memory for weights that are kept as floats between calls.
#ifndef NASHSWARM_CORE_FORWARD_WEIGHT_BUDGET_H_
#define NASHSWARM_CORE_FORWARD_WEIGHT_BUDGET_H_

#include <cstdint>

namespace nashswarm::forward {

class WeightBudget {
 public:
  explicit WeightBudget(uint64_t bytes) : left_(bytes) {}
  bool Has(uint64_t bytes) const { return bytes <= left_; }
  void Take(uint64_t bytes) { left_ -= bytes; }  // it has them

 private:
  uint64_t left_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_WEIGHT_BUDGET_H_
