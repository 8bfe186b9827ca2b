#include "core/expert_cache/expert_order.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "core/base/status.h"
#include "core/expert_cache/spectral.h"

namespace nashswarm::expert_cache {
namespace {

absl::Status InvalidWeights(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
                   absl::StrCat("weights between experts: ", ToAbsl(what)));
}

absl::Status ValidateWeights(absl::Span<const uint32_t> weights, size_t experts) {
  if (experts > kMostOrderedExperts) return InvalidWeights(absl::StrCat("more than ", kMostOrderedExperts, " experts"));
  if (weights.size() != experts * experts) {
    return InvalidWeights(absl::StrCat(weights.size(), " of them for ", experts, " experts"));
  }
  // At most 2^20 weights of 32 bits.
  uint64_t total = 0;
  for (size_t a = 0; a < experts; ++a) {
    for (size_t b = 0; b < a; ++b) {
      if (weights[a * experts + b] != weights[b * experts + a]) return InvalidWeights("not symmetric");
      total += weights[a * experts + b];
    }
  }
  if (total > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / (experts + 1)) {
    return InvalidWeights("too large to add up");
  }
  return absl::OkStatus();
}

uint64_t Cost(absl::Span<const uint32_t> weights, absl::Span<const uint32_t> order) {
  const size_t n = order.size();
  uint64_t cost = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) cost += (j - i) * weights[order[i] * n + order[j]];
  }
  return cost;
}

// Moves and swaps, each exactly priced in whole numbers, so that the cost falls with each and the search ends.
class LocalSearch {
 public:
  LocalSearch(absl::Span<const uint32_t> weights, ExpertOrder order)
      : weights_(weights), n_(order.size()), order_(std::move(order)), left_(n_), right_(n_) {
    for (size_t i = 0; i < n_; ++i) {
      for (size_t j = i + 1; j < n_; ++j) {
        right_[order_[i]] += Weight(order_[i], order_[j]);
        left_[order_[j]] += Weight(order_[i], order_[j]);
      }
    }
  }

  ExpertOrder Run() && {
    // Moves are cheap to look through, swaps are not: those only where no move helps.
    do {
      while (MoveAll()) {
      }
    } while (SwapAll());
    return std::move(order_);
  }

 private:
  int64_t Weight(uint32_t a, uint32_t b) const { return weights_[a * n_ + b]; }

  // Each expert, once, to where it lowers the cost most. True when one moved.
  bool MoveAll() {
    bool moved = false;
    const ExpertOrder experts = order_;
    for (const uint32_t expert : experts) {
      const size_t from = std::find(order_.begin(), order_.end(), expert) - order_.begin();
      const size_t to = BestPlace(from);
      if (to == from) continue;
      Move(from, to);
      moved = true;
    }
    return moved;
  }

  // Where the expert at `from` lowers the cost most; `from` when nowhere. Its way is a row of swaps with its
  // neighbours: in a swap of neighbours a, b the distance to all that lie left of both grows by 1 for a and shrinks
  // by 1 for b, and to all right of both the other way round.
  size_t BestPlace(size_t from) const {
    const uint32_t a = order_[from];
    size_t best = from;
    int64_t best_change = 0;
    const auto look = [&](size_t place, int64_t change) {
      if (change >= best_change) return;
      best = place;
      best_change = change;
    };
    int64_t left = left_[a], right = right_[a], change = 0;
    for (size_t place = from + 1; place < n_; ++place) {
      const uint32_t b = order_[place];
      const int64_t w = Weight(a, b);
      right -= w;
      change += (left - right) - (left_[b] - w - right_[b]);
      left += w;
      look(place, change);
    }
    left = left_[a], right = right_[a], change = 0;
    for (size_t place = from; place-- > 0;) {
      const uint32_t b = order_[place];
      const int64_t w = Weight(a, b);
      left -= w;
      change += (right - left) - (right_[b] - w - left_[b]);
      right += w;
      look(place, change);
    }
    return best;
  }

  bool SwapAll() {
    bool swapped = false;
    for (size_t i = 0; i < n_; ++i) {
      for (size_t j = i + 1; j < n_; ++j) {
        if (SwapChange(i, j) >= 0) continue;
        Move(i, j);
        Move(j - 1, i);
        swapped = true;
      }
    }
    return swapped;
  }

  int64_t SwapChange(size_t i, size_t j) const {
    const uint32_t *a = &weights_[order_[i] * n_], *b = &weights_[order_[j] * n_];
    int64_t change = 0;
    for (size_t place = 0; place < n_; ++place) {
      if (place == i || place == j) continue;
      const auto to_i = static_cast<int64_t>(place > i ? place - i : i - place);
      const auto to_j = static_cast<int64_t>(place > j ? place - j : j - place);
      change += (static_cast<int64_t>(a[order_[place]]) - static_cast<int64_t>(b[order_[place]])) * (to_j - to_i);
    }
    return change;
  }

  void Move(size_t from, size_t to) {
    const uint32_t a = order_[from];
    const int64_t direction = to > from ? 1 : -1;
    for (size_t place = from; place != to; place += direction) {
      const uint32_t b = order_[place + direction];
      const int64_t w = direction * Weight(a, b);  // b passes from the right of a to its left, or back
      left_[a] += w, right_[a] -= w;
      left_[b] -= w, right_[b] += w;
      order_[place] = b;
    }
    order_[to] = a;
  }

  absl::Span<const uint32_t> weights_;
  const size_t n_;
  ExpertOrder order_;
  std::vector<int64_t> left_, right_;  // by expert: the sum of its weights to those left and right of it
};

}  // namespace

ExpertOrder OriginalOrder(uint32_t experts) {
  ExpertOrder order(experts);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

absl::Status ValidateOrder(absl::Span<const uint32_t> order, uint32_t experts) {
  std::vector<bool> seen(experts);
  bool valid = order.size() == experts;
  for (size_t i = 0; valid && i < order.size(); ++i) {
    valid = order[i] < experts && !seen[order[i]];
    if (valid) seen[order[i]] = true;
  }
  if (valid) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "ORDER_INVALID",
                   absl::StrCat("an order of ", experts, " experts that does not have each once"));
}

absl::StatusOr<uint64_t> ArrangementCost(absl::Span<const uint32_t> weights, absl::Span<const uint32_t> order) {
  NS_RETURN_IF_ERROR(ValidateWeights(weights, order.size()));
  NS_RETURN_IF_ERROR(ValidateOrder(order, static_cast<uint32_t>(order.size())));
  return Cost(weights, order);
}

absl::StatusOr<ExpertOrder> OrderExperts(absl::Span<const uint32_t> weights, uint32_t experts) {
  NS_RETURN_IF_ERROR(ValidateWeights(weights, experts));
  ExpertOrder spectral = LocalSearch(weights, SpectralOrder(weights, experts)).Run();
  ExpertOrder original = LocalSearch(weights, OriginalOrder(experts)).Run();
  return Cost(weights, spectral) < Cost(weights, original) ? spectral : original;
}

}  // namespace nashswarm::expert_cache
