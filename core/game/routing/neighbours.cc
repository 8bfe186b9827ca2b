#include "core/game/routing/neighbours.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/game/routing/kernels.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {
namespace {

using Names = uint64_t[kNeighbourBlock][kNeighbourBlock / 64];  // bit j of i: one of the two names the other

// x [experts x 128]: the logits of `count` tokens, each token's mean taken off; 0 past the last.
void LoadCentred(const float* logits, size_t count, size_t experts, std::vector<float>& x) {
  std::fill(x.begin(), x.end(), 0.0f);
  for (size_t i = 0; i < count; ++i) {
    for (size_t e = 0; e < experts; ++e) x[e * kNeighbourBlock + i] = logits[i * experts + e];
  }
  float mean[kNeighbourBlock] = {};
  for (size_t e = 0; e < experts; ++e) {
    for (size_t i = 0; i < kNeighbourBlock; ++i) mean[i] += x[e * kNeighbourBlock + i];
  }
  for (float& m : mean) m /= static_cast<float>(experts);
  for (size_t e = 0; e < experts; ++e) {
    for (size_t i = 0; i < kNeighbourBlock; ++i) x[e * kNeighbourBlock + i] -= mean[i];
  }
}

void NameNearest(const Kernels& kernels, const std::vector<float>& products, size_t count, Names& names) {
  const size_t keep = std::min(kNearestTokens, count - 1);
  float values[kNearestTokens * kLanes];
  int32_t ids[kNearestTokens * kLanes];
  for (size_t first = 0; keep > 0 && first < count; first += kLanes) {
    // Products are symmetric, so that column `first + lane` is that token's row.
    kernels.greatest(products.data() + first, kNeighbourBlock, count, keep, values, ids);
    for (size_t lane = 0; lane < std::min(kLanes, count - first); ++lane) {
      const size_t i = first + lane;
      for (size_t s = 0; s < keep; ++s) {
        if (ids[s * kLanes + lane] < 0) continue;
        const auto j = static_cast<size_t>(ids[s * kLanes + lane]);
        names[i][j / 64] |= uint64_t{1} << (j % 64);
        names[j][i / 64] |= uint64_t{1} << (i % 64);
      }
    }
  }
}

}  // namespace

Neighbours FindNeighbours(absl::Span<const float> logits, size_t tokens, size_t experts) {
  const Kernels& kernels = ActiveKernels();
  Neighbours neighbours;
  neighbours.start.reserve(tokens + 1);
  neighbours.start.push_back(0);
  neighbours.of.reserve(tokens * (kNearestTokens + kNearestTokens / 2));
  std::vector<float> x(experts * kNeighbourBlock), products(kNeighbourBlock * kNeighbourBlock);
  for (size_t first = 0; first < tokens; first += kNeighbourBlock) {
    const size_t count = std::min(kNeighbourBlock, tokens - first);
    LoadCentred(&logits[first * experts], count, experts, x);
    kernels.token_products(x.data(), experts, count, products.data());
    for (size_t i = 0; i < count; ++i) {
      products[i * kNeighbourBlock + i] = -std::numeric_limits<float>::infinity();  // itself is none
    }
    Names names = {};
    NameNearest(kernels, products, count, names);
    for (size_t i = 0; i < count; ++i) {
      for (size_t word = 0; word < std::size(names[i]); ++word) {
        for (uint64_t bits = names[i][word]; bits != 0; bits &= bits - 1) {
          const size_t bit = word * 64 + static_cast<size_t>(std::countr_zero(bits));
          neighbours.of.push_back(static_cast<uint32_t>(first + bit));
        }
      }
      neighbours.start.push_back(static_cast<uint32_t>(neighbours.of.size()));
    }
  }
  return neighbours;
}

}  // namespace nashswarm::routing
