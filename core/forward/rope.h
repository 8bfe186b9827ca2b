// Rotary position embeddings (Su et al., "RoFormer", 2021): angles by position and frequency.
#ifndef NASHSWARM_CORE_FORWARD_ROPE_H_
#define NASHSWARM_CORE_FORWARD_ROPE_H_

#include <cstdint>
#include <vector>

#include "core/forward/model_config.h"

namespace nashswarm::forward {

// Cosines and sines for the layers that share a base; grows with the positions asked for. Not for several threads while
// it grows.
class RopeTable {
 public:
  // `local`: for layers with a sliding window.
  RopeTable(const ModelConfig& config, bool local);

  void Cover(uint64_t positions);  // makes [0, positions) ready
  // half() values each, times the attention factor of the scaling. `position` is covered.
  const float* cos(uint64_t position) const { return cos_.data() + position * half(); }
  const float* sin(uint64_t position) const { return sin_.data() + position * half(); }
  uint64_t half() const { return frequencies_.size(); }

 private:
  std::vector<double> frequencies_;  // radians a position
  double factor_ = 1;
  uint64_t covered_ = 0;
  std::vector<float> cos_, sin_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ROPE_H_
