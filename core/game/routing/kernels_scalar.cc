// The reference kernels: plain loops. kernels_simd.cc computes the same, a vector of tokens at a time.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/game/routing/kernels.h"

namespace nashswarm::routing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool Finite(const float* x, size_t n) {
  return std::all_of(x, x + n, [](float v) { return std::isfinite(v); });
}

void Greatest(const float* rows, size_t stride, size_t count, size_t keep, float* values, int32_t* ids) {
  std::fill_n(values, keep * kLanes, -kInfinity);
  std::fill_n(ids, keep * kLanes, -1);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    float* value = values + lane;
    int32_t* id = ids + lane;
    for (size_t c = 0; c < count; ++c) {
      const float x = rows[c * stride + lane];
      size_t slot = keep;  // goes before all that are less
      while (slot > 0 && x > value[(slot - 1) * kLanes]) --slot;
      if (slot == keep) continue;
      for (size_t s = keep - 1; s > slot; --s) {
        value[s * kLanes] = value[(s - 1) * kLanes];
        id[s * kLanes] = id[(s - 1) * kLanes];
      }
      value[slot * kLanes] = x;
      id[slot * kLanes] = static_cast<int32_t>(c);
    }
  }
}

void Cosines(const float* products, size_t experts, const int32_t* ids, size_t group, float* sums, float* cosines) {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const auto id = [&](size_t slot) { return static_cast<size_t>(ids[slot * kLanes + lane]); };
    for (size_t a = 0; a < group; ++a) sums[a * kLanes + lane] = products[id(a) * experts + id(a)];
    for (size_t a = 0; a < group; ++a) {
      for (size_t b = a + 1; b < group; ++b) {
        const float product = products[id(a) * experts + id(b)];
        sums[a * kLanes + lane] += product;
        sums[b * kLanes + lane] += product;
      }
    }
    float total = 0;
    for (size_t a = 0; a < group; ++a) total += sums[a * kLanes + lane];
    const float length = std::sqrt(std::max(total, 0.0f));
    for (size_t a = 0; a < group; ++a) {
      const float norms = std::sqrt(products[id(a) * experts + id(a)]) * length;
      const float cosine = std::min(std::max(sums[a * kLanes + lane] / norms, -1.0f), 1.0f);
      cosines[a * kLanes + lane] = norms > kTinyNorms ? cosine : 0.0f;
    }
  }
}

uint32_t Differ(const BlockView& block, float margin) {
  uint32_t bits = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    float least_chosen = kInfinity, greatest_other = -kInfinity;
    for (size_t s = 0; s < block.group; ++s) {
      const int32_t choice = block.choices[s * kLanes + lane];
      float worth = block.values[s * kLanes + lane] - block.prices[choice];
      if (block.agreeing != nullptr) {
        const int32_t agreeing = block.agreeing[static_cast<size_t>(choice >> 1) * kLanes + lane];
        worth += block.agreement * static_cast<float>(agreeing);
      }
      if (choice & 1) {
        least_chosen = std::min(least_chosen, worth);
      } else {
        greatest_other = std::max(greatest_other, worth);
      }
    }
    if (greatest_other - least_chosen > margin) bits |= 1u << lane;
  }
  return bits;
}

void TokenProducts(const float* x, size_t width, size_t count, float* products) {
  for (size_t i = 0; i < count; ++i) {
    float* row = products + i * kNeighbourBlock;
    std::fill_n(row, kNeighbourBlock, 0.0f);
    for (size_t w = 0; w < width; ++w) {
      const float* from = x + w * kNeighbourBlock;
      for (size_t j = 0; j < kNeighbourBlock; ++j) row[j] += from[i] * from[j];
    }
  }
}

double Dot(const float* a, const float* b, size_t n) {
  double partial[kPartialDoubles] = {};
  for (size_t i = 0; i < n; ++i) partial[i % kPartialDoubles] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (const double p : partial) sum += p;
  return sum;
}

}  // namespace

const Kernels& ScalarKernels() {
  static const Kernels kernels = {"PLAIN", Finite, Greatest, Cosines, Differ, TokenProducts, Dot};
  return kernels;
}

}  // namespace nashswarm::routing
