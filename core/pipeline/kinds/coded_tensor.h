// A tensor of the checkpoint, read and made ready to be quantized for nsq.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_CODED_TENSOR_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_CODED_TENSOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/calibrate/matrix_loss.h"
#include "core/model/architecture.h"
#include "core/nsq/quantizer.h"

namespace nashswarm::pipeline {

// Holds the weights as floats, and the moment of their input. Immutable; threads may share it.
class CodedTensor {
 public:
  // `tensor` as the model maps it; every `row_stride`-th row is taken (1: all). Non-finite weights are counted and taken as 0.
  static std::unique_ptr<CodedTensor> Read(const model::MappedTensor& tensor, bool tied_head, const calibrate::Moments* moments,
                                           uint64_t row_stride, const nsq::Settings& settings);

  struct Encoded {
    std::string stream;
    std::vector<float> decoded;      // rows x columns
    double distortion = 0;           // relative, by the tensor's loss
    double error = 0, energy = 0;    // plain sums of squares
  };
  absl::StatusOr<Encoded> Encode(double step, int threads) const;

  const nsq::Quantizer& quantizer() const { return *quantizer_; }
  uint32_t rows() const { return rows_; }
  uint32_t columns() const { return columns_; }
  uint64_t non_finite() const { return non_finite_; }

 private:
  CodedTensor() = default;
  uint32_t rows_ = 0, columns_ = 0;
  uint64_t non_finite_ = 0;
  std::vector<float> weights_;
  nsq::MatrixLoss loss_;
  std::unique_ptr<nsq::Quantizer> quantizer_;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_CODED_TENSOR_H_
