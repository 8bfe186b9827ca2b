#include "core/feedback/rescale.h"

#include <algorithm>
#include <cmath>

namespace nashswarm::feedback {
namespace {

// Where steps of a scale and a minimum lead: decoded rises by scale * v - min.
struct Quadratic {
  double gv, g, vHv, vH, H;
  // By how much e H e^T grows.
  double Cost(double scale, double min) const {
    return scale * (scale * vHv - 2.0 * gv) + min * (min * H + 2.0 * g) - 2.0 * scale * min * vH;
  }
  double BestScale(double min) const { return vHv > 0.0 ? (gv + min * vH) / vHv : 0.0; }
  double BestMin(double scale) const { return H > 0.0 ? (scale * vH - g) / H : 0.0; }
  double BestMin() const {  // with the scale that goes with it
    const double determinant = vHv * H - vH * vH;
    return determinant > 1e-9 * vHv * H ? (gv * vH - g * vHv) / determinant : 0.0;
  }
};


quant::BlockScales Turned(const quant::BlockShape& shape, const quant::BlockScales& scales, int sub, double scale,
                          double min) {
  quant::BlockScales turned = scales;
  if (shape.subs == 1) {
    turned.d = quant::StorableScale(shape, static_cast<float>(scales.d + scale));
    if (shape.has_min()) turned.dmin = quant::StorableMinimum(static_cast<float>(scales.dmin + min));
    return turned;
  }
  const auto turn = [](double value, float unit, int least, int greatest) {
    const double steps = std::clamp(value / unit, static_cast<double>(least), static_cast<double>(greatest));
    return static_cast<int8_t>(std::lrint(steps));
  };
  if (scales.d != 0.0f) {
    turned.scale[sub] = turn(scales.ScaleOf(sub) + scale, scales.d, shape.least_scale, shape.greatest_scale);
  }
  if (shape.has_min() && scales.dmin != 0.0f) {
    turned.min[sub] = turn(scales.MinOf(sub) + min, scales.dmin, shape.least_min, shape.greatest_min);
  }
  return turned;
}

}  // namespace

bool ImproveScales(const quant::BlockShape& shape, const SubSums& sums, int row, int sub, quant::BlockScales& scales) {
  const Quadratic q = {sums.gv[row], sums.g[row], sums.vHv[row], sums.vH[row], sums.H};
  if (!std::isfinite(q.gv + q.g + q.vHv + q.vH)) return false;  // weights near the greatest float
  // Noise of the single-precision sums must not pass for an improvement.
  double least = -1e-6 * q.vHv * scales.ScaleOf(sub) * scales.ScaleOf(sub);
  quant::BlockScales best = scales;
  const auto consider = [&](double scale, double min) {
    const quant::BlockScales turned = Turned(shape, scales, sub, scale, min);
    const double cost = q.Cost(static_cast<double>(turned.ScaleOf(sub)) - scales.ScaleOf(sub),
                               static_cast<double>(turned.MinOf(sub)) - scales.MinOf(sub));
    if (cost < least) least = cost, best = turned;
  };
  consider(q.BestScale(0.0), 0.0);
  if (shape.has_min()) {
    consider(0.0, q.BestMin(0.0));
    // The pair: the minimum is rounded first, and the scale makes up for that.
    const quant::BlockScales half = Turned(shape, scales, sub, 0.0, q.BestMin());
    const double min = static_cast<double>(half.MinOf(sub)) - scales.MinOf(sub);
    consider(q.BestScale(min), min);
  }
  const bool changed = best.ScaleOf(sub) != scales.ScaleOf(sub) || best.MinOf(sub) != scales.MinOf(sub);
  scales = best;
  return changed;
}

}  // namespace nashswarm::feedback
