#include "core/nsq/first_rates.h"

#include <algorithm>
#include <cmath>

#include "core/coding/trellis.h"
#include "core/nsq/column.h"

namespace nashswarm::nsq {
namespace {

// Probability that a normal weight of this spread lies between the two.
double Mass(double from, double to, double spread) {
  return 0.5 * (std::erf(to / (1.4142135623730951 * spread)) - std::erf(from / (1.4142135623730951 * spread)));
}

// What a magnitude of one sign would cost if every weight took the nearest integer.
float NearestBits(bool dependent, int quantizer, int level, double spread) {
  double from = level - 0.5, to = level + 0.5;
  if (dependent) {
    const auto steps = static_cast<double>(coding::Reconstruction(quantizer, level));
    from = steps - 1.0, to = steps + 1.0;
    if (quantizer == 1 && level == 0) from = -0.5, to = 0.5;
    if (quantizer == 1 && level == 1) from = 0.5;
  }
  return static_cast<float>(std::min(-std::log2(Mass(from, to, spread) + 1e-30), 4.0 + level));
}

}  // namespace

float ChoosingBits(const coding::FrequencyTable& table, int level) {
  if (table.CanCode(level)) return static_cast<float>(table.bits(level));
  return static_cast<float>(coding::kPrecisionBits + 2 * (level - table.max_magnitude()));
}

std::vector<float> FirstRates(bool dependent, absl::Span<const double> spreads) {
  constexpr double kLeastSpread = 0.05;  // in steps; hardly a weight is not 0 there
  std::vector<float> rates;
  for (const double spread : spreads) {
    for (int q = 0; q < (dependent ? 2 : 1); ++q) {
      for (int level = 0; level < kRateWidth; ++level) {
        rates.push_back(NearestBits(dependent, q, level, std::max(spread, kLeastSpread)));
      }
    }
  }
  return rates;
}

}  // namespace nashswarm::nsq
