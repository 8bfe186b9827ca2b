#include "core/nsq/classes.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace nashswarm::nsq {
namespace {

constexpr int kMostClasses = 16;        // of rows, of columns: a sum stays far below coding's 64 contexts
constexpr double kTableBits = 60;       // of the tables of a context, about
constexpr double kClassesPerOctave[] = {1, 2, 4};

struct Side {
  std::vector<uint8_t> classes;
  double saved = 0;  // bits, what the classes cost subtracted
};

// Classes in steps of 1 / `per_octave`, counted down from the greatest spread; the smallest share the last class, since they
// have few bits to save.
Side ClassesOf(absl::Span<const double> power, double weights_each, double per_octave) {
  const double greatest = *std::max_element(power.begin(), power.end());
  Side side;
  side.classes.assign(power.size(), 0);
  if (!(greatest > 0)) return side;
  struct Sum {
    double power = 0, count = 0;
  };
  std::map<int, Sum> sums;
  Sum all;
  for (size_t i = 0; i < power.size(); ++i) {
    const double octaves = power[i] > 0 ? 0.5 * std::log2(greatest / power[i]) : kMostClasses;
    const int c = std::min(kMostClasses - 1, static_cast<int>(std::lrint(octaves * per_octave)));
    side.classes[i] = static_cast<uint8_t>(c);
    sums[c].power += power[i];
    sums[c].count += 1;
    all.power += power[i];
    all.count += 1;
  }
  const double floor = 1e-6 * all.power / all.count;  // what is next to nothing takes no bits anyway
  double within = 0, index_bits = 0;
  for (const auto& [c, sum] : sums) {
    within += sum.count * 0.5 * std::log2(sum.power / sum.count + floor);
    index_bits += sum.count * std::log2(all.count / sum.count);
  }
  const double without = all.count * 0.5 * std::log2(all.power / all.count + floor);
  // A spread estimated from n weights is off by chance, which looks like 0.72 bits saved an item and is not.
  side.saved = weights_each * (without - within) - 0.72 * all.count - index_bits - kTableBits * static_cast<double>(sums.size() - 1);
  return side;
}

// From the least class up, so that contexts begin at 0 and grow with the spread.
void TurnRound(std::vector<uint8_t>* classes) {
  const uint8_t most = *std::max_element(classes->begin(), classes->end());
  for (uint8_t& c : *classes) c = static_cast<uint8_t>(most - c);
}

}  // namespace

Classes ChooseClasses(absl::Span<const double> row_power, absl::Span<const double> column_power) {
  Classes best{std::vector<uint8_t>(row_power.size(), 0), std::vector<uint8_t>(column_power.size(), 0)};
  double most = 0;
  for (const double per_octave : kClassesPerOctave) {
    Side rows = ClassesOf(row_power, static_cast<double>(column_power.size()), per_octave);
    Side columns = ClassesOf(column_power, static_cast<double>(row_power.size()), per_octave);
    if (std::max(rows.saved, 0.0) + std::max(columns.saved, 0.0) <= most) continue;
    most = std::max(rows.saved, 0.0) + std::max(columns.saved, 0.0);
    std::fill(best.row.begin(), best.row.end(), uint8_t{0});
    std::fill(best.column.begin(), best.column.end(), uint8_t{0});
    if (rows.saved > 0) best.row = std::move(rows.classes);
    if (columns.saved > 0) best.column = std::move(columns.classes);
  }
  TurnRound(&best.row);
  TurnRound(&best.column);
  return best;
}

}  // namespace nashswarm::nsq
