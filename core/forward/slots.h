// The tensors that a layer reads and where their values go: blocks list them, and what is done with the list (looking whether
// the model has them, reading them, finding one that is damaged) is the same for all.
#ifndef NASHSWARM_CORE_FORWARD_SLOTS_H_
#define NASHSWARM_CORE_FORWARD_SLOTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/matrix.h"
#include "core/forward/weights.h"

namespace nashswarm::forward {

class Slots {
 public:
  explicit Slots(uint64_t layer);

  // `name` is the part of the layer ("attn_norm"); all of `to` outlives this.
  // A vector of `width`, which every model of the architecture has.
  void AddVector(std::string_view name, uint64_t width, std::vector<float>* to);
  // `rows` rows of `to` from `first_row` on, whose extents are set. Matrices may lie one below the other in it.
  void AddMatrix(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to);
  // The same with a bias, which a model may have or not, and have for some of the matrices of `to`: it is zero for the others.
  void AddLinear(const std::string& name, uint64_t rows, uint64_t first_row, Matrix* to);

  // MODEL_TENSOR_MISSING, MODEL_TENSOR_SHAPE or GGUF_TYPE_UNSUPPORTED unless `weights` has them.
  absl::Status Check(const Weights& weights) const;
  // Reads them, into memory that is used again. The errors of Check, and of Weights::Read.
  absl::Status Load(const Weights& weights, ThreadPool& pool) const;
  // The first tensor with a NaN or infinite weight; "" when there is none.
  std::string NonFinite(const Weights& weights) const;

 private:
  // One tensor and its place: `rows` rows from row `first_row` of `to`, which has `to_rows` rows in all.
  struct Slot {
    std::string tensor;
    uint64_t rows, row_weights;
    bool required;
    std::vector<float>* to;
    uint64_t first_row, to_rows;
  };
  static bool Present(const Weights& weights, const Slot& slot);
  static uint64_t OffsetOf(const Slot& slot);
  static uint64_t SizeOf(const Slot& slot);
  void Resize(const Weights& weights) const;

  std::string prefix_;
  std::vector<Slot> slots_;
};

inline void SetExtents(uint64_t outputs, uint64_t inputs, Matrix* to) {
  to->outputs = outputs;
  to->inputs = inputs;
}

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_SLOTS_H_
