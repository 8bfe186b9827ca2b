#include "core/game/routing/neighbours.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/game/routing/routing.h"

namespace nashswarm::routing {
namespace {

constexpr uint64_t kNear = 128;

blasint Int(uint64_t extent) { return static_cast<blasint>(extent); }

}  // namespace

Neighbours NearestTokens(absl::Span<const float> logits, uint64_t experts) {
  const uint64_t tokens = logits.size() / experts;
  std::vector<float> centred(logits.begin(), logits.end()), products(kNear * kNear);
  for (uint64_t t = 0; t < tokens; ++t) {
    float* row = &centred[t * experts];
    const float mean = std::accumulate(row, row + experts, 0.0f) / static_cast<float>(experts);
    for (uint64_t e = 0; e < experts; ++e) row[e] -= mean;
  }
  std::vector<std::vector<uint32_t>> beside(tokens);
  std::vector<uint32_t> order(kNear);
  for (uint64_t begin = 0; begin < tokens; begin += kNear) {
    const uint64_t count = std::min(kNear, tokens - begin), named = std::min(kNeighbours, count - 1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, Int(count), Int(count), Int(experts), 1, &centred[begin * experts], Int(experts),
                &centred[begin * experts], Int(experts), 0, products.data(), Int(kNear));
    for (uint64_t t = 0; t < count; ++t) {
      const float* row = &products[t * kNear];
      order.resize(count);
      std::iota(order.begin(), order.end(), 0u);
      order.erase(order.begin() + static_cast<ptrdiff_t>(t));
      std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(named), order.end(),
                        [row](uint32_t a, uint32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
      for (uint64_t i = 0; i < named; ++i) {
        beside[begin + t].push_back(static_cast<uint32_t>(begin + order[i]));
        beside[begin + order[i]].push_back(static_cast<uint32_t>(begin + t));
      }
    }
  }
  Neighbours neighbours;
  neighbours.first.push_back(0);
  for (std::vector<uint32_t>& list : beside) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    neighbours.to.insert(neighbours.to.end(), list.begin(), list.end());
    neighbours.first.push_back(neighbours.to.size());
  }
  return neighbours;
}

std::vector<float> CosineToCentre(absl::Span<const float> centres, absl::Span<const float> in_group, uint64_t experts) {
  const uint64_t width = centres.size() / experts, tokens = in_group.size() / experts;
  std::vector<float> gram(experts * experts), cosine(tokens * experts);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, Int(experts), Int(experts), Int(width), 1, centres.data(), Int(width),
              centres.data(), Int(width), 0, gram.data(), Int(experts));
  // Row t: c_e times the sum of the group's centres.
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, Int(tokens), Int(experts), Int(experts), 1, in_group.data(), Int(experts),
              gram.data(), Int(experts), 0, cosine.data(), Int(experts));
  std::vector<float> length(experts);
  for (uint64_t e = 0; e < experts; ++e) length[e] = std::sqrt(gram[e * experts + e]);
  for (uint64_t t = 0; t < tokens; ++t) {
    float* row = &cosine[t * experts];
    const float* group = &in_group[t * experts];
    float square = 0;  // of the sum
    for (uint64_t e = 0; e < experts; ++e) square += group[e] * row[e];
    const float sum = std::sqrt(std::max(square, 0.0f));
    for (uint64_t e = 0; e < experts; ++e) {
      const float both = sum * length[e];
      row[e] = both > 0 ? std::clamp(row[e] / both, -1.0f, 1.0f) : 0.0f;
    }
  }
  return cosine;
}

}  // namespace nashswarm::routing
