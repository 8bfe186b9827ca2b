// Arithmetic on sizes that came from outside: every multiply and add says when it overflows.
#ifndef NASHSWARM_CORE_BASE_CHECKED_H_
#define NASHSWARM_CORE_BASE_CHECKED_H_

#include <cstdint>
#include <optional>

namespace nashswarm {

inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// `alignment` is a power of two. The caller's value is far below 2^63.
inline uint64_t AlignUp(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

inline uint64_t DivideUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }  // likewise

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_CHECKED_H_
