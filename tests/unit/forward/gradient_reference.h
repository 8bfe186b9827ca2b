// The backward pass of gpt2 and llama written down plainly, in double precision, a token after another: every step of the
// forward pass is followed by the way back, as the chain rule has it. Shares no code with core/forward.
#ifndef NASHSWARM_TESTS_UNIT_FORWARD_GRADIENT_REFERENCE_H_
#define NASHSWARM_TESTS_UNIT_FORWARD_GRADIENT_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {

// One window through a model of one layer.
class GradientReference {
 public:
  using Vector = std::vector<double>;
  using Table = std::vector<Vector>;  // a row a token

  explicit GradientReference(const MemoryWeights& weights)
      : w_(weights), gpt2_(weights.arch == "gpt2"), width_(Whole("embedding_length")), heads_(Whole("attention.head_count")),
        kv_heads_(gpt2_ ? heads_ : Whole("attention.head_count_kv")),
        head_(gpt2_ ? width_ / heads_ : Whole("attention.key_length")) {}

  Table probabilities;
  std::map<std::string, Table> outputs;  // gradients, by tensor
  Table embedding;

  void Forward(const std::vector<int32_t>& tokens) {
    length_ = tokens.size();
    for (size_t t = 0; t < length_; ++t) {
      Vector x(width_);
      for (size_t i = 0; i < width_; ++i) {
        x[i] = Value("token_embd.weight", static_cast<size_t>(tokens[t]) * width_ + i);
        if (gpt2_) x[i] += Value("position_embd.weight", t * width_ + i);
      }
      x_.push_back(x);
      const Vector normed = Norm("blk.0.attn_norm", x);
      const std::string first = gpt2_ ? "attn_qkv" : "attn_q";
      Vector all = Linear(first, normed);
      for (const char* part : {"attn_k", "attn_v"}) {
        if (gpt2_) break;
        const Vector more = Linear(part, normed);
        all.insert(all.end(), more.begin(), more.end());
      }
      for (size_t h = 0; h < heads_ + kv_heads_; ++h) Turn(&all[h * head_], static_cast<double>(t));
      qkv_.push_back(all);
    }
    for (size_t t = 0; t < length_; ++t) {
      const Vector added = Linear("attn_output", Attend(t));
      middle_.push_back(Plus(x_[t], added));
      normed_.push_back(Norm("blk.0.ffn_norm", middle_[t]));
      last_.push_back(Plus(middle_[t], Linear("ffn_down", Activate(normed_[t]))));
      Vector p = Times(Head(), Norm("output_norm", last_[t]));
      double total = 0;
      for (double& logit : p) total += logit = std::exp(logit);
      for (double& value : p) value /= total;
      probabilities.push_back(p);
    }
  }

  void Backward(const std::vector<int32_t>& targets) {
    Table middle;
    for (size_t t = 0; t < length_; ++t) {
      Vector g = probabilities[t];
      g[static_cast<size_t>(targets[t])] -= 1;
      g = NormBack("output_norm", last_[t], TimesTransposed(Head(), g));
      outputs["blk.0.ffn_down.weight"].push_back(g);
      middle.push_back(Plus(g, NormBack("blk.0.ffn_norm", middle_[t], ActivateBack(normed_[t], Back("ffn_down", g)))));
      outputs["blk.0.attn_output.weight"].push_back(middle[t]);
    }
    Table qkv(length_, Vector(qkv_[0].size()));
    for (size_t t = 0; t < length_; ++t) AttendBack(t, Back("attn_output", middle[t]), &qkv);
    for (size_t t = 0; t < length_; ++t) {
      for (size_t h = 0; h < heads_ + kv_heads_; ++h) Turn(&qkv[t][h * head_], -static_cast<double>(t));
      Vector normed(width_);
      size_t first = 0;
      for (const char* part : {"attn_qkv", "attn_q", "attn_k", "attn_v"}) {
        const std::string tensor = std::string("blk.0.") + part + ".weight";
        if (w_.Find(tensor) == nullptr) continue;
        const auto begin = qkv[t].begin() + static_cast<ptrdiff_t>(first);
        first += w_.Find(tensor)->rows;
        outputs[tensor].emplace_back(begin, qkv[t].begin() + static_cast<ptrdiff_t>(first));
        normed = Plus(normed, Back(part, outputs[tensor].back()));
      }
      embedding.push_back(Plus(middle[t], NormBack("blk.0.attn_norm", x_[t], normed)));
    }
  }

