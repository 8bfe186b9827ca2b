#include "core/expert_cache/spectral.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nashswarm::expert_cache {
namespace {

// Coordinates that move less than this no longer change places but among equals.
constexpr double kSettled = 1e-12;

class Graph {
 public:
  Graph(absl::Span<const uint32_t> weights, uint32_t vertices) : weights_(weights), vertices_(vertices) {}

  double Weight(uint32_t a, uint32_t b) const { return a == b ? 0 : weights_[static_cast<size_t>(a) * vertices_ + b]; }

  // The vertices by the part of the graph that they are connected with, rising in each.
  std::vector<std::vector<uint32_t>> Components() const {
    std::vector<std::vector<uint32_t>> components;
    std::vector<bool> seen(vertices_);
    for (uint32_t first = 0; first < vertices_; ++first) {
      if (seen[first]) continue;
      std::vector<uint32_t> component = {first};
      seen[first] = true;
      for (size_t next = 0; next < component.size(); ++next) {
        for (uint32_t other = 0; other < vertices_; ++other) {
          if (seen[other] || Weight(component[next], other) == 0) continue;
          seen[other] = true;
          component.push_back(other);
        }
      }
      std::sort(component.begin(), component.end());
      components.push_back(std::move(component));
    }
    return components;
  }

 private:
  absl::Span<const uint32_t> weights_;
  uint32_t vertices_;
};

// Takes out the constant vector, which has the eigenvalue 0, and scales to length 1. False when nothing is left.
bool DeflateAndNormalise(std::vector<double>& x) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  double squares = 0;
  for (double& value : x) {
    value -= mean;
    squares += value * value;
  }
  if (squares == 0) return false;
  for (double& value : x) value /= std::sqrt(squares);
  return true;
}

// Power iteration on s I - L with s at least the largest eigenvalue of L: no eigenvalue is negative, and the largest
// that deflation leaves is that of the Fiedler vector.
std::vector<double> FiedlerVector(const std::vector<double>& weights, size_t n) {
  std::vector<double> degree(n);
  for (size_t a = 0; a < n; ++a) degree[a] = std::accumulate(&weights[a * n], &weights[a * n] + n, 0.0);
  // Gershgorin: an eigenvalue is at most a degree and the sum of its row beside the diagonal, which is the degree
  // again.
  const double shift = 2 * *std::max_element(degree.begin(), degree.end());
  // Irregular, so that it has a part of every eigenvector: multiples of the golden ratio without their whole parts.
  std::vector<double> x(n), next(n);
  for (size_t a = 0; a < n; ++a) x[a] = std::fmod(static_cast<double>(a + 1) * 0.6180339887498949, 1.0);
  DeflateAndNormalise(x);
  for (int iteration = 0; iteration < kPowerIterations; ++iteration) {
    double moved = 0;
    for (size_t a = 0; a < n; ++a) {
      next[a] = (shift - degree[a]) * x[a] + std::inner_product(x.begin(), x.end(), &weights[a * n], 0.0);
    }
    // All of x was in eigenvectors of the largest eigenvalue: any order is as good.
    if (!DeflateAndNormalise(next)) break;
    for (size_t a = 0; a < n; ++a) moved = std::max(moved, std::abs(next[a] - x[a]));
    x.swap(next);
    if (moved < kSettled) break;
  }
  return x;
}

std::vector<uint32_t> OrderComponent(const Graph& graph, const std::vector<uint32_t>& component) {
  const size_t n = component.size();
  if (n <= 2) return component;
  std::vector<double> weights(n * n);
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) weights[a * n + b] = graph.Weight(component[a], component[b]);
  }
  std::vector<double> x = FiedlerVector(weights, n);
  // An eigenvector has two directions: that with the first vertex in the front half.
  if (x[0] > 0) std::for_each(x.begin(), x.end(), [](double& value) { value = -value; });
  std::vector<size_t> places(n);
  std::iota(places.begin(), places.end(), size_t{0});
  std::stable_sort(places.begin(), places.end(), [&](size_t a, size_t b) { return x[a] < x[b]; });
  std::vector<uint32_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = component[places[i]];
  return order;
}

}  // namespace

std::vector<uint32_t> SpectralOrder(absl::Span<const uint32_t> weights, uint32_t vertices) {
  const Graph graph(weights, vertices);
  std::vector<uint32_t> order;
  for (const std::vector<uint32_t>& component : graph.Components()) {
    const std::vector<uint32_t> ordered = OrderComponent(graph, component);
    order.insert(order.end(), ordered.begin(), ordered.end());
  }
  return order;
}

}  // namespace nashswarm::expert_cache
