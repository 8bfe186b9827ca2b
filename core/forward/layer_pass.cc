#include "core/forward/layer_pass.h"

#include <algorithm>
#include <atomic>
#include <functional>

#include "absl/strings/str_cat.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"

namespace nashswarm::forward {
namespace {

// BLAS copies the matrix into its own order on every call: 256 rows share that copy.
constexpr uint64_t kRowBlock = 256;
// Enough tiles for the threads of a workstation to end at about the same time.
constexpr uint64_t kTiles = 32;
// A call over fewer columns than this spends its time on starting.
constexpr uint64_t kLeastColumns = 64;
// Rows whose feed-forward activations are kept at a time; a multiple of kRowBlock.
constexpr uint64_t kPortionRows = 2048;
// Rows that a thread takes at a time in elementwise steps.
constexpr uint64_t kRowsAtATime = 16;

uint64_t DivideUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace

Tiling::Tiling(uint64_t rows, uint64_t columns, uint64_t all_rows) : rows(rows), columns(columns) {
  row_blocks = DivideUp(rows, kRowBlock);
  const uint64_t wanted = DivideUp(kTiles, DivideUp(all_rows, kRowBlock));
  piece = DivideUp(std::max(DivideUp(columns, wanted), std::min(columns, kLeastColumns)), 16) * 16;
  pieces = DivideUp(columns, piece);
}

Tiling::Tile Tiling::operator[](uint64_t i) const {
  // Neighbouring tiles share columns, so that threads read the same part of the matrix at about the same time.
  const uint64_t row = i % row_blocks * kRowBlock, column = i / row_blocks * piece;
  return {row, std::min(kRowBlock, rows - row), column, std::min(piece, columns - column)};
}

LayerPass::LayerPass(const ModelConfig& config, ThreadPool& pool)
    : config_(config), pool_(pool), ffn_(pool.threads()), attention_(pool.threads()), experts_(config, pool) {}

void LayerPass::ForRows(uint64_t rows, const std::function<void(uint64_t row)>& body) {
  pool_.Run(DivideUp(rows, kRowsAtATime), [&](uint64_t i, int) {
      const uint64_t end = std::min(rows, (i + 1) * kRowsAtATime);
      for (uint64_t row = i * kRowsAtATime; row < end; ++row) body(row);
      return absl::OkStatus();
    }).IgnoreError();
}

void LayerPass::NormRows(const Norm& norm, const float* x, uint64_t rows, float* out) {
  const Kernels& kernels = ActiveKernels();
  const uint64_t width = config_.width;
  ForRows(rows, [&](uint64_t row) {
    const float* from = x + row * width;
    float* to = out + row * width;
    if (config_.layer_norm) {
      kernels.layer_norm(from, norm.weight.data(), norm.bias.data(), config_.epsilon, width, to);
    } else {
      kernels.rms_norm(from, norm.weight.data(), config_.epsilon, width, to);
    }
  });
}

void LayerPass::Tap(const LayerCall& call, const char* input, const std::vector<float>& x, uint64_t width) const {
  if (call.tap == nullptr) return;
  call.tap->Input(absl::StrCat("blk.", call.layer, ".", input), x.data(), call.windows * call.length, width);
}

bool LayerPass::Run(const LayerCall& call) {
  const uint64_t rows = call.windows * call.length;
  // A tap hears an input whole, and a router sees all tokens, so nothing is done in portions then.
  const bool whole = call.tap != nullptr || call.router != nullptr;
  const uint64_t portion = whole ? rows : std::min(rows, kPortionRows);
  Room(qkv_, rows * config_.qkv_width());
  Room(attended_, rows * config_.query_width());
  Room(normed_, portion * config_.width);
  if (config_.experts == 0) Room(activated_, portion * config_.ffn);
  if (config_.post_norms) Room(added_, portion * config_.width);

  for (uint64_t first = 0; first < rows; first += portion) QueryKeyValue(call, first, std::min(portion, rows - first));
  Tap(call, "attn_in", normed_, config_.width);
  ForRows(rows, [&](uint64_t row) { RotateRow(call, row); });
  Attend(call);
  Tap(call, "attn_output_in", attended_, config_.query_width());
  for (uint64_t first = 0; first < rows; first += portion) {
    const uint64_t count = std::min(portion, rows - first);
    AddAttention(call, first, count);
    FeedForward(call, first, count);
  }
  return Finite(call);
}

void LayerPass::RunAttention(const LayerCall& call, std::vector<float>* raw) {
  const uint64_t rows = call.windows * call.length, portion = std::min(rows, kPortionRows);
  Room(qkv_, rows * config_.qkv_width());
  Room(attended_, rows * config_.query_width());
  Room(normed_, portion * config_.width);
  if (config_.post_norms) Room(added_, portion * config_.width);

  for (uint64_t first = 0; first < rows; first += portion) QueryKeyValue(call, first, std::min(portion, rows - first));
  if (raw != nullptr) raw->assign(qkv_.begin(), qkv_.begin() + static_cast<ptrdiff_t>(rows * config_.qkv_width()));
  ForRows(rows, [&](uint64_t row) { RotateRow(call, row); });
  Attend(call);
  for (uint64_t first = 0; first < rows; first += portion) AddAttention(call, first, std::min(portion, rows - first));
}

void LayerPass::QueryKeyValue(const LayerCall& call, uint64_t first, uint64_t rows) {
  NormRows(call.weights->attention_norm, call.hidden + first * config_.width, rows, normed_.data());
  const Rows from{normed_.data(), config_.width};
  const Rows to{qkv_.data() + first * config_.qkv_width(), config_.qkv_width()};
  const Tiling tiling(rows, config_.qkv_width(), call.windows * call.length);
  pool_.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, count, column, columns] = tiling[i];
      Project(call.weights->qkv, {from.at(row), from.stride}, count, column, columns, {to.at(row) + column, to.stride});
      return absl::OkStatus();
    }).IgnoreError();
}

