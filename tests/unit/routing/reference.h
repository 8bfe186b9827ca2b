// The routing game once more, from its definition in routing.h: in doubles, from the raw logits, with plain loops over
// everything, sharing no code with core/game/routing. For small batches.
#ifndef NASHSWARM_TESTS_UNIT_ROUTING_REFERENCE_H_
#define NASHSWARM_TESTS_UNIT_ROUTING_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "core/game/routing/routing.h"

namespace nashswarm::routing {

using Sets = std::vector<std::set<size_t>>;  // by token: the experts it chose

inline std::vector<float> RandomLogits(size_t tokens, size_t experts, unsigned seed, float spread = 1.5f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> favour(experts), logits(tokens * experts);
  for (float& f : favour) f = std::exp(0.8f * normal(random));  // a few experts that most tokens like
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = spread * normal(random) + favour[i % experts];
  return logits;
}

struct Reference {
  Batch batch;
  Options options;
  std::vector<float> rows;  // [experts x width], empty without centres
  std::vector<std::vector<size_t>> groups, neighbours;

  Reference(const Batch& b, const Options& o, std::vector<float> r = {}) : batch(b), options(o), rows(std::move(r)) {
    for (size_t i = 0; i < batch.tokens; ++i) groups.push_back(GroupOf(i));
    FindNeighbours();
  }

  double Logit(size_t i, size_t j) const { return batch.logits[i * batch.experts + j]; }

  std::vector<size_t> GroupOf(size_t i) const {
    std::vector<size_t> order(batch.experts);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return Logit(i, a) > Logit(i, b); });
    order.resize(std::min(batch.experts, std::max(options.group, 2 * batch.top_k)));
    return order;
  }

  void FindNeighbours() {
    std::vector<std::set<size_t>> sets(batch.tokens);
    for (size_t i = 0; i < batch.tokens; ++i) {
      std::vector<std::pair<double, size_t>> others;  // negative products: sorting brings the greatest first
      for (size_t j = i / 128 * 128; j < std::min(batch.tokens, (i / 128 + 1) * 128); ++j) {
        if (j == i) continue;
        double product = 0, mean_i = 0, mean_j = 0;
        for (size_t e = 0; e < batch.experts; ++e) {
          mean_i += Logit(i, e) / static_cast<double>(batch.experts);
          mean_j += Logit(j, e) / static_cast<double>(batch.experts);
        }
        for (size_t e = 0; e < batch.experts; ++e) product += (Logit(i, e) - mean_i) * (Logit(j, e) - mean_j);
        others.push_back({-product, j});
      }
      std::sort(others.begin(), others.end());
      for (size_t n = 0; n < std::min<size_t>(7, others.size()); ++n) {
        sets[i].insert(others[n].second);
        sets[others[n].second].insert(i);
      }
    }
    for (const auto& set : sets) neighbours.emplace_back(set.begin(), set.end());
  }

  double Cosine(size_t i, size_t j) const {
    if (rows.empty()) return 0;
    const size_t width = rows.size() / batch.experts;
    double product = 0, own = 0, mean_square = 0;
    for (size_t w = 0; w < width; ++w) {
      double mean = 0;
      for (const size_t e : groups[i]) mean += rows[e * width + w] / static_cast<double>(groups[i].size());
      product += rows[j * width + w] * mean;
      own += rows[j * width + w] * static_cast<double>(rows[j * width + w]);
      mean_square += mean * mean;
    }
    return product / std::sqrt(own * mean_square);
  }

  // Of normalized gates the top_k greatest sum to 1, else all.
  double Similar(size_t i, size_t j) const {
    if (options.similarity == Similarity::kLogit) return Logit(i, j);
    std::vector<double> powers;
    for (size_t e = 0; e < batch.experts; ++e) powers.push_back(std::exp(Logit(i, e)));
    std::sort(powers.rbegin(), powers.rend());
    if (batch.normalized) powers.resize(batch.top_k);
    const double gate = std::exp(Logit(i, j)) / std::accumulate(powers.begin(), powers.end(), 0.0);
    return gate * gate;
  }

  double Static(size_t i, size_t j) const {
    const Weights& w = options.weights;
    const bool by_token = batch.cached.size() > batch.experts;
    const double cached = !batch.cached.empty() && batch.cached[by_token ? i * batch.experts + j : j] ? w.cache_bonus : 0;
    return Similar(i, j) + cached + (w.cohesion > 0 ? w.cohesion * Cosine(i, j) : 0);
  }

  double Cost(size_t n) const {
    const double load =
        static_cast<double>(n * batch.experts) / static_cast<double>(batch.tokens) / static_cast<double>(batch.top_k);
    const Weights& w = options.weights;
    return w.alpha * load + w.separation * std::max(0.0, load - w.threshold);
  }

  std::vector<size_t> Loads(const Sets& sets) const {
    std::vector<size_t> loads(batch.experts);
    for (const auto& set : sets) {
      for (const size_t j : set) ++loads[j];
    }
    return loads;
  }

  double Utility(const Sets& sets, size_t i) const {
    const std::vector<size_t> loads = Loads(sets);
    double utility = 0;
    for (const size_t j : sets[i]) {
      double agreeing = 0;
      for (const size_t other : neighbours[i]) agreeing += sets[other].count(j) ? 1 : 0;
      utility += Static(i, j) - Cost(loads[j]) + options.weights.alignment * agreeing / 7;
    }
    return utility;
  }

  double Potential(const Sets& sets) const {
    double potential = 0;
    for (size_t i = 0; i < batch.tokens; ++i) {
      for (const size_t j : sets[i]) {
        potential += Static(i, j);
        for (const size_t other : neighbours[i]) {
          if (other > i && sets[other].count(j)) potential += options.weights.alignment / 7;
        }
      }
    }
    for (const size_t load : Loads(sets)) {
      for (size_t n = 1; n <= load; ++n) potential -= Cost(n);
    }
    return potential;
  }

  // The greatest utility of token i over every set of top_k experts of its group, the others staying.
  double BestUtility(Sets sets, size_t i) const {
    double best = -std::numeric_limits<double>::infinity();
    std::vector<bool> in(groups[i].size(), false);
    std::fill_n(in.begin(), batch.top_k, true);
    do {
      sets[i].clear();
      for (size_t s = 0; s < in.size(); ++s) {
        if (in[s]) sets[i].insert(groups[i][s]);
      }
      best = std::max(best, Utility(sets, i));
    } while (std::prev_permutation(in.begin(), in.end()));
    return best;
  }

  Sets RandomSets(std::mt19937& random) const {
    Sets sets;
    for (std::vector<size_t> group : groups) {
      std::shuffle(group.begin(), group.end(), random);
      sets.emplace_back(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(batch.top_k));
    }
    return sets;
  }
};