 private:
  size_t Whole(const std::string& key) const { return std::get<uint64_t>(w_.hyperparameters.at(key).data); }
  double Value(const std::string& tensor, size_t i) const { return w_.tensors.at(tensor).values[i]; }
  std::string Head() const { return w_.Find("output.weight") != nullptr ? "output.weight" : "token_embd.weight"; }

  static Vector Plus(Vector a, const Vector& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }
  Vector Times(const std::string& tensor, const Vector& x) const {
    const std::vector<float>& matrix = w_.tensors.at(tensor).values;
    Vector y(w_.Find(tensor)->rows);
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t c = 0; c < x.size(); ++c) y[r] += matrix[r * x.size() + c] * x[c];
    }
    return y;
  }
  Vector TimesTransposed(const std::string& tensor, const Vector& g) const {
    const std::vector<float>& matrix = w_.tensors.at(tensor).values;
    Vector x(w_.Find(tensor)->row_weights);
    for (size_t r = 0; r < g.size(); ++r) {
      for (size_t c = 0; c < x.size(); ++c) x[c] += matrix[r * x.size() + c] * g[r];
    }
    return x;
  }
  Vector Linear(const std::string& part, const Vector& x) const {
    Vector y = Times("blk.0." + part + ".weight", x);
    for (size_t r = 0; r < y.size() && w_.Find("blk.0." + part + ".bias") != nullptr; ++r) {
      y[r] += Value("blk.0." + part + ".bias", r);
    }
    return y;
  }
  Vector Back(const std::string& part, const Vector& g) const { return TimesTransposed("blk.0." + part + ".weight", g); }

  double Mean(const Vector& x) const {
    double mean = 0;
    for (const double v : x) mean += gpt2_ ? v / static_cast<double>(x.size()) : 0;
    return mean;
  }
  double Spread(const Vector& x) const {
    const char* key = gpt2_ ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    const double mean = Mean(x);
    double variance = std::get<double>(w_.hyperparameters.at(key).data);
    for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
    return std::sqrt(variance);
  }
  Vector Norm(const std::string& name, const Vector& x) const {
    const double mean = Mean(x), spread = Spread(x);
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      y[i] = (x[i] - mean) / spread * Value(name + ".weight", i) + (gpt2_ ? Value(name + ".bias", i) : 0);
    }
    return y;
  }
  // By the norm's whole Jacobian: d y_i / d x_j = weight_i / s (delta_ij - [1/n] - z_i z_j / n).
  Vector NormBack(const std::string& name, const Vector& x, const Vector& g) const {
    const double mean = Mean(x), spread = Spread(x), n = static_cast<double>(x.size());
    Vector out(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double weight = Value(name + ".weight", i);
      for (size_t j = 0; j < x.size(); ++j) {
        const double along = (x[i] - mean) / spread * (x[j] - mean) / spread / n;
        out[j] += g[i] * weight / spread * ((i == j ? 1 : 0) - (gpt2_ ? 1 / n : 0) - along);
      }
    }
    return out;
  }

  void Turn(double* head, double position) const {
    for (size_t i = 0; i < head_ / 2 && !gpt2_; ++i) {
      const double base = std::get<double>(w_.hyperparameters.at("rope.freq_base").data);
      const double angle = position * std::pow(base, -2 * static_cast<double>(i) / static_cast<double>(head_));
      const double a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * std::cos(angle) - b * std::sin(angle);
      head[2 * i + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
  }

  size_t KeyAt(size_t h) const { return (heads_ + h / (heads_ / kv_heads_)) * head_; }
  size_t ValueAt(size_t h) const { return KeyAt(h) + kv_heads_ * head_; }
  Vector Attention(size_t t, size_t h) const {
    Vector weights(t + 1);
    double total = 0;
    for (size_t s = 0; s <= t; ++s) {
      double score = 0;
      for (size_t i = 0; i < head_; ++i) score += qkv_[t][h * head_ + i] * qkv_[s][KeyAt(h) + i];
      total += weights[s] = std::exp(score / std::sqrt(static_cast<double>(head_)));
    }
    for (double& weight : weights) weight /= total;
    return weights;
  }
  Vector Attend(size_t t) const {
    Vector out(heads_ * head_);
    for (size_t h = 0; h < heads_; ++h) {
      const Vector weights = Attention(t, h);
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < head_; ++i) out[h * head_ + i] += weights[s] * qkv_[s][ValueAt(h) + i];
      }
    }
    return out;
  }
  void AttendBack(size_t t, const Vector& g, Table* qkv) const {
    for (size_t h = 0; h < heads_; ++h) {
      const Vector weights = Attention(t, h);
      Vector at_weights(t + 1);
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < head_; ++i) {
          at_weights[s] += g[h * head_ + i] * qkv_[s][ValueAt(h) + i];
          (*qkv)[s][ValueAt(h) + i] += g[h * head_ + i] * weights[s];
        }
      }
      for (size_t s = 0; s <= t; ++s) {
        double at_score = 0;  // by the softmax's whole Jacobian
        for (size_t r = 0; r <= t; ++r) at_score += at_weights[r] * weights[r] * ((r == s ? 1 : 0) - weights[s]);
        at_score /= std::sqrt(static_cast<double>(head_));
        for (size_t i = 0; i < head_; ++i) {
          (*qkv)[t][h * head_ + i] += at_score * qkv_[s][KeyAt(h) + i];
          (*qkv)[s][KeyAt(h) + i] += at_score * qkv_[t][h * head_ + i];
        }
      }
    }
  }

  static double Gelu(double u) { return 0.5 * u * (1 + std::tanh(0.7978845608028654 * (u + 0.044715 * u * u * u))); }
  static double Silu(double u) { return u / (1 + std::exp(-u)); }
  double Activation(double u) const { return gpt2_ ? Gelu(u) : Silu(u); }
  double Slope(double u) const { return (Activation(u + 1e-5) - Activation(u - 1e-5)) / 2e-5; }

  Vector Activate(const Vector& x) const {
    Vector up = Linear("ffn_up", x);
    const Vector gate = gpt2_ ? up : Linear("ffn_gate", x);
    for (size_t i = 0; i < up.size(); ++i) up[i] = Activation(gate[i]) * (gpt2_ ? 1 : up[i]);
    return up;
  }
  Vector ActivateBack(const Vector& x, const Vector& g) {
    const Vector up = Linear("ffn_up", x), gate = gpt2_ ? up : Linear("ffn_gate", x);
    Vector at_up(g.size()), at_gate(g.size());
    for (size_t i = 0; i < g.size(); ++i) {
      at_up[i] = g[i] * (gpt2_ ? Slope(up[i]) : Activation(gate[i]));
      at_gate[i] = g[i] * up[i] * Slope(gate[i]);
    }
    outputs["blk.0.ffn_up.weight"].push_back(at_up);
    if (gpt2_) return Back("ffn_up", at_up);
    outputs["blk.0.ffn_gate.weight"].push_back(at_gate);
    return Plus(Back("ffn_up", at_up), Back("ffn_gate", at_gate));
  }

  const MemoryWeights& w_;
  const bool gpt2_;
  const size_t width_, heads_, kv_heads_, head_;
  size_t length_ = 0;
  Table x_, qkv_, middle_, normed_, last_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_TESTS_UNIT_FORWARD_GRADIENT_REFERENCE_H_
