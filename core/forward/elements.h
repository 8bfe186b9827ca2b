// One element at a time: the scalar kernels, and the last elements of a row that fill no vector. Private to the kernels.
#ifndef NASHSWARM_CORE_FORWARD_ELEMENTS_H_
#define NASHSWARM_CORE_FORWARD_ELEMENTS_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace nashswarm::forward {

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2. The Taylor polynomial of degree 7 is then within 6e-9, below
// half an ulp. ln 2 is split so that n * kLn2High is exact.
constexpr float kInverseLn2 = 1.44269504f;
constexpr float kLn2High = 0x1.62ep-1f;          // the leading 13 bits of ln 2
constexpr float kLn2Low = 0x1.0bfbe8p-15f;       // ln 2 - kLn2High
constexpr float kExpLowest = -87.0f, kExpHighest = 88.0f;  // 2^n stays a normal number; lower is 0, higher saturates
constexpr float kExpTerms[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};

inline float ExpOf(float x) {
  if (x != x) return x;
  if (x < kExpLowest) return 0;
  const float clamped = x > kExpHighest ? kExpHighest : x;
  const float n = std::nearbyint(clamped * kInverseLn2);
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float p = kExpTerms[0];
  for (int k = 1; k < 8; ++k) p = p * r + kExpTerms[k];
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

inline float SiluOf(float x) { return x / (1.0f + ExpOf(-x)); }

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr float kGeluCubic = 0.044715f;
constexpr float kGeluSlope = -1.59576912f;  // -2 sqrt(2/pi)
inline float GeluOf(float x) {
  const float inner = x + kGeluCubic * (x * x * x);
  return x / (1.0f + ExpOf(kGeluSlope * inner));
}

// NaN stays NaN.
inline float ReluSquaredOf(float x) {
  const float above = x < 0 ? 0 : x;
  return above * above;
}

inline void RotateOf(float& a, float& b, float cos, float sin) {
  const float x = a, y = b;
  a = x * cos - y * sin;
  b = y * cos + x * sin;
}

inline bool FiniteOf(float x) { return std::abs(x) <= 3.40282347e+38f; }

// The sum of `count` partial sums, always in this order.
template <typename T>
inline T Total(const T* partial, int count) {
  T sum = 0;
  for (int k = 0; k < count; ++k) sum += partial[k];
  return sum;
}

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ELEMENTS_H_
