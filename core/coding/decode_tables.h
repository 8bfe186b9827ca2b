// What decoding looks up, made once per tensor from its frequency tables. Immutable: threads share one.
#ifndef NASHSWARM_CORE_CODING_DECODE_TABLES_H_
#define NASHSWARM_CORE_CODING_DECODE_TABLES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/coding/frequency_table.h"

namespace nashswarm::coding {

constexpr int kMaxContexts = 64;

// One slot: what decoding it does to a lane's state x, x = (frequency) * (x >> 12) + bias, and the integer it means.
//   bits 0..11  frequency - 1      bits 12..23  slot - first slot of the symbol      bits 24..31  k, signed
using Slot = uint32_t;
constexpr int kEscapeSymbol = -128;  // in place of k; even, as the kernels expect

class DecodeTables {
 public:
  // `tables`: one per context, or with dependent quantization two (of quantizer 0 and 1), context by context; at most
  // kMaxContexts contexts. The tables are not kept.
  DecodeTables(absl::Span<const FrequencyTable> tables, bool dependent);

  bool dependent() const { return dependent_; }
  int contexts() const { return static_cast<int>(max_magnitude_.size()) / (dependent_ ? 2 : 1); }

  // All slots: 4096 of the first table, then those of the second, ...
  const Slot* slots() const { return slots_.data(); }
  // Of a table; |k| of an escape lies above it.
  int max_magnitude(int table) const { return max_magnitude_[table]; }

 private:
  bool dependent_;
  std::vector<Slot> slots_;
  std::vector<uint8_t> max_magnitude_;
};

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_DECODE_TABLES_H_
