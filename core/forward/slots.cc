#include "core/forward/slots.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::forward {
namespace {

// Weights read at a time by one thread.
constexpr uint64_t kPieceWeights = 1 << 18;

}  // namespace

Slots::Slots(uint64_t layer) : prefix_(absl::StrCat("blk.", layer, ".")) {}

void Slots::AddVector(std::string_view name, uint64_t width, std::vector<float>* to) {
  slots_.push_back({absl::StrCat(prefix_, ToAbsl(name)), 1, width, true, to, 0, 1});
}

void Slots::AddMatrix(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to) {
  slots_.push_back({absl::StrCat(prefix_, name, ".weight"), rows, to->inputs, true, &to->weight, first_row, to->outputs});
}

// A bias is a row here, wherever it lies in a column of biases.
void Slots::AddLinear(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to) {
  AddMatrix(name, rows, first_row, to);
  slots_.push_back({absl::StrCat(prefix_, name, ".bias"), 1, rows, false, &to->bias, first_row, to->outputs});
}

bool Slots::Present(const Weights& weights, const Slot& slot) { return slot.required || weights.Find(slot.tensor) != nullptr; }

// Where the slot's first value lies, and how many its vector has in all. Optional tensors are biases: a value a row.
uint64_t Slots::OffsetOf(const Slot& slot) { return slot.required ? slot.first_row * slot.row_weights : slot.first_row; }
uint64_t Slots::SizeOf(const Slot& slot) { return slot.required ? slot.to_rows * slot.row_weights : slot.to_rows; }

absl::Status Slots::Check(const Weights& weights) const {
  for (const Slot& slot : slots_) {
    if (Present(weights, slot)) NS_RETURN_IF_ERROR(CheckTensor(weights, slot.tensor, slot.rows, slot.row_weights));
  }
  return absl::OkStatus();
}

// Makes room; biases that are there only in part are zero elsewhere.
void Slots::Resize(const Weights& weights) const {
  for (const Slot& slot : slots_) {
    if (!slot.required) slot.to->clear();
  }
  for (const Slot& slot : slots_) {
    if (Present(weights, slot)) slot.to->resize(SizeOf(slot));
  }
}

absl::Status Slots::Load(const Weights& weights, ThreadPool& pool) const {
  NS_RETURN_IF_ERROR(Check(weights));
  Resize(weights);

  struct Piece {
    const Slot* slot;
    uint64_t first, count;
  };
  std::vector<Piece> pieces;
  for (const Slot& slot : slots_) {
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

std::string Slots::NonFinite(const Weights& weights) const {
  std::vector<float> row;
  for (const Slot& slot : slots_) {
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
