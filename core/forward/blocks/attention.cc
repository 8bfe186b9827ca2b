#include "core/forward/blocks/attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"
#include "core/forward/tiling.h"

namespace nashswarm::forward {
namespace {

using model::HeadNorms;
using model::Rotation;

constexpr LinearInput kInputs[] = {{"attn_q", "attn_in"},
                                   {"attn_k", "attn_in"},
                                   {"attn_v", "attn_in"},
                                   {"attn_qkv", "attn_in"},
                                   {"attn_output", "attn_output_in"}};

void ReadHeads(AttentionConfig* config, Hyperparameters* read) {
  config->heads = read->Count("attention.head_count");
  config->kv_heads = read->CountOr("attention.head_count_kv", config->heads);
  config->head_width = read->CountOr("attention.key_length", config->width / config->heads);
  if (config->heads % config->kv_heads != 0) read->Fail("'attention.head_count' is no multiple of 'attention.head_count_kv'");
  if (read->CountOr("attention.value_length", config->head_width) != config->head_width) {
    read->Fail("'attention.value_length' differs from 'attention.key_length'");
  }
  if (config->head_width == 0 ||
      (config->design.fused && (config->heads != config->kv_heads || config->head_width * config->heads != config->width))) {
    read->Fail("'attention.head_count' does not divide 'embedding_length'");
  }
  const double root = std::sqrt(static_cast<double>(std::max<uint64_t>(config->head_width, 1)));
  config->score_scale = static_cast<float>(read->RealOr("attention.scale", 1 / root));
}

RopeScaling ReadRopeScaling(uint64_t context, Hyperparameters* read) {
  RopeScaling scaling;
  const std::string kind = read->Text("rope.scaling.type");
  if (kind.empty() || kind == "none") return scaling;
  if (kind != "linear" && kind != "yarn") {
    read->Fail(absl::StrCat("unknown 'rope.scaling.type' ", kind));
    return scaling;
  }
  scaling.kind = kind == "linear" ? RopeScaling::Kind::kLinear : RopeScaling::Kind::kYarn;
  scaling.factor = read->RealOr("rope.scaling.factor", 1);
  scaling.original_context = static_cast<double>(read->CountOr("rope.scaling.original_context_length", context));
  scaling.attention_factor = read->RealOr("rope.scaling.attn_factor", 1);
  scaling.beta_fast = read->RealOr("rope.scaling.yarn_beta_fast", 32);
  scaling.beta_slow = read->RealOr("rope.scaling.yarn_beta_slow", 1);
  return scaling;
}

void ReadRope(uint64_t context, AttentionConfig* config, Hyperparameters* read) {
  if (config->design.rotation == Rotation::kNone) return;
  RopeConfig& rope = config->rope;
  rope.width = read->CountOr("rope.dimension_count", config->head_width);
  rope.base = read->RealOr("rope.freq_base", 10000);
  if (rope.width % 2 != 0 || rope.width > config->head_width) {
    read->Fail("'rope.dimension_count' is not an even number within a head");
  }
  rope.scaling = ReadRopeScaling(context, read);
  RopeConfig& local = config->window_rope;
  local = rope;
  local.base = read->RealOr("rope.freq_base_swa", config->design.window_rope_base > 0 ? config->design.window_rope_base : rope.base);
  if (!config->design.window_rope_scaling) local.scaling = {};
}

void ReadWindow(AttentionConfig* config, Hyperparameters* read) {
  constexpr char kWindow[] = "attention.sliding_window";
  config->window = config->design.needs_window ? read->Count(kWindow) : read->CountOr(kWindow, 0);
  config->sliding = read->AllButEvery("attention.sliding_window_pattern", config->layers, config->design.window_period);
}

}  // namespace

AttentionConfig ReadAttention(const model::AttentionDesign& design, const NormConfig& norm, uint64_t layers, uint64_t width,
                              uint64_t context, Hyperparameters* read) {
  AttentionConfig config;
  config.design = design;
  config.layers = layers;
  config.width = width;
  config.epsilon = norm.epsilon;
  ReadHeads(&config, read);
  // Each factor is below 2^31, so nothing overflows.
  if (config.qkv_width() > kMaxExtent) read->Fail("a layer is beyond all measure");
  if (read->ok()) ReadRope(context, &config, read);
  if (read->ok()) ReadWindow(&config, read);
  return config;
}

absl::Status ReadRopeDivisors(const Weights& weights, AttentionConfig* config) {
  constexpr std::string_view kTensor = "rope_freqs.weight";
  if (weights.Find(kTensor) == nullptr || config->design.rotation == Rotation::kNone) return absl::OkStatus();
  const uint64_t count = config->rope.width / 2;
  NS_RETURN_IF_ERROR(CheckTensor(weights, kTensor, 1, count));
  std::vector<float> divisors(count);
  NS_RETURN_IF_ERROR(weights.Read(kTensor, 0, 1, divisors.data()));
  for (const float divisor : divisors) {
    if (std::isfinite(divisor) && divisor > 0) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     absl::StrCat(weights.name(), ": '", ToAbsl(kTensor), "' has a value that is not positive"));
  }
  config->rope.divisors = config->window_rope.divisors = std::move(divisors);
  return absl::OkStatus();
}

