// MEASURE of an nsq artifact: bytes and distortion of every coded tensor of one shard at steps over the whole useful range.
#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/coded_tensor.h"
#include "core/pipeline/kinds/nsq_stages.h"
#include "core/pipeline/progress.h"

namespace nashswarm::pipeline {
namespace {

// Logarithms of steps by the spread of the weights: from 8 bits a weight to a fifth of a bit. Between them rate and the
// logarithm of distortion are nearly straight.
constexpr double kLogSteps[] = {-6.5, -5, -4, -3.25, -2.5, -1.75, -1, -0.25, 0.5, 1.25};
// A tensor with more weights is measured on evenly spaced rows.
constexpr uint64_t kSampleWeights = 1u << 20;
constexpr uint64_t kLeastRows = 128;
// Differences between steps are as plain after two rounds as after many.
constexpr int kRounds = 2;

struct Measured {
  uint64_t non_finite = 0;
  std::vector<CurvePoint> curve;
};

absl::StatusOr<Measured> MeasureCoded(const StageInputs& in, size_t t, nsq::Settings settings) {
  const PreparedTensor& tensor = in.prepared.tensors[t];
  settings.rounds = std::min(settings.rounds, kRounds);
  const uint64_t stride = MeasuredRowStride(tensor);
  const auto coded = CodedTensor::Read(in.source(t), in.tied_head, in.calibrated.moments.get(), stride, settings);
  Measured measured{coded->non_finite(), {}};
  const double spread = coded->quantizer().spread() > 0 ? coded->quantizer().spread() : 1.0;
  const double scale = static_cast<double>(tensor.rows) / coded->rows();
  for (const double log_step : kLogSteps) {
    const double step = static_cast<float>(spread * std::exp2(log_step));
    NS_ASSIGN_OR_RETURN(const CodedTensor::Encoded encoded, coded->Encode(step, 1));
    const auto bytes = static_cast<uint64_t>(std::ceil(static_cast<double>(encoded.stream.size()) * scale));
    measured.curve.push_back({{quant::Format::kF32, step}, bytes, encoded.distortion});
  }
  return measured;
}

Measured MeasurePlain(const StageInputs& in, size_t t) {
  const PreparedTensor& tensor = in.prepared.tensors[t];
  const quant::Format format = tensor.formats.at(0);
  std::vector<float> values = ReadPlain(in.source(t));
  return {ZeroNonFinite(absl::MakeSpan(values)), {{{format, 0}, Nsq().BytesInFile(tensor, format), 0, /*exact=*/true}}};
}

}  // namespace

uint64_t MeasuredRowStride(const PreparedTensor& tensor) {
  const uint64_t by_weights = tensor.weights() / kSampleWeights, by_rows = tensor.rows / kLeastRows;
  return std::max<uint64_t>(1, std::min(by_weights, by_rows));
}

absl::StatusOr<Curves> MeasureNsq(const Task& task, const StageInputs& in, TensorRange shard) {
  const uint64_t first = shard.first;
  ProgressCounter progress(task.observer, in.prepared.WeightsOf(shard));
  std::vector<Measured> results(shard.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), results.size(), [&](uint64_t i) -> absl::Status {
    const size_t t = first + i;
    const PreparedTensor& tensor = in.prepared.tensors[t];
    if (IsCoded(tensor)) {
      NS_ASSIGN_OR_RETURN(results[i], MeasureCoded(in, t, task.nsq_settings));
    } else {
      results[i] = MeasurePlain(in, t);
    }
    progress.Add(tensor.weights(), tensor.source);
    if (results[i].non_finite == 0 || task.spec.zero_non_finite) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "NON_FINITE_WEIGHTS",
                     absl::StrCat("tensor '", tensor.source, "' has NaN or infinite weights (", results[i].non_finite, " of them)"),
                     "the checkpoint is damaged or training diverged; --zero-non-finite compresses it with zeros in their place");
  }));
  Curves curves;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].non_finite > 0) {
      task.observer->Log("warning", absl::StrCat("tensor '", in.prepared.tensors[first + i].source, "': ", results[i].non_finite,
                                                 " NaN or infinite weights set to 0"));
    }
    curves.tensors.push_back({first + i, results[i].non_finite, std::move(results[i].curve)});
  }
  return curves;
}

}  // namespace nashswarm::pipeline
