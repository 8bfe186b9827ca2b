// Reads the hyperparameters of a model. The first error sticks; later calls do nothing.
#ifndef NASHSWARM_CORE_FORWARD_HYPERPARAMETERS_H_
#define NASHSWARM_CORE_FORWARD_HYPERPARAMETERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

// BLAS counts rows and columns in 32-bit integers.
inline constexpr uint64_t kMaxExtent = (uint64_t{1} << 31) - 1;

// Keys are without the architecture's name before them. A value of another type or out of range, or one that is not there and
// has no fallback, is INVALID_ARGUMENT / CONFIG_INVALID.
class Hyperparameters {
 public:
  explicit Hyperparameters(const Weights& weights) : weights_(weights) {}

  bool Has(std::string_view key) const { return weights_.Hyperparameter(key) != nullptr; }
  uint64_t Count(std::string_view key);  // from 1 to kMaxExtent
  uint64_t CountOr(std::string_view key, uint64_t fallback);
  double Real(std::string_view key);     // positive and finite
  double RealOr(std::string_view key, double fallback);
  std::string Text(std::string_view key);  // "" when it is not there
  bool Flag(std::string_view key, bool fallback) const;  // the fallback for what is no flag, too
  // Which of the layers are marked under `key`: by a list of them, or by the period of one layer that is not; `period` when the
  // key is not there. Empty: all.
  std::vector<bool> AllButEvery(std::string_view key, uint64_t layers, uint64_t period);

  void Fail(const std::string& what);
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  const Weights& weights_;
  absl::Status status_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_HYPERPARAMETERS_H_