absl::Span<const LinearInput> AttentionInputs() { return kInputs; }

AttentionBlock::AttentionBlock(const AttentionConfig& config, ThreadPool& pool)
    : config_(config),
      pool_(pool),
      rope_(config.rope),
      window_rope_(config.window_rope),
      attention_(pool.threads()),
      sines_(pool.threads()),
      attention_back_(pool.threads()) {}

std::unique_ptr<BlockWeights> AttentionBlock::MakeWeights() const { return std::make_unique<AttentionWeights>(); }

void AttentionBlock::AddSlots(BlockWeights* weights, Slots* slots) const {
  auto* to = static_cast<AttentionWeights*>(weights);
  const HeadNorms norms = config_.design.norms;
  if (norms != HeadNorms::kNone) {
    slots->AddVector("attn_q_norm.weight", norms == HeadNorms::kAll ? config_.query_width() : config_.head_width, &to->query_norm.weight);
    slots->AddVector("attn_k_norm.weight", norms == HeadNorms::kAll ? config_.kv_width() : config_.head_width, &to->key_norm.weight);
  }
  SetExtents(config_.qkv_width(), config_.width, &to->qkv);
  if (config_.design.fused) {
    slots->AddLinear("attn_qkv", config_.qkv_width(), 0, &to->qkv);
  } else {
    slots->AddLinear("attn_q", config_.query_width(), 0, &to->qkv);
    slots->AddLinear("attn_k", config_.kv_width(), config_.query_width(), &to->qkv);
    slots->AddLinear("attn_v", config_.kv_width(), config_.query_width() + config_.kv_width(), &to->qkv);
  }
  SetExtents(config_.width, config_.query_width(), &to->output);
  slots->AddLinear("attn_output", config_.width, 0, &to->output);
}

const RopeTable* AttentionBlock::RopeOf(uint64_t layer, uint64_t positions) {
  if (!config_.Rotates(layer)) return nullptr;
  RopeTable& rope = config_.WindowOf(layer) > 0 ? window_rope_ : rope_;
  rope.Cover(positions);
  return &rope;
}

void AttentionBlock::Forward(const BlockCall& call) {
  const uint64_t rows = call.rows(), width = config_.qkv_width();
  const RopeTable* rope = RopeOf(call.layer, call.length + (call.state != nullptr ? call.state->first : 0));
  Room(qkv_, rows * width);
  Room(attended_, rows * config_.query_width());
  for (uint64_t first = 0; first < rows; first += call.portion) QueryKeyValue(call, first, std::min(call.portion, rows - first));
  if (call.keep && config_.design.norms != HeadNorms::kNone) raw_.assign(qkv_.begin(), qkv_.begin() + static_cast<ptrdiff_t>(rows * width));
  ForRows(pool_, rows, [&](uint64_t row, int) { RotateRow(call, rope, row); });
  Attend(call);
  call.Tell("attn_output_in", attended_.data(), rows, config_.query_width());
  for (uint64_t first = 0; first < rows; first += call.portion) {
    const Rows attended{attended_.data() + first * config_.query_width(), config_.query_width()};
    call.residual->Add(Of(call.weights).output, attended, first, std::min(call.portion, rows - first));
  }
}

