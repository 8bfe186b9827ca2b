// The transformer of transformer.h: keeps weights, runs steps, and gives errors.
#ifndef NASHSWARM_CORE_FORWARD_DECODER_H_
#define NASHSWARM_CORE_FORWARD_DECODER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/forward/blocks/embedding.h"
#include "core/forward/blocks/head.h"
#include "core/forward/layer.h"
#include "core/forward/model_config.h"
#include "core/forward/transformer.h"
#include "core/forward/weight_budget.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

class Decoder : public Transformer {
 public:
  // Transformer::Open, for those who need its parts.
  static absl::StatusOr<std::unique_ptr<Decoder>> Open(std::shared_ptr<const Weights> weights, Options options);

  uint64_t layers() const override { return config_.layers; }
  uint64_t width() const override { return config_.width; }
  uint64_t vocabulary() const override { return config_.vocabulary; }
  uint64_t context() const override { return config_.context; }
  bool tied_head() const override { return config_.head.tied; }
  uint64_t experts() const override { return config_.experts.count; }
  uint64_t experts_used() const override { return config_.experts.used; }
  bool normalized_experts() const override { return config_.experts.normalized; }
  void SetRouter(ExpertRouter router) override { router_ = std::move(router); }

  absl::Status Embed(const Batch& batch, float* hidden) override;
  absl::Status RunLayer(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, InputTap* tap,
                        const Weights* instead) override;
  absl::Status FinalNorm(uint64_t rows, float* hidden, InputTap* tap) override { return head_.Normalize(rows, hidden, tap); }
  absl::Status Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead) override {
    return head_.Logits(normed, rows, logits, instead);
  }
  absl::StatusOr<std::unique_ptr<Session>> Start(uint64_t windows, uint64_t capacity) override;

  // For sessions: tokens at positions from `first` on, and a layer that remembers what came before.
  absl::Status EmbedAt(absl::Span<const int32_t> tokens, uint64_t length, uint64_t first, float* hidden);
  absl::Status RunRemembering(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, LayerState* state, uint64_t capacity,
                              uint64_t first);
  const ModelConfig& config() const { return config_; }
  const Layer& layer() const { return layer_; }

  // For the way back (backward.h): the parts of the model, and the threads that run them. `call` has all but the weights.
  absl::Status RunLayerBack(LayerGradientCall call);
  Embedding& embedding() { return embedding_; }
  Head& head() { return head_; }
  ThreadPool& pool() { return pool_; }
  const std::string& name() const { return weights_->name(); }

 private:
  Decoder(std::shared_ptr<const Weights> weights, ModelConfig config, Options options);
  absl::Status CheckLength(uint64_t length) const;
  // The greatest activations of a layer can be counted and allocated.
  absl::Status CheckRows(uint64_t windows, uint64_t length) const;
  absl::Status Run(LayerCall call, const Weights* instead);
  // The layer's weights, kept when they fit; otherwise theirs until the next call that runs or asks for a layer. `instead` as
  // in RunLayer.
  absl::StatusOr<const LayerWeights*> LayerOf(uint64_t layer, const Weights* instead);

  const std::shared_ptr<const Weights> weights_;
  const ModelConfig config_;
  ThreadPool pool_;
  WeightBudget budget_;
  Embedding embedding_;
  Layer layer_;
  Head head_;
  ExpertRouter router_;                                     // empty: the model's own choice
  std::vector<std::unique_ptr<LayerWeights>> kept_;         // by layer; null when not kept
  LayerWeights passing_;                                    // the layer of the moment, when it is not kept
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_DECODER_H_
