// What a plan did, in a sentence, and when figures are too rough to be read closely.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/report.h"

namespace nashswarm::report {
namespace {

// Roles with less than this share of the weights decide nothing.
constexpr double kLeastShare = 0.02;
// Bits a weight: nearer to the mean is "about the mean".
constexpr double kNotable = 0.15;
constexpr size_t kMostNamed = 2;
// Layers that differ less, or fewer of them, are not worth a sentence.
constexpr double kLayersDiffer = 0.4;
constexpr size_t kFewLayers = 4;

struct Sum {
  double bits = 0, weights = 0;
  void Add(const TensorRow& tensor) {
    bits += tensor.bits_per_weight * static_cast<double>(tensor.weights);
    weights += static_cast<double>(tensor.weights);
  }
  double mean() const { return bits / weights; }
};

std::string Words(const std::string& role) {
  static const std::map<std::string, std::string> names = {
      {"token_embedding", "the token embedding"}, {"position_embedding", "the position embedding"}, {"output", "the output head"},
      {"query", "attention's queries"}, {"key", "attention's keys"}, {"value", "attention's values"},
      {"query_key_value", "attention's queries, keys and values"}, {"attention_output", "attention's outputs"},
      {"ffn_gate", "the FFN's gates"}, {"ffn_up", "the FFN's up-projections"}, {"ffn_down", "the FFN's down-projections"}};
  const auto found = names.find(role);
  if (found != names.end()) return found->second;
  std::string plain = role;
  std::replace(plain.begin(), plain.end(), '_', ' ');
  return plain;
}

struct Named {
  std::string role;
  double bits = 0;
};

std::string Listed(const std::vector<Named>& roles, std::string_view preposition) {
  std::string out;
  for (size_t i = 0; i < roles.size(); ++i) {
    const bool last = i + 1 == roles.size();
    out += Cat(i == 0 ? "" : last ? " and " : ", ", Words(roles[i].role), " ", preposition, " ", Fixed(roles[i].bits, 1), i == 0 ? " bits" : "");
  }
  return out;
}

// The layers with the most and the fewest bits.
std::string LayersInWords(const std::map<int, Sum>& layers) {
  if (layers.size() < kFewLayers) return "";
  const auto by_mean = [](const auto& a, const auto& b) { return a.second.mean() < b.second.mean(); };
  const auto [least, most] = std::minmax_element(layers.begin(), layers.end(), by_mean);
  if (most->second.mean() - least->second.mean() < kLayersDiffer) return "";
  return Cat(" By layer: from ", Fixed(least->second.mean(), 1), " bits in layer ", std::to_string(least->first), " to ",
             Fixed(most->second.mean(), 1), " in layer ", std::to_string(most->first), ".");
}

}  // namespace

std::string PlanInWords(const std::vector<TensorRow>& tensors) {
  Sum all;
  std::map<std::string, Sum> roles;
  std::map<int, Sum> layers;
  for (const TensorRow& tensor : tensors) {
    if (tensor.vector || tensor.weights == 0 || !std::isfinite(tensor.bits_per_weight)) continue;
    all.Add(tensor);
    roles[tensor.role].Add(tensor);
    if (tensor.layer >= 0) layers[tensor.layer].Add(tensor);
  }
  if (roles.empty()) return "";
  std::vector<Named> more, less;
  for (const auto& [role, sum] : roles) {
    if (sum.weights < kLeastShare * all.weights) continue;
    if (sum.mean() > all.mean() + kNotable) more.push_back({role, sum.mean()});
    if (sum.mean() < all.mean() - kNotable) less.push_back({role, sum.mean()});
  }
  std::stable_sort(more.begin(), more.end(), [](const Named& a, const Named& b) { return a.bits > b.bits; });
  std::stable_sort(less.begin(), less.end(), [](const Named& a, const Named& b) { return a.bits < b.bits; });
  more.resize(std::min(more.size(), kMostNamed));
  less.resize(std::min(less.size(), kMostNamed));
  std::string out;
  if (more.empty() && less.empty()) {
    out = Cat("Gave every kind of matrix about ", Fixed(all.mean(), 1), " bits a weight.");
  } else if (less.empty()) {
    out = Cat("Kept ", Listed(more, "at"), " a weight, all else near ", Fixed(all.mean(), 1), ".");
  } else if (more.empty()) {
    out = Cat("Brought ", Listed(less, "down to"), " a weight, all else near ", Fixed(all.mean(), 1), ".");
  } else {
    out = Cat("Kept ", Listed(more, "at"), "; brought ", Listed(less, "down to"), " (on average ", Fixed(all.mean(), 1), " a weight).");
  }
  return out + LayersInWords(layers);
}

bool IsRough(const Quality& quality) {
  if (quality.tokens < kFewTokens) return true;
  return std::isfinite(quality.mean_kl) && quality.mean_kl > 0 && quality.mean_kl_stderr > 0.1 * quality.mean_kl;
}

}  // namespace nashswarm::report