inline Sets SetsOf(const std::vector<uint16_t>& chosen, size_t top_k) {
  Sets sets(chosen.size() / top_k);
  for (size_t i = 0; i < chosen.size(); ++i) sets[i / top_k].insert(chosen[i]);
  return sets;
}

inline std::vector<uint16_t> ChosenOf(const Sets& sets) {
  std::vector<uint16_t> chosen;
  for (const auto& set : sets) {
    for (const size_t j : set) chosen.push_back(static_cast<uint16_t>(j));
  }
  return chosen;
}

// A game with every term in it, and what it points to.
struct FullGame {
  std::vector<float> logits, rows;
  std::vector<uint8_t> cached;
  Centres centres;
  Batch batch;
  Options options;

  FullGame(size_t tokens, size_t experts, size_t top_k, unsigned seed)
      : logits(RandomLogits(tokens, experts, seed)), rows(RandomLogits(experts, 12, seed + 100)),
        centres(*Centres::Make(rows, experts, 12)) {
    for (size_t j = 0; j < experts; ++j) cached.push_back(j % 3 == 1);
    batch = {tokens, experts, top_k, logits, &centres, cached};
    options.weights = {
        .alpha = 0.7, .separation = 0.4, .threshold = 1.1, .alignment = 0.9, .cohesion = 0.6, .cache_bonus = 0.3};
  }
  // The same with squared gates, and with what is cached for each token.
  FullGame(size_t tokens, size_t experts, size_t top_k, unsigned seed, bool normalized)
      : FullGame(tokens, experts, top_k, seed) {
    cached.clear();
    for (size_t at = 0; at < tokens * experts; ++at) cached.push_back((at * 7 + at / experts) % 5 < 2);
    batch.cached = cached;
    batch.normalized = normalized;
    options.similarity = Similarity::kSquaredGate;
    options.weights = {
        .alpha = 0.05, .separation = 0.1, .threshold = 1.1, .alignment = 0.2, .cohesion = 0.05, .cache_bonus = 0.1};
  }
  FullGame(const FullGame&) = delete;
  Reference reference() const { return Reference(batch, options, rows); }
};

}  // namespace nashswarm::routing

#endif  // NASHSWARM_TESTS_UNIT_ROUTING_REFERENCE_H_
