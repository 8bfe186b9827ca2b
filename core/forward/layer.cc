#include "core/forward/layer.h"

#include <algorithm>
#include <atomic>

#include "core/base/status.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"

namespace nashswarm::forward {
namespace {

// Rows whose feed-forward activations are kept at a time; a multiple of Tiling's blocks of rows.
constexpr uint64_t kPortionRows = 2048;

std::unique_ptr<Block> MakeBlock(const ModelConfig& config, const BranchConfig& branch, ThreadPool& pool) {
  switch (branch.block) {
    case BranchConfig::Block::kAttention:
      return std::make_unique<AttentionBlock>(config.attention, pool);
    case BranchConfig::Block::kMlp:
      return std::make_unique<MlpBlock>(config.mlp, pool);
    case BranchConfig::Block::kExperts:
      return std::make_unique<ExpertsBlock>(config.experts, pool);
  }
  return nullptr;
}

// What every branch of a layer is told.
template <typename Call>
BlockCall AllBranches(const Call& call, Residual* residual) {
  BlockCall block;
  block.layer = call.layer;
  block.windows = call.windows;
  block.length = call.length;
  block.residual = residual;
  block.portion = std::min(block.rows(), kPortionRows);
  return block;
}

}  // namespace

Layer::Layer(const ModelConfig& config, ThreadPool& pool)
    : config_(config),
      pool_(pool),
      residual_(config.norm, config.width, pool),
      residual_gradient_(config.norm, config.width, pool),
      behind_(config.branches.size()) {
  for (const BranchConfig& branch : config.branches) blocks_.push_back(MakeBlock(config, branch, pool));
}

Slots Layer::SlotsOf(uint64_t layer, LayerWeights* to) const {
  Slots slots(layer);
  to->branches.resize(blocks_.size());
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const model::BranchDesign& wiring = config_.branches[b].wiring;
    LayerWeights::Branch& branch = to->branches[b];
    if (!wiring.norm.empty()) AddNorm(config_.norm, std::string(wiring.norm), config_.width, &branch.norms.before, &slots);
    if (branch.block == nullptr) branch.block = blocks_[b]->MakeWeights();
    blocks_[b]->AddSlots(branch.block.get(), &slots);
    if (!wiring.post_norm.empty()) AddNorm(config_.norm, std::string(wiring.post_norm), config_.width, &branch.norms.after, &slots);
  }
  return slots;
}

absl::Status Layer::Check(const Weights& weights, uint64_t layer) const {
  LayerWeights unused;
  return SlotsOf(layer, &unused).Check(weights);
}

absl::Status Layer::Load(const Weights& weights, uint64_t layer, LayerWeights* to) const {
  return SlotsOf(layer, to).Load(weights, pool_);
}

std::string Layer::NonFiniteTensor(const Weights& weights, uint64_t layer) const {
  LayerWeights unused;
  return SlotsOf(layer, &unused).NonFinite(weights);
}

LayerState Layer::MakeState(uint64_t windows, uint64_t capacity) const {
  LayerState state;
  for (const auto& block : blocks_) state.branches.emplace_back(windows * block->StateFloats(capacity));
  return state;
}

uint64_t Layer::StateFloats(uint64_t capacity) const {
  uint64_t floats = 0;
  for (const auto& block : blocks_) floats += block->StateFloats(capacity);
  return floats;
}

bool Layer::Finite(const float* x, uint64_t rows) const {
  std::atomic<bool> finite{true};
  ForRows(pool_, rows, [&](uint64_t row, int) {
    if (!ActiveKernels().finite(x + row * config_.width, config_.width)) finite = false;
  });
  return finite;
}

