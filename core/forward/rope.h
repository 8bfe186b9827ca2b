// Rotary position embeddings (Su et al., "RoFormer", 2021): angles by position and frequency.
#ifndef NASHSWARM_CORE_FORWARD_ROPE_H_
#define NASHSWARM_CORE_FORWARD_ROPE_H_

#include <cstdint>
#include <vector>

namespace nashswarm::forward {

// How rotary position embeddings are stretched beyond the length a model was first trained for.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  double original_context = 0;
  double attention_factor = 1;          // on top of yarn's own
  double beta_fast = 32, beta_slow = 1;  // turns within original_context between which yarn interpolates
};

struct RopeConfig {
  uint64_t width = 0;            // leading dimensions of a head that are rotated
  double base = 0;
  RopeScaling scaling;
  std::vector<float> divisors;   // one per frequency, or empty
};

// Cosines and sines for the layers that share a base; grows with the positions asked for. Not for several threads while
// it grows.
class RopeTable {
 public:
  explicit RopeTable(const RopeConfig& config);

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
