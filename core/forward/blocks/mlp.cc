#include "core/forward/blocks/mlp.h"

#include <algorithm>

#include "core/forward/derivatives.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

using model::Activation;

constexpr LinearInput kInputs[] = {{"ffn_gate", "ffn_in"}, {"ffn_up", "ffn_in"}, {"ffn_down", "ffn_down_in"}};

}  // namespace

MlpConfig ReadMlp(const model::MlpDesign& design, uint64_t width, Hyperparameters* read) {
  return {design, width, read->Count("feed_forward_length")};
}

absl::Span<const LinearInput> MlpInputs() { return kInputs; }

void Activate(const model::MlpDesign& design, const float* x, const float* up, uint64_t n, float* y) {
  const Kernels& kernels = ActiveKernels();
  switch (design.activation) {
    case Activation::kSilu:
      return design.gated ? kernels.silu_gate(x, up, n, y) : kernels.silu(x, n, y);
    case Activation::kGelu:
      return design.gated ? kernels.gelu_gate(x, up, n, y) : kernels.gelu(x, n, y);
    case Activation::kReluSquared:
      return design.gated ? kernels.relu_squared_gate(x, up, n, y) : kernels.relu_squared(x, n, y);
  }
}

std::unique_ptr<BlockWeights> MlpBlock::MakeWeights() const { return std::make_unique<MlpWeights>(); }

void MlpBlock::AddSlots(BlockWeights* weights, Slots* slots) const {
  auto* to = static_cast<MlpWeights*>(weights);
  const uint64_t gate = config_.design.gated ? config_.hidden : 0;
  SetExtents(gate + config_.hidden, config_.width, &to->in);
  if (gate > 0) slots->AddLinear("ffn_gate", gate, 0, &to->in);
  slots->AddLinear("ffn_up", config_.hidden, gate, &to->in);
  SetExtents(config_.width, config_.hidden, &to->down);
  slots->AddLinear("ffn_down", config_.width, 0, &to->down);
}

void MlpBlock::Forward(const BlockCall& call) {
  for (uint64_t first = 0; first < call.rows(); first += call.portion) {
    ForwardRows(call, first, std::min(call.portion, call.rows() - first));
  }
}

void MlpBlock::ForwardRows(const BlockCall& call, uint64_t first, uint64_t rows) {
  const float* normed = call.residual->Read(first, rows);
  call.Tell("ffn_in", normed, rows, config_.width);
  Room(activated_, rows * config_.hidden);
  const Tiling tiling(rows, config_.hidden, call.rows());
  pool_.Run(tiling.tiles(), [&](uint64_t i, int thread) {
      ActivateTile(Of(call.weights).in, normed, tiling[i], thread);
      return absl::OkStatus();
    }).IgnoreError();
  call.Tell("ffn_down_in", activated_.data(), rows, config_.hidden);
  call.residual->Add(Of(call.weights).down, {activated_.data(), config_.hidden}, first, rows);
}

// Columns of gate and up side by side in the thread's memory, and their product's activation into activated_.
void MlpBlock::ActivateTile(const Matrix& in, const float* normed, const Tiling::Tile& tile, int thread) {
  const Rows from{const_cast<float*>(normed) + tile.row * config_.width, config_.width};
  const Rows to{activated_.data() + tile.row * config_.hidden + tile.column, config_.hidden};
  const uint64_t stride = 2 * tile.columns;
  float* scratch = Room(tiles_[thread], tile.rows * stride);
  Project(in, from, tile.rows, tile.column, tile.columns, {scratch, stride});
  if (config_.design.gated) {
    Project(in, from, tile.rows, config_.hidden + tile.column, tile.columns, {scratch + tile.columns, stride});
  }
  for (uint64_t r = 0; r < tile.rows; ++r) {
    const float* x = scratch + r * stride;
    Activate(config_.design, x, x + tile.columns, tile.columns, to.at(r));
  }
}

void MlpBlock::Backward(const BlockGradientCall& call) {
  for (uint64_t first = 0; first < call.rows(); first += kPortionBack) {
    BackwardRows(call, first, std::min(kPortionBack, call.rows() - first));
  }
}

void MlpBlock::BackwardRows(const BlockGradientCall& call, uint64_t first, uint64_t rows) {
  const MlpWeights& weights = Of(call.weights);
  const uint64_t width = config_.width, hidden = config_.hidden, inner = weights.in.outputs;
  float *normed = Room(normed_, rows * width), *in = Room(in_, rows * inner), *activated = Room(activated_, rows * hidden);
  call.residual->Read(first, rows, normed);
  ProjectRows(pool_, weights.in, {normed, width}, rows, {in, inner});
  if (call.residual->needs_output()) {
    ForRows(pool_, rows, [&](uint64_t row, int) {
      const float* x = in + row * inner;
      Activate(config_.design, x, x + hidden, hidden, activated + row * hidden);
    });
    ProjectRows(pool_, weights.down, {activated, hidden}, rows, {Room(down_, rows * width), width});
  }
  const float* gradient = call.residual->AtOutput(first, rows, down_.data());
  call.Tell("ffn_down", {gradient, width, first, rows, width});

  ProjectBack(pool_, weights.down, {const_cast<float*>(gradient), width}, rows, {activated, hidden});
  const bool gated = config_.design.gated;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float *x = in + row * inner, *g = activated + row * hidden;
    gated ? GateDerivative(config_.design.activation, g, hidden, x, x + hidden)
          : ActivationDerivative(config_.design.activation, g, hidden, x);
  });
  if (gated) call.Tell("ffn_gate", {in, inner, first, rows, hidden});
  call.Tell("ffn_up", {in + (gated ? hidden : 0), inner, first, rows, hidden});
  ProjectBack(pool_, weights.in, {in, inner}, rows, {normed, width});
  call.residual->AddAtInput(first, rows, normed);
}

}  // namespace nashswarm::forward
