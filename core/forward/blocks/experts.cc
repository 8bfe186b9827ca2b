#include "core/forward/blocks/experts.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/forward/blocks/mlp.h"
#include "core/forward/kernels.h"
#include "core/forward/linear.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"
#include "core/model/architecture.h"

namespace nashswarm::forward {
namespace {

// As in tiling.cc: BLAS copies the matrix into its own order on every call, and so many rows share that copy.
constexpr uint64_t kBlockRows = 256;

constexpr LinearInput kInputs[] = {{"ffn_gate_shexp", "ffn_in"},
                                   {"ffn_up_shexp", "ffn_in"},
                                   {"ffn_down_shexp", "ffn_down_shexp_in"}};  // those of experts are named as an MLP's

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

uint64_t ExpertsConfig::hidden_units() const { return std::max(used * hidden, shared_hidden); }

ExpertsConfig ReadExperts(const model::Design& design, uint64_t width, Hyperparameters* read) {
  ExpertsConfig config;
  if (!design.experts.required && !read->Has("expert_count")) return config;
  config.mlp = design.mlp;
  config.width = width;
  config.count = read->Count("expert_count");
  config.used = read->Count("expert_used_count");
  if (config.count > model::kMaxExperts || config.used > config.count) {
    read->Fail("'expert_used_count' is more than 'expert_count', or that is beyond all measure");
    return config;
  }
  const uint64_t of_layer = read->Count("feed_forward_length");
  config.hidden = design.experts.own_width ? read->CountOr("expert_feed_forward_length", std::max<uint64_t>(1, of_layer / config.used))
                                           : of_layer;
  if (design.experts.shared) config.shared_hidden = read->CountOr("expert_shared_feed_forward_length", of_layer);
  config.normalized = read->Flag("expert_weights_norm", design.experts.normalized);
  return config;
}

absl::Span<const LinearInput> ExpertsInputs() { return kInputs; }

ExpertsBlock::ExpertsBlock(const ExpertsConfig& config, ThreadPool& pool) : config_(config), pool_(pool), tiles_(pool.threads()) {}

std::unique_ptr<BlockWeights> ExpertsBlock::MakeWeights() const { return std::make_unique<ExpertsWeights>(); }

void ExpertsBlock::AddSlots(BlockWeights* weights, Slots* slots) const {
  auto* to = static_cast<ExpertsWeights*>(weights);
  SetExtents(config_.count, config_.width, &to->router);
  slots->AddMatrix("ffn_gate_inp", config_.count, 0, &to->router);
  to->experts.resize(config_.count);
  for (uint64_t e = 0; e < config_.count; ++e) AddExpert(absl::StrCat(".", e), config_.hidden, &to->experts[e], slots);
  if (config_.shared_hidden == 0) return;
  AddExpert("_shexp", config_.shared_hidden, &to->shared, slots);
  slots->AddVector("ffn_gate_inp_shexp.weight", config_.width, &to->shared_gate);
}

void ExpertsBlock::AddExpert(const std::string& which, uint64_t hidden, Expert* to, Slots* slots) const {
  SetExtents(2 * hidden, config_.width, &to->in);
  slots->AddMatrix("ffn_gate" + which, hidden, 0, &to->in);
  slots->AddMatrix("ffn_up" + which, hidden, hidden, &to->in);
  SetExtents(config_.width, hidden, &to->down);
  slots->AddMatrix("ffn_down" + which, config_.width, 0, &to->down);
}

template <typename Body>
void ExpertsBlock::ForBlocks(Body body) {
  struct RowBlock {
    uint64_t expert, first, rows;
  };
  std::vector<RowBlock> blocks;
  for (uint64_t e = 0; e < config_.count; ++e) {
    for (uint64_t first = groups_.first[e]; first < groups_.first[e + 1]; first += kBlockRows) {
      blocks.push_back({e, first, std::min(kBlockRows, groups_.first[e + 1] - first)});
    }
  }
  // The largest first, so that threads end at about the same time.
  std::stable_sort(blocks.begin(), blocks.end(), [](const RowBlock& a, const RowBlock& b) { return a.rows > b.rows; });
  pool_.Run(blocks.size(), [&](uint64_t i, int thread) {
      body(blocks[i].expert, blocks[i].first, blocks[i].rows, thread);
      return absl::OkStatus();
    }).IgnoreError();
}

void ExpertsBlock::Forward(const BlockCall& call) {
  Enter(call.weights);
  for (uint64_t first = 0; first < call.rows(); first += call.portion) {
    const uint64_t rows = std::min(call.portion, call.rows() - first);
    const float* normed = call.residual->Read(first, rows);
    ForwardRows(call, normed, rows, call.residual->Begin(first, rows));
    call.residual->End(first, rows);
  }
}

void ExpertsBlock::ForwardRows(const BlockCall& call, const float* normed, uint64_t rows, float* to) {
  call.Tell("ffn_in", normed, rows, config_.width);
  Route(call, normed, rows);
  if (call.tap != nullptr) call.tap->Experts(call.layer, choices_.expert.data(), choices_.tokens, choices_.used);
  Gather(normed);
  ActivateExperts();
  if (call.tap != nullptr) TellExperts(call);
  Down();
  AddExperts(rows, to);
  if (config_.shared_hidden > 0) AddShared(call, normed, rows, to);
}

void ExpertsBlock::Route(const BlockCall& call, const float* normed, uint64_t rows) {
  RouterLogits(pool_, weights_->router, normed, rows, Room(logits_, rows * config_.count));
  choices_.tokens = rows;
  choices_.used = config_.used;
  choices_.expert.resize(rows * choices_.used);
  if (call.router != nullptr) {
    (*call.router)(call.layer, logits_.data(), rows, choices_.expert.data());
  } else {
    constexpr uint64_t kRows = 64;
    pool_.Run((rows + kRows - 1) / kRows, [&](uint64_t i, int) {
        const uint64_t first = i * kRows, count = std::min(kRows, rows - first);
        ChooseGreatest(logits_.data() + first * config_.count, count, config_.count, choices_.used, &choices_.expert[first * choices_.used]);
        return absl::OkStatus();
      }).IgnoreError();
  }
  WeighExperts(logits_.data(), config_.count, config_.normalized, &choices_);
  groups_ = GroupByExpert(choices_, config_.count);
}

void ExpertsBlock::Gather(const float* normed) {
  const uint64_t width = config_.width;
  Room(gathered_, groups_.slot.size() * width);
  ForRows(pool_, groups_.slot.size(), [&](uint64_t place, int) {
    std::copy_n(normed + groups_.slot[place] / choices_.used * width, width, &gathered_[place * width]);
  });
}

void ExpertsBlock::ActivateExperts() {
  const uint64_t width = config_.width, hidden = config_.hidden, stride = 2 * hidden;
  Room(activated_, groups_.slot.size() * hidden);
  ForBlocks([&](uint64_t expert, uint64_t first, uint64_t rows, int thread) {
    float* inner = Room(tiles_[thread], rows * stride);
    const Matrix& in = weights_->experts[expert].in;
    Project(in, {&gathered_[first * width], width}, rows, 0, in.outputs, {inner, stride});
    for (uint64_t r = 0; r < rows; ++r) {
      float *x = inner + r * stride, *to = &activated_[(first + r) * hidden];
      Activate(config_.mlp, x, x + hidden, hidden, to);
      ActiveKernels().scale(to, choices_.weight[groups_.slot[first + r]], hidden);
    }
  });
}

// Inputs as they count: times the weight that the router gives the expert.
void ExpertsBlock::TellExperts(const BlockCall& call) {
  const uint64_t width = config_.width;
  ForRows(pool_, groups_.slot.size(), [&](uint64_t place, int) {
    ActiveKernels().scale(&gathered_[place * width], choices_.weight[groups_.slot[place]], width);
  });
  const auto tell = [&](const char* input, const std::vector<float>& x, uint64_t columns) {
    for (uint64_t e = 0; e < config_.count; ++e) {
      const uint64_t first = groups_.first[e], count = groups_.first[e + 1] - first;
      if (count > 0) call.Tell(absl::StrCat(input, ".", e), &x[first * columns], count, columns);
    }
  };
  tell("ffn_in", gathered_, width);
  tell("ffn_down_in", activated_, config_.hidden);
}

void ExpertsBlock::Down() {
  const uint64_t width = config_.width, hidden = config_.hidden;
  ForBlocks([&](uint64_t expert, uint64_t first, uint64_t rows, int) {
    Project(weights_->experts[expert].down, {&activated_[first * hidden], hidden}, rows, 0, width, {&gathered_[first * width], width});
  });
}

void ExpertsBlock::AddExperts(uint64_t rows, float* to) {
  const uint64_t width = config_.width;
  ForRows(pool_, rows, [&](uint64_t row, int) {
    for (uint64_t s = 0; s < choices_.used; ++s) {
      const uint64_t place = groups_.place[row * choices_.used + s];
      ActiveKernels().add(&gathered_[place * width], width, to + row * width);
    }
  });
}

void ExpertsBlock::AddShared(const BlockCall& call, const float* normed, uint64_t rows, float* to) {
  const uint64_t width = config_.width, hidden = config_.shared_hidden, stride = 2 * hidden;
  const Rows from{const_cast<float*>(normed), width};
  float* inner = Room(gathered_, rows * stride);
  float* activated = Room(activated_, rows * hidden);
  ProjectRows(pool_, weights_->shared.in, from, rows, {inner, stride});
  ForRows(pool_, rows, [&](uint64_t row, int) {
    float gate = 0;
    MultiplyTransposed(1, 1, width, from.at(row), width, weights_->shared_gate.data(), width, 0, &gate, 1);
    float *x = inner + row * stride, *out = activated + row * hidden;
    Activate(config_.mlp, x, x + hidden, hidden, out);
    ActiveKernels().scale(out, Sigmoid(gate), hidden);
  });
  call.Tell("ffn_down_shexp_in", activated, rows, hidden);
  float* down = Room(gathered_, rows * width);
  ProjectRows(pool_, weights_->shared.down, {activated, hidden}, rows, {down, width});
  ForRows(pool_, rows, [&](uint64_t row, int) { ActiveKernels().add(down + row * width, width, to + row * width); });
}

}  // namespace nashswarm::forward
