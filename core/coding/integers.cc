#include "core/coding/integers.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <vector>

#include "core/base/status.h"

namespace nashswarm::coding {
namespace {

constexpr int kModeBits = 2;
enum Mode : uint32_t { kConstant = 0, kValues = 1, kDifferences = 2 };
constexpr int kCenterOrder = 3;
constexpr int kUnaryContexts = 16;        // magnitudes 1..16 in unary, the rest in Exp-Golomb
constexpr uint32_t kMaxGolombZeros = 24;  // a difference is at most 2^25, less the 16

// Counts of zeros and ones so far give the probability of the next bit (Krichevsky & Trofimov 1981).
struct Bit {
  uint32_t zeros = 0, ones = 0;

  // Of a zero, in 65536ths, 1..65535.
  uint32_t Probability() const { return ((2 * zeros + 1) << 16) / (2 * (zeros + ones) + 2); }
  void Count(bool bit) {
    ++(bit ? ones : zeros);
    if (zeros + ones == kMemory) zeros >>= 1, ones >>= 1;
  }
  static constexpr uint32_t kMemory = 1024;  // keeps Probability() within 32 bits and above 0
};

// The interval of Witten, Neal & Cleary, "Arithmetic coding for data compression", 1987. It is never narrower than a
// quarter, and every step of Renormalize moves one bit between stream and interval.
struct Interval {
  static constexpr uint64_t kQuarter = uint64_t{1} << 30;
  uint64_t low = 0, high = 4 * kQuarter - 1;

  // The last code value of a zero.
  uint64_t Split(uint32_t probability) const { return low + (((high - low + 1) * probability) >> 16) - 1; }
  void Take(bool bit, uint64_t split) {
    if (bit) {
      low = split + 1;
    } else {
      high = split;
    }
  }
};

class Encoder {
 public:
  explicit Encoder(BitWriter& out) : out_(out) {}

  void Code(bool bit, uint32_t probability) {
    interval_.Take(bit, interval_.Split(probability));
    for (;;) {
      uint64_t below = 0;
      if (interval_.high < 2 * Interval::kQuarter) {
        Put(0);
      } else if (interval_.low >= 2 * Interval::kQuarter) {
        Put(1);
        below = 2 * Interval::kQuarter;
      } else if (interval_.low >= Interval::kQuarter && interval_.high < 3 * Interval::kQuarter) {
        ++undecided_;
        below = Interval::kQuarter;
      } else {
        return;
      }
      interval_.low = 2 * (interval_.low - below);
      interval_.high = 2 * (interval_.high - below) + 1;
    }
  }

  // Two more bits name a quarter inside the interval: whatever follows them in the stream decodes alike.
  void Finish() {
    ++undecided_;
    Put(interval_.low < Interval::kQuarter ? 0 : 1);
  }

 private:
  void Put(uint32_t bit) {
    out_.Write(bit, 1);
    for (; undecided_ > 0; --undecided_) out_.Write(1 - bit, 1);
  }

  BitWriter& out_;
  Interval interval_;
  uint64_t undecided_ = 0;
};

class Decoder {
 public:
  explicit Decoder(BitReader& in) : in_(in) {
    for (int i = 0; i < 32; ++i) code_ = 2 * code_ + in_.Peek(i);
  }

  bool Code(uint32_t probability) {
    const uint64_t split = interval_.Split(probability);
    const bool bit = code_ > split;
    interval_.Take(bit, split);
    for (;;) {
      uint64_t below = 0;
      if (interval_.low >= 2 * Interval::kQuarter) {
        below = 2 * Interval::kQuarter;
      } else if (interval_.low >= Interval::kQuarter && interval_.high < 3 * Interval::kQuarter) {
        below = Interval::kQuarter;
      } else if (interval_.high >= 2 * Interval::kQuarter) {
        return bit;
      }
      interval_.low = 2 * (interval_.low - below);
      interval_.high = 2 * (interval_.high - below) + 1;
      code_ = 2 * (code_ - below) + in_.Peek(31 + ++steps_);
    }
  }

  void Finish() { in_.Skip(steps_ + 2); }

 private:
  BitReader& in_;
  Interval interval_;
  uint64_t code_ = 0;
  size_t steps_ = 0;
};

// The bits of an integer and their contexts; `Coder::Code` writes or reads one bit. kReading: `value` is a result.
template <typename Coder, bool kReading>
class Model {
 public:
  Model(Coder& coder, bool shared_signs) : coder_(coder), shared_signs_(shared_signs) {}

