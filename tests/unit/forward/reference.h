// The forward pass written down plainly, in double precision, one token after another: what the fast one is held against.
// It shares no code with core/forward and reads hyperparameters on its own.
#ifndef NASHSWARM_TESTS_UNIT_FORWARD_REFERENCE_H_
#define NASHSWARM_TESTS_UNIT_FORWARD_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {

class Reference {
 public:
  using Vector = std::vector<double>;

  explicit Reference(const MemoryWeights& weights) : w_(weights), parallel(weights.parallel) {
    layers_ = Whole("block_count", 0);
    width_ = Whole("embedding_length", 0);
    heads_ = Whole("attention.head_count", 0);
    kv_heads_ = Whole("attention.head_count_kv", heads_);
    head_ = Whole("attention.key_length", width_ / heads_);
  }

  // Logits of every position of one window.
  std::vector<Vector> Logits(const std::vector<int32_t>& tokens) {
    std::vector<Vector> x;
    for (size_t t = 0; t < tokens.size(); ++t) x.push_back(Embedding(tokens[t], t));
    for (int layer = 0; layer < layers_; ++layer) Layer(layer, x);
    const bool tied = w_.tensors.count("output.weight") == 0;
    for (Vector& row : x) row = Linear(tied ? "token_embd" : "output", Norm("output_norm", row));
    return x;
  }

 private:
  int Whole(const std::string& key, int fallback) const {
    const auto it = w_.hyperparameters.find(key);
    return it == w_.hyperparameters.end() ? fallback : static_cast<int>(std::get<uint64_t>(it->second.data));
  }
  double Real(const std::string& key, double fallback) const {
    const auto it = w_.hyperparameters.find(key);
    return it == w_.hyperparameters.end() ? fallback : std::get<double>(it->second.data);
  }
  std::string Text(const std::string& key) const {
    const auto it = w_.hyperparameters.find(key);
    return it == w_.hyperparameters.end() ? "" : std::get<std::string>(it->second.data);
  }
  bool Is(const char* architecture) const { return w_.arch == architecture; }

  Vector Embedding(int token, size_t position) const {
    const auto& table = w_.tensors.at("token_embd.weight").values;
    Vector x(width_);
    for (int i = 0; i < width_; ++i) {
      x[i] = table[token * width_ + i];
      if (Is("gemma3")) x[i] *= std::sqrt(static_cast<double>(width_));
      if (Is("gpt2")) x[i] += w_.tensors.at("position_embd.weight").values[position * width_ + i];
    }
    return x;
  }

