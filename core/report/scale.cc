#include "core/report/scale.h"

#include <algorithm>
#include <cmath>

#include "core/report/numbers.h"

namespace nashswarm::report {
namespace {

// 1, 2, 2.5 or 5 times a power of ten, at least `rough`.
double NiceStep(double rough, int* decimals) {
  const int exponent = static_cast<int>(std::floor(std::log10(rough)));
  const double power = std::pow(10.0, exponent);
  const double unit = rough / power;  // in [1, 10)
  const bool quarter = unit > 2 && unit <= 2.5;
  const double nice = unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 2.5 ? 2.5 : unit <= 5 ? 5 : 10;
  *decimals = std::max(0, -exponent - (nice == 10) + quarter);
  return nice * power;
}

std::vector<Tick> Multiples(double low, double high, double step, int decimals) {
  std::vector<Tick> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (double i = first; i * step <= high + step * 1e-9 && ticks.size() < 100; ++i) {
    ticks.push_back({i * step, decimals > 5 ? Significant(i * step) : Fixed(i * step, decimals)});
  }
  return ticks;
}

}  // namespace

void Range::Add(double value) {
  if (!std::isfinite(value)) return;
  low = empty ? value : std::min(low, value);
  high = empty ? value : std::max(high, value);
  empty = false;
}

bool WantsLog(const Range& range) { return !range.empty && range.low > 0 && range.high > 20 * range.low; }

Scale Scale::Linear(const Range& range, double padding, double from, double to) {
  double width = range.high - range.low;
  if (width <= 0) width = range.high == 0 ? 1 : std::abs(range.high);
  const double low = range.low - padding * width;
  return Scale(range.low >= 0 ? std::max(0.0, low) : low, range.high + padding * width, from, to, false);
}

Scale Scale::FromZero(const Range& range, double padding, double from, double to) {
  const double high = range.high > 0 ? range.high : 1;
  return Scale(0, high * (1 + padding), from, to, false);
}

Scale Scale::Log(const Range& range, double padding, double from, double to) {
  const double decades = std::max(std::log10(range.high / range.low), 0.5);
  const double factor = std::pow(10.0, padding * decades);
  return Scale(range.low / factor, range.high * factor, from, to, true);
}

double Scale::operator()(double value) const {
  const double share = log_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
  if (!std::isfinite(share)) return (from_ + to_) / 2;
  return from_ + share * (to_ - from_);
}

std::vector<Tick> LinearTicks(double low, double high, int count) {
  const double rough = (high - low) / count;
  if (!(rough > 0) || !std::isnormal(rough)) return {};
  int decimals = 0;
  const double step = NiceStep(rough, &decimals);
  return Multiples(low, high, step, decimals);
}

std::vector<Tick> WholeTicks(double low, double high, int count) {
  if (!(high > low) || !std::isfinite(high - low)) return {};
  int decimals = 0;
  const double step = NiceStep(std::max(1.0, (high - low) / count), &decimals);
  return decimals > 0 ? Multiples(low, high, 5, 0) : Multiples(low, high, step, 0);
}

std::vector<Tick> LogTicks(double low, double high, int count) {
  if (!(low > 0) || !(high > low) || !std::isfinite(high)) return {};
  const auto label = [](int exponent, int digit) {
    if (exponent >= -4 && exponent <= 4) return Fixed(digit * std::pow(10.0, exponent), std::max(0, -exponent));
    return (digit == 1 ? "" : std::to_string(digit) + "×") + PowerOfTen(exponent);
  };
  const int first = static_cast<int>(std::floor(std::log10(low) - 1e-9));
  const int last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
  std::vector<Tick> ticks;
  const auto add = [&](int exponent, int digit) {
    const double value = digit * std::pow(10.0, exponent);
    if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push_back({value, label(exponent, digit)});
  };
  for (int e = first; e <= last; ++e) add(e, 1);
  if (ticks.size() >= 3) {
    const int every = (static_cast<int>(ticks.size()) + count - 1) / std::max(count, 1);
    std::vector<Tick> kept;
    for (size_t i = 0; i < ticks.size(); i += every) kept.push_back(ticks[i]);
    return kept;
  }
  ticks.clear();
  for (int e = first; e <= last; ++e) {
    for (const int digit : {1, 2, 5}) add(e, digit);
  }
  // A range too narrow for these has two or more linear ones.
  return ticks.size() >= 2 ? ticks : LinearTicks(low, high, std::min(count, 4));
}

std::vector<Tick> TicksFor(const Scale& scale, int count) {
  return scale.log() ? LogTicks(scale.low(), scale.high(), count) : LinearTicks(scale.low(), scale.high(), count);
}

}  // namespace nashswarm::report
