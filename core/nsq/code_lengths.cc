#include "core/nsq/code_lengths.h"

#include <algorithm>
#include <cmath>

#include "core/coding/frequency_table.h"
#include "core/coding/trellis.h"

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

// Old lengths count as much as this many weights.
constexpr double kPrior = 2.0;
// A symbol of one slot, and what an escape's digits come to for every magnitude beyond: the most that one costs.
double MostBits(int level, int greatest) { return coding::kPrecisionBits + 2.0 * std::max(1, level - greatest); }

// The lengths that the counts of one table ask for.
void Fit(absl::Span<const uint64_t> counts, absl::Span<const float> old, double* fitted) {
  double total = kPrior, old_total = 0;
  int greatest = 0;
  for (int v = 0; v < kHistogram; ++v) {
    total += static_cast<double>(counts[v]);
    if (counts[v] > 0) greatest = v;
  }
  const auto old_share = [&](int v) { return (v > 0 ? 2.0 : 1.0) * std::exp2(-static_cast<double>(old[v])); };
  for (int v = 0; v < kRateWidth; ++v) old_total += old_share(v);
  for (int v = 0; v < kRateWidth; ++v) {
    const double share = (static_cast<double>(counts[v]) + kPrior * old_share(v) / old_total) / total;
    fitted[v] = std::min((v > 0 ? 1.0 : 0.0) - std::log2(share), MostBits(v, greatest));
  }
}

}  // namespace

double IdealBits(absl::Span<const uint64_t> counts) {
  double bits = 0;
  for (size_t first = 0; first < counts.size(); first += kHistogram) {
    double total = 0;
    for (size_t v = 0; v < kHistogram; ++v) total += static_cast<double>(counts[first + v]);
    for (size_t v = 0; v < kHistogram; ++v) {
      const auto count = static_cast<double>(counts[first + v]);
      if (count > 0) bits += count * ((v > 0 ? 1.0 : 0.0) + std::log2(total / count));
    }
  }
  return bits;
}

CodeLengths::CodeLengths(bool dependent, absl::Span<const double> spreads) : dependent_(dependent) {
  constexpr double kLeastSpread = 0.05;  // in steps; hardly a weight is not 0 there
  for (const double spread : spreads) {
    for (int q = 0; q < (dependent ? 2 : 1); ++q) {
      for (int level = 0; level < kRateWidth; ++level) {
        lengths_.push_back(NearestBits(dependent, q, level, std::max(spread, kLeastSpread)));
      }
    }
  }
}

void CodeLengths::Learn(absl::Span<const uint64_t> counts) {
  constexpr double kFarther = 0.7, kLeastBits = 0.05;
  double fitted[kRateWidth];
  for (size_t t = 0; t * kRateWidth < lengths_.size(); ++t) {
    const absl::Span<float> lengths = absl::MakeSpan(lengths_).subspan(t * kRateWidth, kRateWidth);
    Fit(counts.subspan(t * kHistogram, kHistogram), lengths, fitted);
    for (int v = 0; v < kRateWidth; ++v) {
      const double farther = learnt_ ? kFarther * (fitted[v] - lengths[v]) : 0.0;
      lengths[v] = static_cast<float>(std::max(learnt_ ? kLeastBits : 0.0, fitted[v] + farther));
    }
  }
  learnt_ = true;
}

}  // namespace nashswarm::nsq
