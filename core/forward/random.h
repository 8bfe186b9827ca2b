// Random numbers that are the same on every machine.
#ifndef NASHSWARM_CORE_FORWARD_RANDOM_H_
#define NASHSWARM_CORE_FORWARD_RANDOM_H_

#include <cstdint>

namespace nashswarm::forward {

// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine, which the standard's distributions do not
// promise.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) : state_(Mix(seed) ^ Mix(~stream)) {}

  // In [0, 1), of 53 bits.
  double Uniform() {
    state_ += kGolden;
    return static_cast<double>(Mix(state_) >> 11) * 0x1p-53;
  }

 private:
  static constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio, odd

  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_RANDOM_H_
