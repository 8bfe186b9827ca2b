#include "core/forward/expert_pass.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/forward/kernels.h"
#include "core/forward/room.h"
#include "core/forward/row_steps.h"
#include "core/model/architecture.h"

namespace nashswarm::forward {
namespace {

// As in layer_pass.cc: BLAS copies the matrix into its own order on every call, and so many rows share that copy.
constexpr uint64_t kBlockRows = 256;

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// Of e^(row - greatest), in whole units of 2^-50: the same whatever the order of the experts, which a file may change, and
// finer than a float can tell. Each is at most 1, and 2^12 of them fit 63 bits.
float SumOfExponentials(const float* row, uint64_t experts, float greatest) {
  static_assert(model::kMaxExperts <= 1 << 12);
  constexpr double kUnits = 0x1p50;
  int64_t sum = 0;
  for (uint64_t e = 0; e < experts; ++e) sum += std::llrint(kUnits * double{std::exp(row[e] - greatest)});
  return static_cast<float>(static_cast<double>(sum) / kUnits);
}

}  // namespace

void RouterLogits(ThreadPool& pool, const Matrix& router, const float* normed, uint64_t tokens, float* logits) {
  ForRows(pool, tokens, [&](uint64_t token, int) {
    for (uint64_t e = 0; e < router.outputs; ++e) {
      logits[token * router.outputs + e] = ActiveKernels().dot(normed + token * router.inputs, &router.weight[e * router.inputs], router.inputs);
    }
  });
}

void ChooseGreatest(const float* logits, uint64_t tokens, uint64_t experts, uint64_t used, uint16_t* chosen) {
  std::vector<uint16_t> order(experts);
  for (uint64_t t = 0; t < tokens; ++t) {
    const float* row = logits + t * experts;
    std::iota(order.begin(), order.end(), uint16_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(used), order.end(),
                      [row](uint16_t a, uint16_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    std::copy_n(order.begin(), used, chosen + t * used);
  }
}

void WeighExperts(const float* logits, uint64_t experts, bool normalized, ExpertChoices* choices) {
  const uint64_t used = choices->used;
  choices->weight.resize(choices->tokens * used);
  for (uint64_t t = 0; t < choices->tokens; ++t) {
    const float* row = logits + t * experts;
    const uint16_t* expert = &choices->expert[t * used];
    float* weight = &choices->weight[t * used];
    const float greatest = *std::max_element(row, row + experts);
    float sum = normalized ? 0 : SumOfExponentials(row, experts, greatest);
    for (uint64_t s = 0; s < used; ++s) {
      weight[s] = std::exp(row[expert[s]] - greatest);
      if (normalized) sum += weight[s];
    }
    for (uint64_t s = 0; s < used; ++s) weight[s] /= sum;
  }
}

ExpertGroups GroupByExpert(const ExpertChoices& choices, uint64_t experts) {
  ExpertGroups groups;
  groups.first.assign(experts + 1, 0);
  for (const uint16_t expert : choices.expert) ++groups.first[expert + 1u];
  std::partial_sum(groups.first.begin(), groups.first.end(), groups.first.begin());
  groups.slot.resize(choices.expert.size());
  groups.place.resize(choices.expert.size());
  std::vector<uint64_t> next(groups.first.begin(), groups.first.end() - 1);
  for (uint64_t slot = 0; slot < choices.expert.size(); ++slot) {
    const uint64_t place = next[choices.expert[slot]]++;
    groups.slot[place] = slot;
    groups.place[slot] = place;
  }
  return groups;
}

ExpertPass::ExpertPass(const ModelConfig& config, ThreadPool& pool) : config_(config), pool_(pool), inner_(pool.threads()) {}

template <typename Body>
void ExpertPass::ForBlocks(Body body) {
  struct Block {
    uint64_t expert, first, rows;
  };
  std::vector<Block> blocks;
  for (uint64_t e = 0; e < config_.experts; ++e) {
    for (uint64_t first = groups_.first[e]; first < groups_.first[e + 1]; first += kBlockRows) {
      blocks.push_back({e, first, std::min(kBlockRows, groups_.first[e + 1] - first)});
    }
  }
  // The largest first, so that threads end at about the same time.
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.rows > b.rows; });
  pool_.Run(blocks.size(), [&](uint64_t i, int thread) {
      body(blocks[i].expert, blocks[i].first, blocks[i].rows, thread);
      return absl::OkStatus();
    }).IgnoreError();
}

void ExpertPass::Run(const Call& call) {
  weights_ = call.weights;
  if (call.tap != nullptr) call.tap->Input(absl::StrCat("blk.", call.layer, ".ffn_in"), call.normed, call.rows, config_.width);
  Route(call);
  if (call.tap != nullptr) call.tap->Experts(call.layer, choices_.expert.data(), choices_.tokens, choices_.used);
  groups_ = GroupByExpert(choices_, config_.experts);
  Gather(call);
  Activate(call);
  if (call.tap != nullptr) TapExperts(call);
  Down();
  AddExperts(call);
  if (config_.shared_ffn > 0) AddShared(call);
}

void ExpertPass::Route(const Call& call) {
  RouterLogits(pool_, weights_->router, call.normed, call.rows, Room(logits_, call.rows * config_.experts));
  choices_.tokens = call.rows;
  choices_.used = config_.experts_used;
  choices_.expert.resize(call.rows * choices_.used);
  if (call.router != nullptr) {
    (*call.router)(call.layer, logits_.data(), call.rows, choices_.expert.data());
  } else {
    constexpr uint64_t kRows = 64;
    pool_.Run((call.rows + kRows - 1) / kRows, [&](uint64_t i, int) {
        const uint64_t first = i * kRows, count = std::min(kRows, call.rows - first);
        ChooseGreatest(logits_.data() + first * config_.experts, count, config_.experts, choices_.used,
                       &choices_.expert[first * choices_.used]);
        return absl::OkStatus();
      }).IgnoreError();
  }
  WeighExperts(logits_.data(), config_.experts, config_.normalize_experts, &choices_);
}

void ExpertPass::Gather(const Call& call) {
  const uint64_t width = config_.width;
  Room(gathered_, groups_.slot.size() * width);
  ForRows(pool_, groups_.slot.size(), [&](uint64_t place, int) {
    std::copy_n(call.normed + groups_.slot[place] / choices_.used * width, width, &gathered_[place * width]);
  });
}

void ExpertPass::Activate(const Call&) {
  const uint64_t width = config_.width, ffn = config_.expert_ffn, stride = 2 * ffn;
  const Kernels& kernels = ActiveKernels();
  Room(activated_, groups_.slot.size() * ffn);
  ForBlocks([&](uint64_t expert, uint64_t first, uint64_t rows, int thread) {
    float* inner = Room(inner_[thread], rows * stride);
    const Matrix& in = weights_->experts[expert].in;
    Project(in, {&gathered_[first * width], width}, rows, 0, in.outputs, {inner, stride});
    for (uint64_t r = 0; r < rows; ++r) {
      float *x = inner + r * stride, *to = &activated_[(first + r) * ffn];
      kernels.silu_gate(x, x + ffn, ffn, to);
      kernels.scale(to, choices_.weight[groups_.slot[first + r]], ffn);
    }
  });
}

// Inputs as they count: times the weight that the router gives the expert.
void ExpertPass::TapExperts(const Call& call) {
  const uint64_t width = config_.width;
  ForRows(pool_, groups_.slot.size(), [&](uint64_t place, int) {
    ActiveKernels().scale(&gathered_[place * width], choices_.weight[groups_.slot[place]], width);
  });
  const auto tell = [&](const char* input, const std::vector<float>& x, uint64_t columns) {
    for (uint64_t e = 0; e < config_.experts; ++e) {
      const uint64_t first = groups_.first[e], count = groups_.first[e + 1] - first;
      if (count > 0) call.tap->Input(absl::StrCat("blk.", call.layer, ".", input, ".", e), &x[first * columns], count, columns);
    }
  };
  tell("ffn_in", gathered_, width);
  tell("ffn_down_in", activated_, config_.expert_ffn);
}

void ExpertPass::Down() {
  const uint64_t width = config_.width, ffn = config_.expert_ffn;
  ForBlocks([&](uint64_t expert, uint64_t first, uint64_t rows, int) {
    Project(weights_->experts[expert].down, {&activated_[first * ffn], ffn}, rows, 0, width, {&gathered_[first * width], width});
  });
}

void ExpertPass::AddExperts(const Call& call) {
  const uint64_t width = config_.width;
  ForRows(pool_, call.rows, [&](uint64_t row, int) {
    for (uint64_t s = 0; s < choices_.used; ++s) {
      const uint64_t place = groups_.place[row * choices_.used + s];
      ActiveKernels().add(&gathered_[place * width], width, call.hidden + row * width);
    }
  });
}

void ExpertPass::AddShared(const Call& call) {
  const uint64_t width = config_.width, ffn = config_.shared_ffn, stride = 2 * ffn;
  const Rows normed{const_cast<float*>(call.normed), width};
  float* inner = Room(gathered_, call.rows * stride);
  float* activated = Room(activated_, call.rows * ffn);
  ProjectRows(pool_, weights_->shared.in, normed, call.rows, {inner, stride});
  ForRows(pool_, call.rows, [&](uint64_t row, int) {
    float gate = 0;
    MultiplyTransposed(1, 1, width, normed.at(row), width, weights_->shared_gate.data(), width, 0, &gate, 1);
    float *x = inner + row * stride, *to = activated + row * ffn;
    ActiveKernels().silu_gate(x, x + ffn, ffn, to);
    ActiveKernels().scale(to, Sigmoid(gate), ffn);
  });
  if (call.tap != nullptr) {
    call.tap->Input(absl::StrCat("blk.", call.layer, ".ffn_down_shexp_in"), activated, call.rows, ffn);
  }
  float* down = Room(gathered_, call.rows * width);
  ProjectRows(pool_, weights_->shared.down, {activated, ffn}, call.rows, {down, width});
  ForRows(pool_, call.rows, [&](uint64_t row, int) { ActiveKernels().add(down + row * width, width, call.hidden + row * width); });
}

}  // namespace nashswarm::forward
