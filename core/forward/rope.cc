#include "core/forward/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nashswarm::forward {
namespace {

// YaRN (Peng et al., 2023, section 3.2): frequencies that turn often within the original context stay, those that turn
// seldom are divided by the factor, and a ramp over the dimensions leads from one to the other.
void ApplyYarn(const RopeScaling& scaling, double base, std::vector<double>* frequencies) {
  const double width = 2 * static_cast<double>(frequencies->size());
  const auto dimension_of = [&](double turns) {
    return width * std::log(scaling.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
  };
  const double first = std::max(std::floor(dimension_of(scaling.beta_fast)), 0.0);
  double last = std::min(std::ceil(dimension_of(scaling.beta_slow)), width - 1);
  if (last == first) last += 0.001;  // no division by zero
  for (size_t i = 0; i < frequencies->size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
    (*frequencies)[i] *= ramp / scaling.factor + (1 - ramp);
  }
}

}  // namespace

RopeTable::RopeTable(const RopeConfig& config) {
  const double width = static_cast<double>(config.width);
  for (uint64_t i = 0; i < config.width / 2; ++i) {
    const double divisor = i < config.divisors.size() ? config.divisors[i] : 1;
    frequencies_.push_back(std::pow(config.base, -2 * static_cast<double>(i) / width) / divisor);
  }
  const RopeScaling& scaling = config.scaling;
  if (scaling.kind == RopeScaling::Kind::kLinear) {
    for (double& frequency : frequencies_) frequency /= scaling.factor;
  } else if (scaling.kind == RopeScaling::Kind::kYarn) {
    ApplyYarn(scaling, config.base, &frequencies_);
    factor_ = scaling.attention_factor * (scaling.factor > 1 ? 0.1 * std::log(scaling.factor) + 1 : 1);
  }
}

void RopeTable::Cover(uint64_t positions) {
  if (positions <= covered_) return;
  cos_.resize(positions * half());
  sin_.resize(positions * half());
  for (uint64_t position = covered_; position < positions; ++position) {
    for (uint64_t i = 0; i < half(); ++i) {
      const double angle = static_cast<double>(position) * frequencies_[i];
      cos_[position * half() + i] = static_cast<float>(std::cos(angle) * factor_);
      sin_[position * half() + i] = static_cast<float>(std::sin(angle) * factor_);
    }
  }
  covered_ = positions;
}

}  // namespace nashswarm::forward
