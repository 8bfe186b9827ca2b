#include "core/forward/layer_weights.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::forward {
namespace {

// Weights read at a time by one thread.
constexpr uint64_t kPieceWeights = 1 << 18;

// One tensor of a layer and its place: `rows` rows from row `first_row` of `to`, which has `to_rows` rows in all.
struct Slot {
  std::string tensor;
  uint64_t rows, row_weights;
  bool required;
  std::vector<float>* to;
  uint64_t first_row, to_rows;
};

class SlotList {
 public:
  SlotList(const ModelConfig& config, uint64_t layer, LayerWeights* to) : prefix_(absl::StrCat("blk.", layer, ".")) {
    AddNorm("attn_norm", config, &to->attention_norm);
    AddNorm("ffn_norm", config, &to->ffn_norm);
    if (config.head_norms) {
      Add("attn_q_norm.weight", 1, config.head_width, true, &to->query_norm.weight, 0, 1);
      Add("attn_k_norm.weight", 1, config.head_width, true, &to->key_norm.weight, 0, 1);
    }
    if (config.whole_norms) {
      Add("attn_q_norm.weight", 1, config.query_width(), true, &to->query_norm.weight, 0, 1);
      Add("attn_k_norm.weight", 1, config.kv_width(), true, &to->key_norm.weight, 0, 1);
    }
    if (config.post_norms) {
      AddNorm("post_attention_norm", config, &to->post_attention_norm);
      AddNorm("post_ffw_norm", config, &to->post_ffn_norm);
    }
    SetExtents(config.qkv_width(), config.width, &to->qkv);
    if (config.fused_qkv) {
      AddRows("attn_qkv", config.qkv_width(), 0, &to->qkv);
    } else {
      AddRows("attn_q", config.query_width(), 0, &to->qkv);
      AddRows("attn_k", config.kv_width(), config.query_width(), &to->qkv);
      AddRows("attn_v", config.kv_width(), config.query_width() + config.kv_width(), &to->qkv);
    }
    SetExtents(config.width, config.query_width(), &to->output);
    AddRows("attn_output", config.width, 0, &to->output);
    if (config.experts > 0) {
      AddExperts(config, to);
      return;
    }
    SetExtents(config.gated ? 2 * config.ffn : config.ffn, config.width, &to->ffn_in);
    if (config.gated) AddRows("ffn_gate", config.ffn, 0, &to->ffn_in);
    AddRows("ffn_up", config.ffn, config.gated ? config.ffn : 0, &to->ffn_in);
    SetExtents(config.width, config.ffn, &to->ffn_down);
    AddRows("ffn_down", config.width, 0, &to->ffn_down);
  }

  const std::vector<Slot>& slots() const { return slots_; }

 private:
  void Add(std::string_view name, uint64_t rows, uint64_t row_weights, bool required, std::vector<float>* to,
           uint64_t first_row, uint64_t to_rows) {
    slots_.push_back({absl::StrCat(prefix_, ToAbsl(name)), rows, row_weights, required, to, first_row, to_rows});
  }
  void AddNorm(const std::string& name, const ModelConfig& config, Norm* to) {
    Add(name + ".weight", 1, config.width, true, &to->weight, 0, 1);
    if (config.layer_norm) Add(name + ".bias", 1, config.width, true, &to->bias, 0, 1);
  }
  void AddExperts(const ModelConfig& config, LayerWeights* to) {
    SetExtents(config.experts, config.width, &to->router);
    AddMatrix("ffn_gate_inp", config.experts, 0, &to->router);
    to->experts.resize(config.experts);
    for (uint64_t e = 0; e < config.experts; ++e) AddExpert(config, absl::StrCat(".", e), config.expert_ffn, &to->experts[e]);
    if (config.shared_ffn == 0) return;
    AddExpert(config, "_shexp", config.shared_ffn, &to->shared);
    Add("ffn_gate_inp_shexp.weight", 1, config.width, true, &to->shared_gate, 0, 1);
  }
  void AddExpert(const ModelConfig& config, const std::string& which, uint64_t ffn, ExpertWeights* to) {
    SetExtents(2 * ffn, config.width, &to->in);
    AddMatrix("ffn_gate" + which, ffn, 0, &to->in);
    AddMatrix("ffn_up" + which, ffn, ffn, &to->in);
    SetExtents(config.width, ffn, &to->down);
    AddMatrix("ffn_down" + which, config.width, 0, &to->down);
  }
  void AddMatrix(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to) {
    Add(name + ".weight", rows, to->inputs, true, &to->weight, first_row, to->outputs);
  }
  // A bias is a row here, wherever it lies in a column of biases.
  void AddRows(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to) {
    AddMatrix(name, rows, first_row, to);
    slots_.push_back({absl::StrCat(prefix_, name, ".bias"), 1, rows, false, &to->bias, first_row, to->outputs});
  }
  static void SetExtents(uint64_t outputs, uint64_t inputs, Matrix* to) {
    to->outputs = outputs;
    to->inputs = inputs;
  }

