// MEASURE: the rate and distortion of every strategy of every player of one shard, and a scan of every weight for NaN
// and infinity.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

// A tensor with more weights than this is measured on a sample of its rows: at a million weights the standard error of
// a mean squared error is about 0.2 %, far below the differences between formats. Error feedback costs a hundred times as
// much, and at an eighth of the sample the error is still below 1 %.
constexpr uint64_t kSampleWeights = 1u << 20, kFeedbackSampleWeights = 1u << 17;

struct ChunkResult {
  uint64_t non_finite = 0;
  std::vector<calibrate::Distortion> distortions;  // per format of the tensor
};

// Sampled rows are evenly spaced, from an offset the seed chooses.
class RowSampler {
 public:
  RowSampler(const PreparedTensor& tensor, bool feedback, uint64_t seed)
      : feedback_(feedback),
        stride_(std::max<uint64_t>(1, tensor.weights() / (feedback ? kFeedbackSampleWeights : kSampleWeights))),
        offset_(seed % stride_) {}
  uint64_t stride() const { return stride_; }
  // Weights a chunk reads: error feedback takes many rows together, so a chunk must have as many in its sample.
  uint64_t chunk_weights(uint64_t row_weights) const {
    return feedback_ ? std::max(kChunkWeights, stride_ * kRowsTogether * row_weights) : kChunkWeights;
  }
  // The first sampled row at or after `row`.
  uint64_t AtOrAfter(uint64_t row) const { return row + (offset_ + stride_ - row % stride_) % stride_; }

 private:
  bool feedback_;
  uint64_t stride_, offset_;
};

uint64_t ZeroNonFinite(std::vector<float>* values) {
  uint64_t count = 0;
  for (float& value : *values) {
    if (std::isfinite(value)) continue;
    value = 0;
    ++count;
  }
  return count;
}

// Reads a chunk piece by piece and keeps the sampled rows; counts what is not finite in all of it.
std::vector<float> ReadSample(const model::MappedTensor& source, const RowSampler& sampler, const Chunk& chunk, uint64_t width,
                              uint64_t* non_finite) {
  std::vector<float> sample, piece;
  std::vector<Chunk> pieces;
  AppendChunks(chunk.tensor, chunk.rows, width, &pieces);
  for (const Chunk& part : pieces) {
    const uint64_t first = chunk.first + part.first;
    piece.resize(part.rows * width);
    model::ReadRows(source, first, part.rows, piece.data());
    *non_finite += ZeroNonFinite(&piece);
    for (uint64_t row = sampler.AtOrAfter(first); row < first + part.rows; row += sampler.stride()) {
      const auto begin = piece.begin() + static_cast<ptrdiff_t>((row - first) * width);
      sample.insert(sample.end(), begin, begin + static_cast<ptrdiff_t>(width));
    }
  }
  return sample;
}

ChunkResult MeasureChunk(const model::MappedTensor& source, const PreparedTensor& tensor,
                         const calibrate::Objective& objective, const RowSampler& sampler, const Chunk& chunk) {
  const uint64_t width = tensor.row_weights;
  ChunkResult result;
  result.distortions.resize(tensor.formats.size());
  const std::vector<float> values = ReadSample(source, sampler, chunk, width, &result.non_finite);
  const uint64_t rows = values.size() / std::max<uint64_t>(width, 1);
  if (tensor.vector || rows == 0) return result;
  std::vector<uint8_t> encoded;
  std::vector<float> decoded(values.size());
  for (size_t f = 0; f < tensor.formats.size(); ++f) {
    const quant::Format format = tensor.formats[f];
    const uint64_t row_bytes = *quant::EncodedBytes(format, 1, width);
    encoded.resize(rows * row_bytes);
    objective.Encode(format, values.data(), rows, width, encoded.data());
    for (uint64_t r = 0; r < rows; ++r) quant::DecodeRow(format, &encoded[r * row_bytes], {&decoded[r * width], width});
    result.distortions[f] =
        objective.Compare(values.data(), decoded.data(), sampler.AtOrAfter(chunk.first), sampler.stride(), rows, width);
  }
  return result;
}

Json CurveOf(const PreparedTensor& tensor, const std::vector<calibrate::Distortion>& distortions) {
  Json curve = Json::array();
  for (size_t f = 0; f < tensor.formats.size(); ++f) {
    curve.push_back({{"format", quant::InfoOf(tensor.formats[f]).name},
                     {"bytes", *quant::EncodedBytes(tensor.formats[f], tensor.rows, tensor.row_weights)},
                     {"distortion", distortions[f].relative()}});
  }
  return curve;
}

}  // namespace

absl::StatusOr<Json> Measure(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const Calibrated calibrated, ReadCalibrated(task));
  if (task.spec.is_nsq()) return MeasureNsq(task, {prepared, open, calibrated, HasTiedHead(open.model), task.nsq_settings});
  Objectives objectives(open.model, calibrated.moments.get());
  const size_t first = prepared.shards.at(task.shard).first, last = prepared.shards.at(task.shard).second;

  const bool tied = HasTiedHead(open.model);
  std::vector<RowSampler> samplers;  // of the shard's tensors
  std::vector<Chunk> chunks;
  uint64_t weights = 0;
  for (size_t t = first; t < last; ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    samplers.emplace_back(tensor, calibrate::FeedsBack(open.model.tensors[t], tied, calibrated.moments.get()), task.spec.seed);
    AppendChunks(t, tensor.rows, tensor.row_weights, &chunks, samplers.back().chunk_weights(tensor.row_weights));
    weights += prepared.tensors[t].weights();
  }
  ProgressCounter progress(task.observer, weights);
  std::vector<ChunkResult> results(chunks.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), chunks.size(), [&](uint64_t c) {
    const PreparedTensor& tensor = prepared.tensors[chunks[c].tensor];
    const size_t t = chunks[c].tensor;
    results[c] = MeasureChunk(open.model.tensors[t], tensor, objectives.Of(t), samplers[t - first], chunks[c]);
    progress.Add(chunks[c].rows * tensor.row_weights, tensor.source);
    if (results[c].non_finite == 0 || task.spec.zero_non_finite) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "NON_FINITE_WEIGHTS",
                     absl::StrCat("tensor '", tensor.source, "' has NaN or infinite weights (", results[c].non_finite,
                                  " of them in rows ", chunks[c].first, " to ", chunks[c].first + chunks[c].rows - 1, ")"),
                     "the checkpoint is damaged or training diverged; --zero-non-finite compresses it with zeros in their place");
  }));

  Json tensors = Json::array();
  size_t c = 0;
  for (size_t t = first; t < last; ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    std::vector<calibrate::Distortion> distortions(tensor.formats.size());
    uint64_t non_finite = 0;
    for (; c < chunks.size() && chunks[c].tensor == t; ++c) {
      non_finite += results[c].non_finite;
      for (size_t f = 0; f < distortions.size(); ++f) distortions[f] += results[c].distortions[f];
    }
    if (non_finite > 0) {
      task.observer->Log("warning", absl::StrCat("tensor '", tensor.source, "': ", non_finite, " NaN or infinite weights set to 0"));
    }
    tensors.push_back({{"tensor", t}, {"non_finite", non_finite}, {"curve", CurveOf(tensor, distortions)}});
  }
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, absl::StrCat("curves-", task.shard, ".json")),
                                      Json{{"tensors", std::move(tensors)}}.dump(1)));
  return Json{{"weights", weights}};
}

}  // namespace nashswarm::pipeline
