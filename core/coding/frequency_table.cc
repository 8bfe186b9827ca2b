#include "core/coding/frequency_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/base/status.h"

namespace nashswarm::coding {
namespace {

constexpr int kGreatestLevel = 1023;  // far past the least probability, 2^-12; keeps the sums below in 32 bits

// round(2^(16 - quarters / 4)), the weight of a symbol so much less probable than the most probable one.
uint32_t LevelWeight(int quarters) {
  constexpr uint32_t kQuarter[4] = {65536, 55109, 46341, 38968};
  return quarters >= 4 * 17 ? 0 : kQuarter[quarters % 4] >> (quarters / 4);
}

absl::Status Corrupt(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "TABLE_CORRUPT", absl::StrCat("frequency table: ", ToAbsl(what)));
}

int Magnitude(int32_t k) { return static_cast<int>(std::min<int64_t>(std::abs(int64_t{k}), kMaxInteger + int64_t{1})); }

}  // namespace

FrequencyTable::FrequencyTable() { Normalize(); }

void FrequencyTable::Normalize() {
  int least = escape_ ? std::min(0, escape_level_) : 0;
  for (int v = 1; v <= max_magnitude_; ++v) least = std::min<int>(least, levels_[v]);
  uint64_t total = LevelWeight(0 - least) + (escape_ ? LevelWeight(escape_level_ - least) : 0);
  for (int v = 1; v <= max_magnitude_; ++v) total += 2 * uint64_t{LevelWeight(levels_[v] - least)};
  const auto share = [&](int level) {
    const uint64_t slots = (2 * kSlots * uint64_t{LevelWeight(level - least)} + total) / (2 * total);
    return static_cast<uint16_t>(std::max<uint64_t>(slots, 1));
  };
  escape_frequency_ = escape_ ? share(escape_level_) : 0;
  int sum = escape_frequency_;
  for (int v = 0; v <= max_magnitude_; ++v) {
    frequency_[v] = share(levels_[v]);
    sum += v == 0 ? frequency_[v] : 2 * frequency_[v];
  }
  while (sum > kSlots) {
    const auto greatest = std::max_element(frequency_.begin(), frequency_.begin() + max_magnitude_ + 1);
    if (escape_frequency_ > *greatest) {
      --escape_frequency_;
      --sum;
      continue;
    }
    --*greatest;
    sum -= greatest == frequency_.begin() ? 1 : 2;
  }
  frequency_[0] = static_cast<uint16_t>(frequency_[0] + kSlots - sum);
  for (int v = 1; v <= max_magnitude_; ++v) {
    start_[v] = static_cast<uint16_t>(start_[v - 1] + (v == 1 ? 1 : 2) * frequency_[v - 1]);
  }
}

void FrequencyTable::Write(BitWriter& out) const {
  out.Write(used() ? 1 : 0, 1);
  if (!used()) return;
  out.Write(max_magnitude_, 7);
  out.Write(escape_ ? 1 : 0, 1);
  if (max_magnitude_ > 0) {
    out.Write(order_, 2);
    out.Write(curvature_, 2);
    int slope = levels_[1];
    out.WriteSignedGolomb(slope, 2);
    for (int v = 2; v <= max_magnitude_; ++v) {
      const int next = levels_[v] - levels_[v - 1];
      out.WriteSignedGolomb(next - slope - curvature_, order_);
      slope = next;
    }
  }
  if (escape_) out.WriteSignedGolomb(escape_level_ - levels_[max_magnitude_], 3);
}

absl::StatusOr<FrequencyTable> FrequencyTable::Read(BitReader& in) {
  FrequencyTable table;
  if (in.Read(1) == 0) return in.overrun() ? absl::StatusOr<FrequencyTable>(Corrupt("ends early")) : table;
  table.max_magnitude_ = static_cast<int>(in.Read(7));
  table.escape_ = in.Read(1) != 0;
  if (table.max_magnitude_ > kMaxMagnitude) return Corrupt("its greatest magnitude is above 120");
  if (table.max_magnitude_ == 0 && !table.escape_) return Corrupt("it is marked as used and codes nothing but 0");
  int64_t level = 0;
  if (table.max_magnitude_ > 0) {
    table.order_ = static_cast<uint8_t>(in.Read(2));
    table.curvature_ = static_cast<uint8_t>(in.Read(2));
    int64_t slope = 0;
    for (int v = 1; v <= table.max_magnitude_; ++v) {
      slope += v == 1 ? in.ReadSignedGolomb(2) : int64_t{in.ReadSignedGolomb(table.order_)} + table.curvature_;
      level += slope;
      if (std::abs(level) > kGreatestLevel) return Corrupt("a level is out of range");
      table.levels_[v] = static_cast<int16_t>(level);
    }
  }
  if (table.escape_) {
    level += in.ReadSignedGolomb(3);
    if (std::abs(level) > kGreatestLevel) return Corrupt("the level of the escape is out of range");
    table.escape_level_ = static_cast<int>(level);
  }
  if (in.overrun()) return Corrupt("ends early");
  table.Normalize();
  return table;
}

int FrequencyTable::frequency(int32_t k) const {
  const int v = Magnitude(k);
  return v > max_magnitude_ ? 0 : frequency_[v];
}

int FrequencyTable::start(int32_t k) const {
  const int v = Magnitude(k);
  return start_[v] + (k < 0 ? frequency_[v] : 0);
}

bool FrequencyTable::CanCode(int32_t k) const {
  const int v = Magnitude(k);
  return v <= max_magnitude_ || (escape_ && v <= kMaxInteger);
}

double FrequencyTable::bits(int32_t k) const {
  if (!CanCode(k)) return std::numeric_limits<double>::infinity();
  const int v = Magnitude(k);
  if (v <= max_magnitude_) return kPrecisionBits - std::log2(frequency_[v]);
  return kPrecisionBits - std::log2(escape_frequency_) + GolombBits(v - max_magnitude_ - 1, 0) + 1;
}

}  // namespace nashswarm::coding
