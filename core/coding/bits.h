// Bit streams: the first bit written is the lowest bit of the first byte.
#ifndef NASHSWARM_CORE_CODING_BITS_H_
#define NASHSWARM_CORE_CODING_BITS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::coding {

class BitWriter {
 public:
  // The low `count` bits of `value`, lowest first. 0 <= count <= 32.
  void Write(uint32_t value, int count);
  // Exp-Golomb of order 0..16, for value <= 2^32 - 2^16: with u = value + 2^order and b the bit length of u,
  // b - order - 1 zeros, a one, and the low b - 1 bits of u.
  void WriteGolomb(uint32_t value, int order);
  // The same of ZigZag(value).
  void WriteSignedGolomb(int32_t value, int order);

  size_t bits() const { return 8 * bytes_.size() + filled_; }
  // The bytes so far, the last one filled up with zeros. The writer is empty afterwards.
  std::vector<uint8_t> Take();

 private:
  std::vector<uint8_t> bytes_;
  uint64_t pending_ = 0;  // the next `filled_` < 8 bits
  int filled_ = 0;
};

// Past the end a reader yields zeros and says so in overrun(): check once after reading. It does not own the bytes.
class BitReader {
 public:
  explicit BitReader(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}

  uint32_t Read(int count);            // 0 <= count <= 32
  uint32_t ReadGolomb(int order);      // 0 and overrun() when the code is longer than a writer makes one
  int32_t ReadSignedGolomb(int order);

  // The bit `ahead` places on (0: the next one), without moving; zero past the end.
  uint32_t Peek(size_t ahead) const;
  void Skip(size_t count);

  size_t position() const { return position_; }  // bits read so far
  bool overrun() const { return overrun_; }
  // Whether everything was read: no whole byte is left, and the bits that fill up the last one are zeros.
  bool AtEnd() const;

 private:
  absl::Span<const uint8_t> bytes_;
  size_t position_ = 0;
  bool overrun_ = false;
};

// 0, -1, 1, -2, 2, ... <-> 0, 1, 2, 3, 4, ...
constexpr uint32_t ZigZag(int32_t v) { return (static_cast<uint32_t>(v) << 1) ^ static_cast<uint32_t>(v >> 31); }
constexpr int32_t UnZigZag(uint32_t u) { return static_cast<int32_t>((u >> 1) ^ (0u - (u & 1))); }

// The length in bits of the Exp-Golomb code.
int GolombBits(uint32_t value, int order);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_BITS_H_