void AttentionBlock::QueryKeyValue(const BlockCall& call, uint64_t first, uint64_t rows) {
  float* normed = const_cast<float*>(call.residual->Read(first, rows));
  call.Tell("attn_in", normed, rows, config_.width);
  const Rows from{normed, config_.width}, to{qkv_.data() + first * config_.qkv_width(), config_.qkv_width()};
  const Tiling tiling(rows, config_.qkv_width(), call.rows());
  pool_.Run(tiling.tiles(), [&](uint64_t i, int) {
      const auto [row, count, column, columns] = tiling[i];
      Project(Of(call.weights).qkv, {from.at(row), from.stride}, count, column, columns, {to.at(row) + column, to.stride});
      return absl::OkStatus();
    }).IgnoreError();
}

void AttentionBlock::RotateRow(const BlockCall& call, const RopeTable* rope, uint64_t row) {
  const Kernels& kernels = ActiveKernels();
  const AttentionWeights& weights = Of(call.weights);
  const uint64_t width = config_.head_width, position = row % call.length + (call.state != nullptr ? call.state->first : 0);
  float *query = qkv_.data() + row * config_.qkv_width(), *key = query + config_.query_width();
  if (config_.design.norms == HeadNorms::kAll) {
    kernels.rms_norm(query, weights.query_norm.weight.data(), config_.epsilon, config_.query_width(), query);
    kernels.rms_norm(key, weights.key_norm.weight.data(), config_.epsilon, config_.kv_width(), key);
  }
  const auto rotate = config_.design.rotation == Rotation::kHalves ? kernels.rotate_halves : kernels.rotate_pairs;
  for (uint64_t head = 0; head < config_.heads + config_.kv_heads; ++head) {
    float* x = query + head * width;
    if (config_.design.norms == HeadNorms::kEach) {
      const Norm& norm = head < config_.heads ? weights.query_norm : weights.key_norm;
      kernels.rms_norm(x, norm.weight.data(), config_.epsilon, width, x);
    }
    if (rope != nullptr) rotate(x, rope->cos(position), rope->sin(position), rope->half());
  }
  if (call.state == nullptr) return;
  const uint64_t kept = (row / call.length * call.state->capacity + position) * config_.kv_width();
  std::copy_n(key, config_.kv_width(), Keys(*call.state) + kept);
  std::copy_n(key + config_.kv_width(), config_.kv_width(), Values(*call.state, call.windows) + kept);
}

void AttentionBlock::Attend(const BlockCall& call) {
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
      if (call.state != nullptr) {
        const uint64_t kept = window * call.state->capacity * config_.kv_width() + head * width;
        task.key = Keys(*call.state) + kept;
        task.value = Values(*call.state, call.windows) + kept;
        task.key_stride = task.value_stride = config_.kv_width();
        task.first += call.state->first;
      }
      attention_[thread].Run(task);
      return absl::OkStatus();
    }).IgnoreError();
}

void AttentionBlock::Backward(const BlockGradientCall& call) {
  OutputBack(call);
  AttendBack(call);
  QueryKeyValueBack(call);
}

void AttentionBlock::OutputBack(const BlockGradientCall& call) {
  const Matrix& matrix = Of(call.weights).output;
  const uint64_t rows = call.rows(), width = config_.width, query = config_.query_width();
  if (call.residual->needs_output()) {
    ProjectRows(pool_, matrix, {attended_.data(), query}, rows, {Room(output_, rows * width), width});
  }
  const float* gradient = call.residual->AtOutput(0, rows, output_.data());
  call.Tell("attn_output", {gradient, width, 0, rows, width});
  ProjectBack(pool_, matrix, {const_cast<float*>(gradient), width}, rows, {Room(attended_back_, rows * query), query});
}