bool Layer::Forward(const LayerCall& call) {
  const uint64_t rows = call.windows * call.length, values = rows * config_.width;
  BlockCall block = AllBranches(call, &residual_);
  // A tap hears an input whole, and a router sees all tokens, so nothing is done in portions then.
  if (call.tap != nullptr || call.router != nullptr) block.portion = rows;
  block.tap = call.tap;
  block.router = call.router;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const bool first_of_some = IsSideBySide(b) && !config_.branches[b].wiring.parallel;
    if (first_of_some) std::copy_n(call.hidden, values, Room(beside_, values));
    const bool beside = first_of_some || config_.branches[b].wiring.parallel;
    residual_.Enter(call.weights->branches[b].norms, beside ? beside_.data() : call.hidden, call.hidden, rows);
    block.weights = call.weights->branches[b].block.get();
    BlockState state{};
    if (call.state != nullptr) state = {call.state->branches[b].data(), call.capacity, call.first};
    block.state = call.state != nullptr ? &state : nullptr;
    blocks_[b]->Forward(block);
  }
  return Finite(call.hidden, rows);
}

size_t Layer::ReadsWith(size_t branch) const {
  while (config_.branches[branch].wiring.parallel) --branch;
  return branch;
}

void Layer::RunAgain(const LayerGradientCall& call) {
  const uint64_t rows = call.windows * call.length, values = rows * config_.width;
  BlockCall block = AllBranches(call, &residual_);
  block.keep = true;
  const float* from = call.input;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const bool last = b + 1 == blocks_.size();
    if (last && !blocks_[b]->keeps()) break;
    // What this branch adds to: what the next one reads. After the last branch nobody does, but the block has to run.
    float* to = Room(behind_[b], values);
    const float* before = b == 0 || ReadsWith(b) == 0 ? call.input : behind_[ReadsWith(b) - 1].data();
    std::copy_n(from, values, to);
    residual_.Enter(call.weights->branches[b].norms, before, to, rows);
    block.weights = call.weights->branches[b].block.get();
    blocks_[b]->Forward(block);
    from = to;
  }
}

bool Layer::Backward(const LayerGradientCall& call) {
  const uint64_t rows = call.windows * call.length, values = rows * config_.width;
  RunAgain(call);
  BlockGradientCall block;
  block.layer = call.layer;
  block.windows = call.windows;
  block.length = call.length;
  block.residual = &residual_gradient_;
  block.tap = call.tap;
  for (size_t b = blocks_.size(); b-- > 0;) {
    const bool parallel = config_.branches[b].wiring.parallel, beside = parallel || IsSideBySide(b);
    if (parallel && !IsSideBySide(b)) std::copy_n(call.gradient, values, Room(at_output_, values));
    const float* from = ReadsWith(b) == 0 ? call.input : behind_[ReadsWith(b) - 1].data();
    residual_gradient_.Enter(call.weights->branches[b].norms, from, beside ? at_output_.data() : call.gradient, call.gradient);
    block.weights = call.weights->branches[b].block.get();
    blocks_[b]->Backward(block);
  }
  return Finite(call.gradient, rows);
}

namespace {

// The sum over branches of what `of` gives for each block's configuration.
template <typename Of>
uint64_t Sum(const ModelConfig& config, Of of) {
  uint64_t sum = 0;
  for (const BranchConfig& branch : config.branches) {
    switch (branch.block) {
      case BranchConfig::Block::kAttention:
        sum += of(config.attention, /*in_portions=*/false);
        break;
      case BranchConfig::Block::kMlp:
        sum += of(config.mlp, true);
        break;
      case BranchConfig::Block::kExperts:
        sum += of(config.experts, true);
        break;
    }
  }
  return sum;
}

}  // namespace

uint64_t LayerWeightFloats(const ModelConfig& config) {
  return Sum(config, [](const auto& block, bool) { return block.weight_floats(); });
}

uint64_t LayerActivationFloats(const ModelConfig& config, uint64_t rows, uint64_t portion) {
  const uint64_t residual = 2 * portion * config.width;
  return residual + Sum(config, [&](const auto& block, bool in_portions) { return block.activation_floats(in_portions ? portion : rows); });
}

uint64_t LayerGradientFloats(const ModelConfig& config, uint64_t rows) {
  const uint64_t streams = (config.branches.size() + 1) * rows * config.width;  // behind each branch, and behind norms
  return streams + Sum(config, [&](const auto& block, bool) { return block.gradient_floats(rows); });
}

}  // namespace nashswarm::forward
