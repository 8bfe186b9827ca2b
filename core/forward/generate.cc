#include "core/forward/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/status.h"
#include "core/forward/random.h"

namespace nashswarm::forward {
namespace {

absl::Status Invalid(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SAMPLING_INVALID", what);
}

absl::Status Check(const std::vector<std::vector<int32_t>>& prompts, uint64_t length, const Sampling& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) return Invalid("temperature must be 0 or more");
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) return Invalid("top_p must be above 0 and at most 1");
  if (sampling.top_k < 0) return Invalid("top_k must be 0 or more");
  for (const auto& prompt : prompts) {
    if (prompt.empty() || prompt.size() != prompts[0].size()) return Invalid("prompts must have tokens, and all as many");
  }
  if (!prompts.empty() && length < prompts[0].size()) return Invalid("the length is less than the prompts'");
  return absl::OkStatus();
}

// Draws tokens; keeps its memory.
class Sampler {
 public:
  explicit Sampler(const Sampling& sampling) : sampling_(sampling) {}

  int32_t Draw(absl::Span<const float> logits, Random& random) {
    const auto best = std::max_element(logits.begin(), logits.end());
    if (sampling_.temperature == 0) return static_cast<int32_t>(best - logits.begin());
    Order(logits);
    weights_.clear();
    double total = 0;
    for (const int32_t token : order_) {
      weights_.push_back(std::exp((static_cast<double>(logits[token]) - *best) / sampling_.temperature));
      total += weights_.back();
    }
    // The fewest likely tokens that hold top_p of the weight, then one of them.
    double kept = 0;
    size_t count = 0;
    while (count < order_.size() && (count == 0 || kept < sampling_.top_p * total)) kept += weights_[count++];
    double left = random.Uniform() * kept;
    for (size_t i = 0; i + 1 < count; ++i) {
      left -= weights_[i];
      if (left < 0) return order_[i];
    }
    return order_[count - 1];
  }

 private:
  // Tokens from likely to unlikely, equal ones by number; only the first top_k.
  void Order(absl::Span<const float> logits) {
    order_.resize(logits.size());
    std::iota(order_.begin(), order_.end(), 0);
    const auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
    const size_t keep = sampling_.top_k > 0 ? std::min<size_t>(sampling_.top_k, order_.size()) : order_.size();
    if (keep == order_.size() && sampling_.top_p == 1) return;  // the order does not matter then
    std::partial_sort(order_.begin(), order_.begin() + keep, order_.end(), likelier);
    order_.resize(keep);
  }

  const Sampling sampling_;
  std::vector<int32_t> order_;
  std::vector<double> weights_;
};

}  // namespace

absl::StatusOr<std::vector<std::vector<int32_t>>> Generate(
    Transformer& transformer, const std::vector<std::vector<int32_t>>& prompts, uint64_t length, const Sampling& sampling,
    const std::function<absl::Status(uint64_t)>& progress) {
  NS_RETURN_IF_ERROR(Check(prompts, length, sampling));
  std::vector<std::vector<int32_t>> out = prompts;
  if (prompts.empty() || length == prompts[0].size()) return out;
  // The last token is only made, never read.
  NS_ASSIGN_OR_RETURN(const auto session, transformer.Start(prompts.size(), length - 1));
  std::vector<Random> randoms;
  for (size_t i = 0; i < prompts.size(); ++i) randoms.emplace_back(sampling.seed, i);
  std::vector<int32_t> tokens;
  for (const auto& prompt : prompts) tokens.insert(tokens.end(), prompt.begin(), prompt.end());

  Sampler sampler(sampling);
  const uint64_t vocabulary = transformer.vocabulary();
  std::vector<float> logits(prompts.size() * vocabulary);
  for (uint64_t made = 0; out[0].size() < length;) {
    NS_RETURN_IF_ERROR(session->Step(tokens, tokens.size() / prompts.size(), logits.data()));
    tokens.clear();
    for (size_t i = 0; i < prompts.size(); ++i) {
      tokens.push_back(sampler.Draw(absl::MakeConstSpan(logits).subspan(i * vocabulary, vocabulary), randoms[i]));
      out[i].push_back(tokens.back());
    }
    made += prompts.size();
    if (progress) NS_RETURN_IF_ERROR(progress(made));
  }
  return out;
}

}  // namespace nashswarm::forward
