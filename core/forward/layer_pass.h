// One layer over a batch, step by step: each step is cut into tiles by shape alone, and threads share the tiles.
#ifndef NASHSWARM_CORE_FORWARD_LAYER_PASS_H_
#define NASHSWARM_CORE_FORWARD_LAYER_PASS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/attention.h"
#include "core/forward/expert_pass.h"
#include "core/forward/layer_weights.h"
#include "core/forward/linear.h"
#include "core/forward/model_config.h"
#include "core/forward/rope.h"
#include "core/forward/transformer.h"

namespace nashswarm::forward {

// Keys and values of one layer that outlive a call: windows x capacity rows of kv_width() floats.
struct LayerCache {
  float* key;
  float* value;
  uint64_t capacity;
  uint64_t first;  // positions that are in it; the call's tokens come after them
};

// The batch and the layer. All pointers outlive the call.
struct LayerCall {
  uint64_t layer;
  const LayerWeights* weights;
  const RopeTable* rope;  // covers every position; null without rotary embeddings
  uint64_t windows, length;
  float* hidden;          // windows * length rows of `width`
  const LayerCache* cache = nullptr;
  InputTap* tap = nullptr;
  const ExpertRouter* router = nullptr;  // null: the model's own choice
};

// Runs `tiles` rectangles that cover `rows` x `columns`. Small batches are cut along the columns, large ones along the
// rows; `all_rows` are those of the whole batch, so that a batch done in portions is cut the same.
struct Tiling {
  Tiling(uint64_t rows, uint64_t columns, uint64_t all_rows);
  uint64_t tiles() const { return row_blocks * pieces; }
  struct Tile {
    uint64_t row, rows, column, columns;
  };
  Tile operator[](uint64_t i) const;

  uint64_t rows, columns, piece, row_blocks, pieces;
};

// Keeps its buffers from call to call. One call at a time.
class LayerPass {
 public:
  LayerPass(const ModelConfig& config, ThreadPool& pool);

  // False when the result is not finite.
  bool Run(const LayerCall& call);

  // The first half of a layer: hidden becomes what the feed-forward part reads. Keys, values, queries and what attention gave
  // are there until the next call. `raw`, when not null, gets q, k and v as the matrices gave them: before norms of heads and
  // rotation. No tap, no cache.
  void RunAttention(const LayerCall& call, std::vector<float>* raw);
  const float* qkv() const { return qkv_.data(); }            // rows of qkv_width()
  const float* attended() const { return attended_.data(); }  // rows of query_width()

  // out = norm(x), row by row, `width` floats each; in place when they are the same. Shared by the final norm.
  void NormRows(const Norm& norm, const float* x, uint64_t rows, float* out);

 private:
  // The steps, for rows [first, first + rows) of the batch.
  void QueryKeyValue(const LayerCall& call, uint64_t first, uint64_t rows);
  void RotateRow(const LayerCall& call, uint64_t row);
  void Attend(const LayerCall& call);
  void AddAttention(const LayerCall& call, uint64_t first, uint64_t rows);
  void FeedForward(const LayerCall& call, uint64_t first, uint64_t rows);
  void FfnTile(const LayerCall& call, const Tiling::Tile& tile, int thread);
  // hidden += [norm of] x W^T.
  void AddProjection(const LayerCall& call, const Matrix& matrix, const Norm& post_norm, Rows x, uint64_t first,
                     uint64_t rows);
  bool Finite(const LayerCall& call);
  void Tap(const LayerCall& call, const char* input, const std::vector<float>& x, uint64_t width) const;
  void ForRows(uint64_t rows, const std::function<void(uint64_t row)>& body);

  const ModelConfig& config_;
  ThreadPool& pool_;
  std::vector<float> qkv_, attended_;             // of the whole batch
  std::vector<float> normed_, activated_, added_;  // of one portion of its rows; of all when there is a tap
  std::vector<std::vector<float>> ffn_;           // by thread: a tile of gate and up
  std::vector<Attention> attention_;              // by thread
  ExpertPass experts_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_LAYER_PASS_H_
