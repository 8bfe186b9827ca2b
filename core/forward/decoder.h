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
#include "core/forward/layer_pass.h"
#include "core/forward/layer_weights.h"
#include "core/forward/model_config.h"
#include "core/forward/rope.h"
#include "core/forward/transformer.h"
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
  bool tied_head() const override { return config_.tied_head; }
  uint64_t experts() const override { return config_.experts; }
  uint64_t experts_used() const override { return config_.experts_used; }
  bool normalized_experts() const override { return config_.normalize_experts; }
  void SetRouter(ExpertRouter router) override { router_ = std::move(router); }

  absl::Status Embed(const Batch& batch, float* hidden) override;
  absl::Status RunLayer(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, InputTap* tap,
                        const Weights* instead) override;
  absl::Status FinalNorm(uint64_t rows, float* hidden, InputTap* tap) override;
  absl::Status Logits(const float* normed, uint64_t rows, float* logits, const Weights* instead) override;
  absl::StatusOr<std::unique_ptr<Session>> Start(uint64_t windows, uint64_t capacity) override;

  // For sessions: tokens at positions from `first` on, and a layer that remembers keys and values (`cache` not null).
  absl::Status EmbedAt(absl::Span<const int32_t> tokens, uint64_t length, uint64_t first, float* hidden);
  absl::Status RunCached(uint64_t layer, uint64_t windows, uint64_t length, float* hidden, const LayerCache& cache);
  const ModelConfig& config() const { return config_; }

  // For the way back (backward.h): the parts of the model, and the threads that run them.
  ThreadPool& pool() { return pool_; }
  LayerPass& pass() { return pass_; }
  const Norm& final_norm() const { return final_norm_; }
  const std::string& name() const { return weights_->name(); }
  const char* head_tensor() const { return config_.tied_head ? "token_embd.weight" : "output.weight"; }
  // The layer's weights, kept when they fit; otherwise theirs until the next call that runs or asks for a layer. `instead` as
  // in RunLayer.
  absl::StatusOr<const LayerWeights*> LayerOf(uint64_t layer, const Weights* instead);
  // Angles of the layer's rotary embeddings for positions [0, positions); null when it has none.
  const RopeTable* RopeOf(uint64_t layer, uint64_t positions);
  // Rows [first, first + count) of the head: its own copy when it is kept, otherwise read into `room`.
  absl::StatusOr<const float*> HeadRows(uint64_t first, uint64_t count, std::vector<float>* room);

 private:
  Decoder(std::shared_ptr<const Weights> weights, ModelConfig config, Options options);
  absl::Status LoadFinalNorm();
  absl::Status CheckLength(uint64_t length) const;
  absl::Status Run(LayerCall call, const Weights* instead);
  absl::Status KeepHead();
  absl::Status ReadHead(uint64_t first, uint64_t count, float* out);
  // Logits of vocabulary [first, first + count) from rows of the head at `head`.
  void HeadPiece(const float* normed, uint64_t rows, const float* head, uint64_t first, uint64_t count, float* logits) const;
  absl::Status NonFinite(const std::string& where, const std::string& tensor) const;

  const std::shared_ptr<const Weights> weights_;
  const ModelConfig config_;
  ThreadPool pool_;
  LayerPass pass_;
  RopeTable rope_, local_rope_;
  ExpertRouter router_;                                     // empty: the model's own choice

  uint64_t bytes_left_;                                     // of Options::weight_bytes
  std::vector<std::unique_ptr<LayerWeights>> kept_;         // by layer; null when not kept
  LayerWeights passing_;                                    // the layer of the moment, when it is not kept
  std::vector<float> head_;                                 // vocabulary x width; empty when not kept
  Norm final_norm_;
  std::vector<std::vector<float>> head_rows_;               // by thread: part of a head that is not kept
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_DECODER_H_