  std::string prefix_;
  std::vector<Slot> slots_;
};

bool Present(const Weights& weights, const Slot& slot) { return slot.required || weights.Find(slot.tensor) != nullptr; }

// Where the slot's first value lies, and how many its vector has in all. Optional tensors are biases: a value a row.
uint64_t OffsetOf(const Slot& slot) { return slot.required ? slot.first_row * slot.row_weights : slot.first_row; }
uint64_t SizeOf(const Slot& slot) { return slot.required ? slot.to_rows * slot.row_weights : slot.to_rows; }

absl::Status CheckSlots(const Weights& weights, const SlotList& list) {
  for (const Slot& slot : list.slots()) {
    if (Present(weights, slot)) NS_RETURN_IF_ERROR(CheckTensor(weights, slot.tensor, slot.rows, slot.row_weights));
  }
  return absl::OkStatus();
}

// Makes room; biases that are there only in part are zero elsewhere.
void Resize(const Weights& weights, const SlotList& list) {
  for (const Slot& slot : list.slots()) {
    if (!slot.required) slot.to->clear();
  }
  for (const Slot& slot : list.slots()) {
    if (Present(weights, slot)) slot.to->resize(SizeOf(slot));
  }
}

}  // namespace

absl::Status CheckLayer(const ModelConfig& config, const Weights& weights, uint64_t layer) {
  LayerWeights unused;
  return CheckSlots(weights, SlotList(config, layer, &unused));
}

uint64_t LayerBytes(const ModelConfig& config) {
  uint64_t ffn = (config.gated ? 3 : 2) * config.ffn;
  if (config.experts > 0) ffn = config.experts * (1 + 3 * config.expert_ffn) + 3 * config.shared_ffn;
  return (config.qkv_width() + config.query_width() + ffn) * config.width * sizeof(float);
}

absl::Status LoadLayer(const ModelConfig& config, const Weights& weights, uint64_t layer, ThreadPool& pool,
                       LayerWeights* to) {
  const SlotList list(config, layer, to);
  NS_RETURN_IF_ERROR(CheckSlots(weights, list));
  Resize(weights, list);

  struct Piece {
    const Slot* slot;
    uint64_t first, count;
  };
  std::vector<Piece> pieces;
  for (const Slot& slot : list.slots()) {
    if (!Present(weights, slot)) continue;
    const uint64_t step = std::max<uint64_t>(1, kPieceWeights / slot.row_weights);
    for (uint64_t first = 0; first < slot.rows; first += step) {
      pieces.push_back({&slot, first, std::min(step, slot.rows - first)});
    }
  }
  return pool.Run(pieces.size(), [&](uint64_t i, int) {
    const auto& [slot, first, count] = pieces[i];
    return weights.Read(slot->tensor, first, count, slot->to->data() + OffsetOf(*slot) + first * slot->row_weights);
  });
}

std::string NonFiniteTensor(const ModelConfig& config, const Weights& weights, uint64_t layer) {
  LayerWeights unused;
  const SlotList list(config, layer, &unused);
  std::vector<float> row;
  for (const Slot& slot : list.slots()) {
    if (!Present(weights, slot)) continue;
    row.resize(slot.row_weights);
    for (uint64_t r = 0; r < slot.rows; ++r) {
      if (!weights.Read(slot.tensor, r, 1, row.data()).ok()) return {};
      if (!std::all_of(row.begin(), row.end(), [](float w) { return std::isfinite(w); })) return slot.tensor;
    }
  }
  return {};
}

}  // namespace nashswarm::forward
