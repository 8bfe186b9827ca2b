// The reference kernels: plain loops. kernels_simd.cc computes the same, a vector of tokens at a time.
#include <algorithm>
#include <limits>

#include "core/game/routing/kernels.h"

namespace nashswarm::routing {
namespace {

void Rank(const float* columns, size_t experts, size_t rank, float* room, float* out) {
  std::fill_n(room, rank * kBlock, -std::numeric_limits<float>::infinity());
  for (size_t t = 0; t < kBlock; ++t) {
    for (size_t e = 0; e < experts; ++e) {
      float value = columns[e * kBlock + t];
      for (size_t r = 0; r < rank; ++r) {  // sinks to its place
        float& kept = room[r * kBlock + t];
        const float higher = std::max(kept, value);
        value = std::min(kept, value);
        kept = higher;
      }
    }
    out[t] = room[(rank - 1) * kBlock + t];
  }
}

void Wants(const BlockView& block, uint8_t* out) {
  constexpr float kNone = std::numeric_limits<float>::infinity();
  for (size_t t = 0; t < kBlock; ++t) {
    float least = kNone, most = -kNone;
    for (size_t e = 0; e < block.experts; ++e) {
      float worth = block.fixed[e * kBlock + t];
      if (block.aligned != nullptr) worth += block.alignment * block.aligned[e * kBlock + t];
      const bool uses = block.chosen[e * kBlock + t] != 0;
      worth -= uses ? block.stay[e] : block.join[e];
      least = std::min(least, uses ? worth : kNone);
      most = std::max(most, uses ? -kNone : worth);
    }
    out[t] = most > least ? 1 : 0;
  }
}

}  // namespace

const Kernels& ScalarKernels() {
  static const Kernels kernels = {"scalar", Rank, Wants};
  return kernels;
}

}  // namespace nashswarm::routing