  Vector Linear(const std::string& name, const Vector& x) const {
    const auto& matrix = w_.tensors.at(name + ".weight");
    Vector y(matrix.shape.rows);
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t c = 0; c < x.size(); ++c) y[r] += matrix.values[r * x.size() + c] * x[c];
    }
    const auto bias = w_.tensors.find(name + ".bias");
    if (bias == w_.tensors.end()) return y;
    for (size_t r = 0; r < y.size(); ++r) y[r] += bias->second.values[r];
    return y;
  }

  Vector Norm(const std::string& name, Vector x) const {
    const auto& weight = w_.tensors.at(name + ".weight").values;
    double mean = 0, variance = 0;
    if (Is("gpt2")) {
      for (const double v : x) mean += v / static_cast<double>(x.size());
    }
    for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
    const double epsilon = Real(Is("gpt2") ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 0);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = (x[i] - mean) / std::sqrt(variance + epsilon) * weight[i];
      if (Is("gpt2")) x[i] += w_.tensors.at(name + ".bias").values[i];
    }
    return x;
  }

  bool Sliding(int layer) const {
    if (Whole("attention.sliding_window", 0) == 0) return false;
    const auto it = w_.hyperparameters.find("attention.sliding_window_pattern");
    if (it == w_.hyperparameters.end()) return !Is("gemma3") || (layer + 1) % 6 != 0;
    if (const auto* list = std::get_if<std::vector<bool>>(&it->second.data)) return (*list)[layer];
    return (layer + 1) % Whole("attention.sliding_window_pattern", 6) != 0;
  }

  // The angle at which pair i of `pairs` is turned at `position`, and by what its length is multiplied.
  std::pair<double, double> Angle(int i, int pairs, int position, bool local) const {
    const double base = local && Is("gemma3") ? Real("rope.freq_base_swa", 10000) : Real("rope.freq_base", 10000);
    double frequency = std::pow(base, -static_cast<double>(i) / pairs), length = 1;
    const auto divisors = w_.tensors.find("rope_freqs.weight");
    if (divisors != w_.tensors.end()) frequency /= divisors->second.values[i];
    const std::string kind = Text("rope.scaling.type");
    const double factor = Real("rope.scaling.factor", 1);
    if (kind == "linear") frequency /= factor;
    if (kind == "yarn") {
      const double original = Whole("rope.scaling.original_context_length", 0);
      const auto pair_of = [&](double turns) {
        return pairs * std::log(original / (2 * std::numbers::pi * turns)) / std::log(base);
      };
      const double begin = std::max(0.0, std::floor(pair_of(Real("rope.scaling.yarn_beta_fast", 32))));
      const double end = std::min(2.0 * pairs - 1, std::ceil(pair_of(Real("rope.scaling.yarn_beta_slow", 1))));
      const double slow = std::min(1.0, std::max(0.0, (i - begin) / std::max(0.001, end - begin)));
      frequency = slow * frequency / factor + (1 - slow) * frequency;
      length = (1 + 0.1 * std::log(factor)) * Real("rope.scaling.attn_factor", 1);
    }
    return {position * frequency, length};
  }

  // llama.cpp's converters bring rotary partners side by side for these.
  bool TurnsNeighbours() const { return Is("llama") || Is("arcee") || Is("smollm3"); }

  void Turn(double* head, int position, int layer) const {
    if (Is("gpt2") || (Is("smollm3") && layer % 4 == 3)) return;
    const bool local = Sliding(layer);
    const int pairs = Whole("rope.dimension_count", head_) / 2;
    for (int i = 0; i < pairs; ++i) {
      const auto [angle, length] = Angle(i, pairs, position, local);
      double& a = TurnsNeighbours() ? head[2 * i] : head[i];
      double& b = TurnsNeighbours() ? head[2 * i + 1] : head[i + pairs];
      const double x = a, y = b;
      a = length * (x * std::cos(angle) - y * std::sin(angle));
      b = length * (x * std::sin(angle) + y * std::cos(angle));
    }
  }

  void NormHeads(const std::string& name, Vector& x) const {
    if (Is("olmoe")) x = Norm(name, x);
    if (!Is("qwen3") && !Is("qwen3moe") && !Is("gemma3")) return;
    for (size_t h = 0; h < x.size(); h += head_) {
      const Vector normed = Norm(name, Vector(x.begin() + h, x.begin() + h + head_));
      std::copy(normed.begin(), normed.end(), x.begin() + h);
    }
  }

  void Layer(int layer, std::vector<Vector>& x) const {
    const std::string b = "blk." + std::to_string(layer) + ".";
    std::vector<Vector> q, k, v;
    for (size_t t = 0; t < x.size(); ++t) {
      const Vector normed = w_.tensors.contains(b + "attn_norm.weight") ? Norm(b + "attn_norm", x[t]) : x[t];
      if (Is("gpt2")) {
        const Vector all = Linear(b + "attn_qkv", normed);
        q.emplace_back(all.begin(), all.begin() + width_);
        k.emplace_back(all.begin() + width_, all.begin() + 2 * width_);
        v.emplace_back(all.begin() + 2 * width_, all.end());
      } else {
        q.push_back(Linear(b + "attn_q", normed));
        k.push_back(Linear(b + "attn_k", normed));
        v.push_back(Linear(b + "attn_v", normed));
      }
      NormHeads(b + "attn_q_norm", q[t]);
      NormHeads(b + "attn_k_norm", k[t]);
      for (int h = 0; h < heads_; ++h) Turn(&q[t][h * head_], static_cast<int>(t), layer);
      for (int h = 0; h < kv_heads_; ++h) Turn(&k[t][h * head_], static_cast<int>(t), layer);
    }
    for (size_t t = 0; t < x.size(); ++t) {
      const Vector before = x[t];
      Add(Linear(b + "attn_output", Attend(layer, t, q[t], k, v)), b + "post_attention_norm", x[t]);
      const Vector& read = parallel ? before : x[t];
      Add(FeedForward(b, w_.tensors.contains(b + "ffn_norm.weight") ? Norm(b + "ffn_norm", read) : read), b + "post_ffw_norm", x[t]);
    }
  }

  void Add(Vector added, const std::string& norm, Vector& x) const {
    if (w_.tensors.contains(norm + ".weight")) added = Norm(norm, added);
    for (int i = 0; i < width_; ++i) x[i] += added[i];
  }

  Vector Attend(int layer, size_t t, const Vector& q, const std::vector<Vector>& k, const std::vector<Vector>& v) const {
    const int window = Sliding(layer) ? Whole("attention.sliding_window", 0) : 0;
    Vector out(heads_ * head_);
    for (int h = 0; h < heads_; ++h) {
      const int shared = h / (heads_ / kv_heads_) * head_;
      Vector weight(t + 1);
      double total = 0;
      for (size_t s = 0; s <= t; ++s) {
        if (window > 0 && static_cast<int>(t - s) >= window) continue;
        double score = 0;
        for (int i = 0; i < head_; ++i) score += q[h * head_ + i] * k[s][shared + i];
        weight[s] = std::exp(score * Real("attention.scale", 1 / std::sqrt(static_cast<double>(head_))));
        total += weight[s];
      }
      for (size_t s = 0; s <= t; ++s) {
        for (int i = 0; i < head_; ++i) out[h * head_ + i] += weight[s] / total * v[s][shared + i];
      }
    }
    return out;
  }

  // The experts of a token, the best first, and their weights.
  std::vector<std::pair<int, double>> Route(const std::string& b, const Vector& x) const {
    Vector p = Linear(b + "ffn_gate_inp", x);
    double total = 0, chosen = 0;
    for (double& logit : p) total += logit = std::exp(logit);
    std::vector<std::pair<int, double>> best;
    for (size_t e = 0; e < p.size(); ++e) best.emplace_back(static_cast<int>(e), p[e] / total);
    std::stable_sort(best.begin(), best.end(), [](const auto& a, const auto& c) { return a.second > c.second; });
    best.resize(Whole("expert_used_count", 0));
    for (const auto& [expert, weight] : best) chosen += weight;
    const auto it = w_.hyperparameters.find("expert_weights_norm");
    const bool norm = it != w_.hyperparameters.end() ? std::get<bool>(it->second.data) : Is("llama") || Is("qwen3moe");
    for (auto& [expert, weight] : best) weight /= norm ? chosen : 1;
    return best;
  }

  Vector Experts(const std::string& b, const Vector& x) const {
    Vector sum(width_);
    const auto add = [&](const std::string& which, double weight) {
      Vector up = Linear(b + "ffn_up" + which, x);
      const Vector gate = Linear(b + "ffn_gate" + which, x);
      for (size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1 + std::exp(-gate[i]));
      const Vector down = Linear(b + "ffn_down" + which, up);
      for (int i = 0; i < width_; ++i) sum[i] += weight * down[i];
    };
    for (const auto& [expert, weight] : Route(b, x)) add("." + std::to_string(expert), weight);
    if (Is("qwen2moe")) add("_shexp", 1 / (1 + std::exp(-Linear(b + "ffn_gate_inp_shexp", x)[0])));
    return sum;
  }

  Vector FeedForward(const std::string& b, const Vector& x) const {
    if (Whole("expert_count", 0) > 0) return Experts(b, x);
    const auto gelu = [](double u) {
      return 0.5 * u * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (u + 0.044715 * u * u * u)));
    };
    Vector up = Linear(b + "ffn_up", x);
    if (Is("gpt2")) {
      for (double& u : up) u = gelu(u);
    } else if (Is("arcee")) {
      for (double& u : up) u = u > 0 ? u * u : 0;
    } else {
      const Vector gate = Linear(b + "ffn_gate", x);
      for (size_t i = 0; i < up.size(); ++i) up[i] *= Is("gemma3") ? gelu(gate[i]) : gate[i] / (1 + std::exp(-gate[i]));
    }
    return Linear(b + "ffn_down", up);
  }

  const MemoryWeights& w_;
  const bool parallel;  // the feed-forward part reads what attention reads
  int layers_, width_, heads_, kv_heads_, head_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_TESTS_UNIT_FORWARD_REFERENCE_H_
