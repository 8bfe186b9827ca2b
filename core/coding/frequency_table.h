// The probabilities of the integers of one context, in 4096ths: symmetric in sign, with an escape for what is rare.
// README.md has the serialized form bit by bit.
#ifndef NASHSWARM_CORE_CODING_FREQUENCY_TABLE_H_
#define NASHSWARM_CORE_CODING_FREQUENCY_TABLE_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/coding/bits.h"

namespace nashswarm::coding {

constexpr int kPrecisionBits = 12;                  // 4096 slots of 4 bytes: the tables of a row stay in a core's cache
constexpr int kSlots = 1 << kPrecisionBits;
constexpr int kMaxMagnitude = 120;                  // a symbol fits a signed byte, with room for the escape
constexpr int32_t kMaxInteger = int32_t{1} << 30;   // |k| of a weight, at most

// Immutable once made. A default table is the unused one: all slots belong to the integer 0.
class FrequencyTable {
 public:
  FrequencyTable();

  // The table that codes these integers in the fewest bits, its own among them. magnitude_counts[v]: how many integers
  // have |k| = v, signs together; finite, >= 0, of any length. No counts: the unused table. Every |k| that was counted
  // can be coded; others perhaps not, see has_escape().
  static FrequencyTable Fit(absl::Span<const double> magnitude_counts);

  void Write(BitWriter& out) const;
  // DATA_LOSS / TABLE_CORRUPT.
  static absl::StatusOr<FrequencyTable> Read(BitReader& in);

  int max_magnitude() const { return max_magnitude_; }
  bool has_escape() const { return escape_frequency_ != 0; }
  bool used() const { return max_magnitude_ > 0 || escape_; }

  // Slots of integer k, 0 when |k| > max_magnitude(). k and -k have equally many.
  int frequency(int32_t k) const;
  int escape_frequency() const { return escape_frequency_; }
  // The first slot of k, |k| <= max_magnitude(). Slots lie in the order 0, +1, -1, +2, -2, ..., escape.
  int start(int32_t k) const;
  int escape_start() const { return kSlots - escape_frequency_; }

  bool CanCode(int32_t k) const;
  // The ideal length of k in bits, those of the escape section included; infinity when !CanCode(k).
  double bits(int32_t k) const;

  friend bool operator==(const FrequencyTable&, const FrequencyTable&) = default;

 private:
  // Frequencies from levels_ and escape_level_, by the rule in README.md.
  void Normalize();

  bool escape_ = false;
  int max_magnitude_ = 0;
  uint8_t order_ = 0, curvature_ = 0;  // how the levels are written
  int escape_level_ = 0;
  std::array<int16_t, kMaxMagnitude + 1> levels_{};  // -4 log2(probability of +v / probability of 0)
  std::array<uint16_t, kMaxMagnitude + 1> frequency_{}, start_{};  // of +v; -v follows
  int escape_frequency_ = 0;
};

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_FREQUENCY_TABLE_H_
