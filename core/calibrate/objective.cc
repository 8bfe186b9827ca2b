#include "core/calibrate/objective.h"

#include "core/forward/transformer.h"
#include "core/quant/error.h"

namespace nashswarm::calibrate {
namespace {

// A token the calibration text never had may still come: it counts like a fraction of one occurrence.
constexpr float kUnseen = 0.1f;

double Ratio(const Distortion::Part& part) { return part.energy > 0 ? part.error / part.energy : 0; }

}  // namespace

Distortion& Distortion::operator+=(const Distortion& other) {
  product.error += other.product.error;
  product.energy += other.product.energy;
  table.error += other.table.error;
  table.energy += other.table.energy;
  return *this;
}

double Distortion::relative() const { return Ratio(product) + Ratio(table); }

bool FeedsBack(const model::MappedTensor& tensor, bool tied_head, const Moments* moments) {
  // Feedback trades plain error for less error in the product; a table looked up row by row would pay for it.
  if (moments == nullptr || !tensor.is_player() || tensor.role == model::Role::kTokenEmbedding) return false;
  const std::string input = forward::InputOf(tensor.name, tied_head);
  return !input.empty() && moments->IsFull(input);
}

Objective Objective::Of(const model::MappedTensor& tensor, bool tied_head, const Moments* moments) {
  Objective objective;
  if (moments == nullptr || !tensor.is_player()) return objective;
  const std::string input = forward::InputOf(tensor.name, tied_head);
  objective.is_product_ = !input.empty();
  if (tensor.role == model::Role::kTokenEmbedding) {
    objective.row_weights_ = moments->TokenCounts();
    if (objective.row_weights_.size() != tensor.rows) objective.row_weights_.clear();
    for (float& count : objective.row_weights_) count += kUnseen;
  }
  if (input.empty()) {
    objective.is_product_ = objective.row_weights_.empty();
    return objective;
  }
  objective.moment_ = moments->Full(input);
  objective.importance_ = objective.moment_ == nullptr
                              ? moments->Diagonal(input)
                              : std::vector<float>(objective.moment_->diagonal().begin(), objective.moment_->diagonal().end());
  if (objective.importance_.size() != tensor.row_weights) {
    objective.importance_.clear();
    objective.moment_ = nullptr;
  }
  objective.feedback_ = objective.moment_ != nullptr && FeedsBack(tensor, tied_head, moments);
  return objective;
}

void Objective::Encode(quant::Format format, const float* weights, uint64_t rows, uint64_t row_weights, uint8_t* out) const {
  if (feeds_back()) return feedback::EncodeWithFeedback(format, weights, rows, *moment_, out);
  const uint64_t row_bytes = *quant::EncodedBytes(format, 1, row_weights);
  for (uint64_t r = 0; r < rows; ++r) {
    quant::EncodeRow(format, {weights + r * row_weights, row_weights}, importance_, out + r * row_bytes);
  }
}

Distortion Objective::Compare(const float* weights, const float* decoded, uint64_t first_row, uint64_t row_step,
                              uint64_t rows, uint64_t row_weights) const {
  Distortion distortion;
  if (is_product_ && moment_ != nullptr) {
    const feedback::MomentError sum = feedback::CompareWithMoment(weights, decoded, rows, *moment_);
    distortion.product = {sum.error, sum.energy};
  } else if (is_product_) {
    for (uint64_t r = 0; r < rows; ++r) {
      const quant::RowError row = quant::CompareRows({weights + r * row_weights, row_weights},
                                                     {decoded + r * row_weights, row_weights}, importance_);
      distortion.product.error += row.error;
      distortion.product.energy += row.energy;
    }
  }
  if (row_weights_.empty()) return distortion;
  for (uint64_t r = 0; r < rows; ++r) {
    const quant::RowError row =
        quant::CompareRows({weights + r * row_weights, row_weights}, {decoded + r * row_weights, row_weights}, {});
    distortion.table.error += row_weights_[first_row + r * row_step] * row.error;
    distortion.table.energy += row_weights_[first_row + r * row_step] * row.energy;
  }
  return distortion;
}

}  // namespace nashswarm::calibrate