  // False when the stream holds a magnitude that no writer makes.
  bool Code(int32_t& value) {
    if (!Adaptive(nonzero_, value != 0)) return value = 0, true;
    const bool negative = Adaptive(sign_, value < 0);
    Bit* contexts = unary_[negative && !shared_signs_ ? 1 : 0];
    const uint32_t wanted = static_cast<uint32_t>(std::abs(value));
    uint32_t magnitude = 1;
    while (magnitude <= kUnaryContexts && Adaptive(contexts[magnitude - 1], wanted > magnitude)) ++magnitude;
    if (magnitude > kUnaryContexts && !Golomb(wanted, magnitude)) return false;
    if (kReading) value = negative ? -static_cast<int32_t>(magnitude) : static_cast<int32_t>(magnitude);
    return true;
  }

 private:
  bool Adaptive(Bit& context, bool bit) {
    bit = Plain(bit, context.Probability());
    context.Count(bit);
    return bit;
  }

  bool Plain(bool bit, uint32_t probability) {
    if constexpr (kReading) {
      return coder_.Code(probability);
    } else {
      coder_.Code(bit, probability);
      return bit;
    }
  }

  // magnitude - 17 in Exp-Golomb of order 0, each bit of probability 1/2.
  bool Golomb(uint32_t wanted, uint32_t& magnitude) {
    constexpr uint32_t kHalf = 1 << 15;
    const uint32_t target = kReading ? 0 : wanted - kUnaryContexts;  // >= 1
    const uint32_t length = std::bit_width(target);
    uint32_t zeros = 0;
    while (!Plain(zeros + 1 >= length, kHalf)) {
      if (++zeros > kMaxGolombZeros) return false;
    }
    uint32_t u = 1;
    for (uint32_t i = zeros; i-- > 0;) u = 2 * u + Plain((target >> i) & 1, kHalf);
    magnitude = kUnaryContexts + u;
    return true;
  }

  Coder& coder_;
  const bool shared_signs_;
  Bit nonzero_, sign_, unary_[2][kUnaryContexts];
};

int32_t Median(absl::Span<const int32_t> values) {
  std::vector<int32_t> sorted(values.begin(), values.end());
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  return sorted[sorted.size() / 2];
}

void WriteAs(Mode mode, bool shared_signs, absl::Span<const int32_t> values, BitWriter& out) {
  int32_t center = mode == kValues ? Median(values) : values.empty() ? 0 : values[0];
  out.Write(mode, kModeBits);
  out.WriteSignedGolomb(center, kCenterOrder);
  if (mode == kConstant) return;
  out.Write(shared_signs ? 1 : 0, 1);
  Encoder encoder(out);
  Model<Encoder, false> model(encoder, shared_signs);
  for (const int32_t value : values) {
    int32_t difference = value - center;
    model.Code(difference);
    if (mode == kDifferences) center = value;
  }
  encoder.Finish();
}

absl::Status Corrupt(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "ARRAY_CORRUPT", absl::StrCat("side array: ", ToAbsl(what)));
}

}  // namespace

void WriteIntegers(absl::Span<const int32_t> values, BitWriter& out) {
  const bool constant = std::all_of(values.begin(), values.end(), [&](int32_t v) { return v == values[0]; });
  if (constant) return WriteAs(kConstant, false, values, out);
  Mode best_mode = kValues;
  bool best_shared = false;
  size_t least = SIZE_MAX;
  for (const Mode mode : {kValues, kDifferences}) {
    for (const bool shared : {false, true}) {
      BitWriter trial;
      WriteAs(mode, shared, values, trial);
      if (trial.bits() < least) least = trial.bits(), best_mode = mode, best_shared = shared;
    }
  }
  WriteAs(best_mode, best_shared, values, out);
}

absl::Status ReadIntegers(BitReader& in, int32_t least, int32_t greatest, absl::Span<int32_t> values) {
  const uint32_t mode = in.Read(kModeBits);
  int64_t center = in.ReadSignedGolomb(kCenterOrder);
  const bool shared_signs = mode != kConstant && in.Read(1) != 0;
  if (in.overrun()) return Corrupt("ends early");
  if (mode > kDifferences) return Corrupt("its mode is unknown");
  if (std::abs(center) > kMaxSideInteger) return Corrupt("its centre is out of range");
  if (mode == kConstant) {
    if (!values.empty() && (center < least || center > greatest)) return Corrupt("a value is out of range");
    std::fill(values.begin(), values.end(), static_cast<int32_t>(center));
    return absl::OkStatus();
  }
  Decoder decoder(in);
  Model<Decoder, true> model(decoder, shared_signs);
  for (int32_t& value : values) {
    int32_t difference = 0;
    if (!model.Code(difference)) return Corrupt("a value is out of range");
    const int64_t sum = center + difference;
    if (sum < least || sum > greatest) return Corrupt("a value is out of range");
    value = static_cast<int32_t>(sum);
    if (mode == kDifferences) center = sum;
  }
  decoder.Finish();
  return in.overrun() ? Corrupt("ends early") : absl::OkStatus();
}

}  // namespace nashswarm::coding
