// What the error of one tensor counts for, and how it is encoded to keep that small.
#ifndef NASHSWARM_CORE_CALIBRATE_OBJECTIVE_H_
#define NASHSWARM_CORE_CALIBRATE_OBJECTIVE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/calibrate/moments.h"
#include "core/feedback/feedback.h"
#include "core/model/architecture.h"
#include "core/quant/format.h"

namespace nashswarm::calibrate {

// Relative error in each of the tensor's uses: as a matrix that multiplies an input, and as a table rows are looked up in
// (a tied embedding is both). A sum over rows, so parts of a tensor add up.
struct Distortion {
  struct Part {
    double error = 0, energy = 0;
  };
  Part product, table;
  Distortion& operator+=(const Distortion& other);
  double relative() const;  // the sum of the parts' error / energy; what energy 0 says nothing about is left out
};

// Whether the tensor is encoded with error feedback: a linear layer whose input has its full moment. `moments` may be null.
bool FeedsBack(const model::MappedTensor& tensor, bool tied_head, const Moments* moments);

// Immutable; shared by threads.
class Objective {
 public:
  // Plain squared error, plain rounding.
  Objective() = default;
  // `moments` may be null (Objective()), and may lack the tensor's input.
  static Objective Of(const model::MappedTensor& tensor, bool tied_head, const Moments* moments);

  // Rows are independent; `out` has room for EncodedBytes(format, rows, row_weights).
  void Encode(quant::Format format, const float* weights, uint64_t rows, uint64_t row_weights, uint8_t* out) const;
  // The rows given are first_row, first_row + row_step, ... of the tensor.
  Distortion Compare(const float* weights, const float* decoded, uint64_t first_row, uint64_t row_step, uint64_t rows,
                     uint64_t row_weights) const;
  bool feeds_back() const { return moment_ != nullptr && feedback_; }

 private:
  std::shared_ptr<const feedback::Moment> moment_;   // of the product's input; null: `importance_` or nothing
  bool feedback_ = false;
  bool is_product_ = true;
  std::vector<float> importance_;                    // of columns; empty: all alike
  std::vector<float> row_weights_;                   // how often a row is looked up; empty: no table
};

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_OBJECTIVE_H_