void AttentionBlock::AttendBack(const BlockGradientCall& call) {
  const uint64_t stride = config_.qkv_width(), width = config_.head_width, query = config_.query_width();
  float* gradients = Room(qkv_back_, call.rows() * stride);
  pool_.Run(call.windows * config_.kv_heads, [&](uint64_t i, int thread) {
      const uint64_t head = i % config_.kv_heads, row = i / config_.kv_heads * call.length;
      const uint64_t queries = row * stride + head * config_.group() * width, keys = row * stride + query + head * width,
                     values = keys + config_.kv_width();
      AttentionGradientTask task{};
      task.query = qkv_.data() + queries;
      task.key = qkv_.data() + keys;
      task.value = qkv_.data() + values;
      task.query_gradient = gradients + queries;
      task.key_gradient = gradients + keys;
      task.value_gradient = gradients + values;
      task.stride = stride;
      task.out_gradient = attended_back_.data() + row * query + head * config_.group() * width;
      task.out_stride = query;
      task.length = call.length;
      task.window = config_.WindowOf(call.layer);
      task.group = config_.group();
      task.head_width = width;
      task.scale = config_.score_scale;
      attention_back_[thread].Run(task);
      return absl::OkStatus();
    }).IgnoreError();
}

// A rotation's derivative is the rotation back; a scaling in the table scales both ways.
void AttentionBlock::RotateRowBack(const BlockGradientCall& call, const RopeTable* rope, uint64_t row, int thread) {
  const Kernels& kernels = ActiveKernels();
  const AttentionWeights& weights = Of(call.weights);
  const uint64_t width = config_.head_width, position = row % call.length, at = row * config_.qkv_width();
  std::vector<float>& sines = sines_[thread];
  if (rope != nullptr) {
    sines.assign(rope->sin(position), rope->sin(position) + rope->half());
    for (float& sine : sines) sine = -sine;
  }
  const auto rotate = config_.design.rotation == Rotation::kHalves ? kernels.rotate_halves : kernels.rotate_pairs;
  for (uint64_t head = 0; head < config_.heads + config_.kv_heads; ++head) {
    float* g = qkv_back_.data() + at + head * width;
    if (rope != nullptr) rotate(g, rope->cos(position), sines.data(), rope->half());
    if (config_.design.norms != HeadNorms::kEach) continue;
    const Norm& norm = head < config_.heads ? weights.query_norm : weights.key_norm;
    RmsNormDerivative(raw_.data() + at + head * width, norm.weight.data(), config_.epsilon, width, g);
  }
  if (config_.design.norms != HeadNorms::kAll) return;
  const uint64_t query = config_.query_width();
  RmsNormDerivative(raw_.data() + at, weights.query_norm.weight.data(), config_.epsilon, query, qkv_back_.data() + at);
  RmsNormDerivative(raw_.data() + at + query, weights.key_norm.weight.data(), config_.epsilon, config_.kv_width(),
                    qkv_back_.data() + at + query);
}

void AttentionBlock::QueryKeyValueBack(const BlockGradientCall& call) {
  const uint64_t rows = call.rows(), width = config_.width, query = config_.query_width(), kv = config_.kv_width(),
                 stride = config_.qkv_width();
  const RopeTable* rope = RopeOf(call.layer, call.length);
  ForRows(pool_, rows, [&](uint64_t row, int thread) { RotateRowBack(call, rope, row, thread); });
  if (config_.design.fused) {
    call.Tell("attn_qkv", {qkv_back_.data(), stride, 0, rows, stride});
  } else {
    call.Tell("attn_q", {qkv_back_.data(), stride, 0, rows, query});
    call.Tell("attn_k", {qkv_back_.data() + query, stride, 0, rows, kv});
    call.Tell("attn_v", {qkv_back_.data() + query + kv, stride, 0, rows, kv});
  }
  float* at_input = Room(input_back_, rows * width);
  ProjectBack(pool_, Of(call.weights).qkv, {qkv_back_.data(), stride}, rows, {at_input, width});
  call.residual->AddAtInput(0, rows, at_input);
}

}  // namespace nashswarm::forward