void LayerPass::RotateRow(const LayerCall& call, uint64_t row) {
  const Kernels& kernels = ActiveKernels();
  const uint64_t width = config_.head_width, position = row % call.length + (call.cache != nullptr ? call.cache->first : 0);
  float* query = qkv_.data() + row * config_.qkv_width();
  if (config_.whole_norms) {
    float* key = query + config_.query_width();
    kernels.rms_norm(query, call.weights->query_norm.weight.data(), config_.epsilon, config_.query_width(), query);
    kernels.rms_norm(key, call.weights->key_norm.weight.data(), config_.epsilon, config_.kv_width(), key);
  }
  for (uint64_t head = 0; head < config_.heads + config_.kv_heads; ++head) {
    float* x = query + head * width;
    if (config_.head_norms) {
      const Norm& norm = head < config_.heads ? call.weights->query_norm : call.weights->key_norm;
      kernels.rms_norm(x, norm.weight.data(), config_.epsilon, width, x);
    }
    if (call.rope == nullptr) continue;
    const auto rotate = config_.rope_halves ? kernels.rotate_halves : kernels.rotate_pairs;
    rotate(x, call.rope->cos(position), call.rope->sin(position), call.rope->half());
  }
  if (call.cache == nullptr) return;
  const float* key = query + config_.query_width();
  const uint64_t kept = (row / call.length * call.cache->capacity + position) * config_.kv_width();
  std::copy_n(key, config_.kv_width(), call.cache->key + kept);
  std::copy_n(key + config_.kv_width(), config_.kv_width(), call.cache->value + kept);
}

void LayerPass::Attend(const LayerCall& call) {
  const uint64_t group = config_.group(), at_once = Attention::TileQueries(group), tiles = DivideUp(call.length, at_once),
                 stride = config_.qkv_width(), width = config_.head_width;
  pool_.Run(call.windows * config_.kv_heads * tiles, [&](uint64_t i, int thread) {
      // The last queries see the most keys: they go first, so that threads end at about the same time.
      const uint64_t tile = tiles - 1 - i % tiles, head = i / tiles % config_.kv_heads, window = i / tiles / config_.kv_heads;
      const uint64_t row = window * call.length + tile * at_once;
      const float* batch = qkv_.data() + window * call.length * stride + config_.query_width() + head * width;
      AttentionTask task{};
      task.query = qkv_.data() + row * stride + head * group * width;
      task.query_stride = task.key_stride = task.value_stride = stride;
      task.key = batch;
      task.value = batch + config_.kv_width();
      task.out = attended_.data() + row * config_.query_width() + head * group * width;
      task.out_stride = config_.query_width();
      task.first = tile * at_once;
      task.count = std::min(at_once, call.length - task.first);
      task.window = config_.WindowOf(call.layer);
      task.group = group;
      task.head_width = width;
      task.scale = config_.score_scale;
      if (call.cache != nullptr) {
        const uint64_t kept = window * call.cache->capacity * config_.kv_width() + head * width;
        task.key = call.cache->key + kept;
        task.value = call.cache->value + kept;
        task.key_stride = task.value_stride = config_.kv_width();
        task.first += call.cache->first;
      }
      attention_[thread].Run(task);
      return absl::OkStatus();
    }).IgnoreError();
}

