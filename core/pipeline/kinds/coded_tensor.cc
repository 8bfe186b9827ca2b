#include "core/pipeline/kinds/coded_tensor.h"

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "core/nsq/stream.h"

namespace nashswarm::pipeline {

std::unique_ptr<CodedTensor> CodedTensor::Read(const model::MappedTensor& tensor, bool tied_head, const calibrate::Moments* moments,
                                               uint64_t row_stride, const nsq::Settings& settings) {
  const model::MappedTensor plain = model::InCheckpointOrder(tensor);
  auto coded = std::unique_ptr<CodedTensor>(new CodedTensor);
  coded->columns_ = static_cast<uint32_t>(plain.row_weights);
  coded->loss_ = calibrate::MatrixLossOf(tensor, tied_head, moments);
  std::vector<float> row_weights;
  // All rows are read, whatever is kept of them: every weight is looked at once. Transposed tensors are read in bands.
  constexpr uint64_t kBandRows = 256;
  std::vector<float> band;
  for (uint64_t first = 0; first < plain.rows; first += kBandRows) {
    const uint64_t count = std::min(kBandRows, plain.rows - first);
    band.resize(count * plain.row_weights);
    model::ReadRows(plain, first, count, band.data());
    for (float& value : band) {
      if (std::isfinite(value)) continue;
      value = 0;
      ++coded->non_finite_;
    }
    for (uint64_t r = 0; r < count; ++r) {
      if ((first + r) % row_stride != row_stride / 2) continue;
      const auto row = band.begin() + static_cast<ptrdiff_t>(r * plain.row_weights);
      coded->weights_.insert(coded->weights_.end(), row, row + static_cast<ptrdiff_t>(plain.row_weights));
      if (!coded->loss_.row_weights.empty()) row_weights.push_back(coded->loss_.row_weights[first + r]);
      ++coded->rows_;
    }
  }
  coded->loss_.row_weights = std::move(row_weights);
  coded->quantizer_ = std::make_unique<nsq::Quantizer>(coded->weights_.data(), coded->rows_, coded->columns_, coded->loss_, settings);
  return coded;
}

absl::StatusOr<CodedTensor::Encoded> CodedTensor::Encode(double step, int threads) const {
  const nsq::Quantized quantized = quantizer_->Quantize(step);
  Encoded encoded;
  NS_ASSIGN_OR_RETURN(encoded.stream, nsq::Write(quantized.matrix, threads));
  encoded.decoded = nsq::Decode(quantized.matrix);
  encoded.distortion = nsq::Compare(loss_, weights_.data(), encoded.decoded.data(), 0, rows_, columns_).relative();
  for (size_t i = 0; i < weights_.size(); ++i) {
    const double error = static_cast<double>(weights_[i]) - encoded.decoded[i];
    encoded.error += error * error;
    encoded.energy += static_cast<double>(weights_[i]) * weights_[i];
  }
  return encoded;
}

}  // namespace nashswarm::pipeline
