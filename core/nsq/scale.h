// Scales as small integers: 2^(index / 8). Steps of columns and rows are kept this way, so that a scale costs a few bits.
#ifndef NASHSWARM_CORE_NSQ_SCALE_H_
#define NASHSWARM_CORE_NSQ_SCALE_H_

#include <cmath>
#include <cstdint>

namespace nashswarm::nsq {

inline constexpr int kScalesPerOctave = 8;
inline constexpr int kGreatestScale = 64 * kScalesPerOctave;  // of an index, either way: 2^64 and 2^-64 are normal floats

// 2^(index / 8) as the nearest float; |index| <= kGreatestScale. The same bits on every machine.
inline float ScaleOf(int32_t index) {
  constexpr float kEighths[kScalesPerOctave] = {0x1p0f,         0x1.172b84p0f, 0x1.306fep0f,  0x1.4bfdaep0f,
                                                0x1.6a09e6p0f, 0x1.8ace54p0f, 0x1.ae89fap0f, 0x1.d5818ep0f};
  const int32_t octave = index >> 3;
  return std::ldexp(kEighths[index & 7], octave);
}

// The nearest index that is a multiple of `coarseness` (1, 2, 4 or 8).
inline int32_t ScaleIndex(double log2_scale, int coarseness) {
  const double clamped = std::fmin(std::fmax(log2_scale, -60.0), 60.0);
  return static_cast<int32_t>(std::lrint(clamped * kScalesPerOctave / coarseness)) * coarseness;
}

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_SCALE_H_