void LayerPass::AddProjection(const LayerCall& call, const Matrix& matrix, const Norm& post_norm, Rows x, uint64_t first,
                              uint64_t rows) {
  float* hidden = call.hidden + first * config_.width;
  const Tiling tiling(rows, config_.width, call.windows * call.length);
  pool_.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, count, column, columns] = tiling[i];
      const Rows from{x.at(row), x.stride};
      if (config_.post_norms) {
        Project(matrix, from, count, column, columns, {added_.data() + row * config_.width + column, config_.width});
      } else {
        ProjectAndAdd(matrix, from, count, column, columns, {hidden + row * config_.width + column, config_.width});
      }
      return absl::OkStatus();
    }).IgnoreError();
  if (!config_.post_norms) return;
  NormRows(post_norm, added_.data(), rows, added_.data());
  ForRows(rows, [&](uint64_t row) {
    ActiveKernels().add(added_.data() + row * config_.width, config_.width, hidden + row * config_.width);
  });
}

void LayerPass::AddAttention(const LayerCall& call, uint64_t first, uint64_t rows) {
  const Rows attended{attended_.data() + first * config_.query_width(), config_.query_width()};
  AddProjection(call, call.weights->output, call.weights->post_attention_norm, attended, first, rows);
}

// Columns of gate and up side by side in the thread's memory, and their product's activation into activated_.
void LayerPass::FfnTile(const LayerCall& call, const Tiling::Tile& tile, int thread) {
  const Kernels& kernels = ActiveKernels();
  const Matrix& matrix = call.weights->ffn_in;
  const Rows from{normed_.data() + tile.row * config_.width, config_.width};
  const Rows to{activated_.data() + tile.row * config_.ffn + tile.column, config_.ffn};
  const uint64_t stride = 2 * tile.columns;
  float* scratch = Room(ffn_[thread], tile.rows * stride);
  Project(matrix, from, tile.rows, tile.column, tile.columns, {scratch, stride});
  if (config_.gated) Project(matrix, from, tile.rows, config_.ffn + tile.column, tile.columns, {scratch + tile.columns, stride});
  for (uint64_t r = 0; r < tile.rows; ++r) {
    const float *x = scratch + r * stride, *up = x + tile.columns;
    if (!config_.gated) kernels.gelu(x, tile.columns, to.at(r));
    else if (config_.gelu) kernels.gelu_gate(x, up, tile.columns, to.at(r));
    else kernels.silu_gate(x, up, tile.columns, to.at(r));
  }
}

void LayerPass::FeedForward(const LayerCall& call, uint64_t first, uint64_t rows) {
  NormRows(call.weights->ffn_norm, call.hidden + first * config_.width, rows, normed_.data());
  if (config_.experts > 0) {
    experts_.Run({call.layer, call.weights, normed_.data(), rows, call.hidden + first * config_.width, call.tap, call.router});
    return;
  }
  Tap(call, "ffn_in", normed_, config_.width);
  const Tiling tiling(rows, config_.ffn, call.windows * call.length);
  pool_.Run(tiling.tiles(), [&](uint64_t i, int thread) {
      FfnTile(call, tiling[i], thread);
      return absl::OkStatus();
    }).IgnoreError();
  Tap(call, "ffn_down_in", activated_, config_.ffn);
  AddProjection(call, call.weights->ffn_down, call.weights->post_ffn_norm, {activated_.data(), config_.ffn}, first, rows);
}

bool LayerPass::Finite(const LayerCall& call) {
  std::atomic<bool> finite{true};
  ForRows(call.windows * call.length, [&](uint64_t row) {
    if (!ActiveKernels().finite(call.hidden + row * config_.width, config_.width)) finite = false;
  });
  return finite;
}

}  // namespace nashswarm::forward
