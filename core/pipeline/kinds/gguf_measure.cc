// MEASURE of a GGUF artifact: the rate and distortion of every format that every tensor of one shard may have, and a scan of every
// weight for NaN and infinity.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/gguf_stages.h"
#include "core/pipeline/progress.h"

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
    *non_finite += ZeroNonFinite(absl::MakeSpan(piece));
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
    EncodeChunk(objective, tensor.formats[f], values, width, &encoded, absl::MakeSpan(decoded));
    result.distortions[f] =
        objective.Compare(values.data(), decoded.data(), sampler.AtOrAfter(chunk.first), sampler.stride(), rows, width);
  }
  return result;
}

std::vector<CurvePoint> CurveOf(const PreparedTensor& tensor, const std::vector<calibrate::Distortion>& distortions) {
  std::vector<CurvePoint> curve;
  for (size_t f = 0; f < tensor.formats.size(); ++f) {
    const quant::Format format = tensor.formats[f];
    curve.push_back({{format, 0}, *quant::EncodedBytes(format, tensor.rows, tensor.row_weights), distortions[f].relative()});
  }
  return curve;
}

}  // namespace

absl::StatusOr<Curves> MeasureGguf(const Task& task, const StageInputs& in, TensorRange shard) {
  std::vector<RowSampler> samplers;  // of the shard's tensors
  std::vector<Chunk> chunks;
  for (size_t t = shard.first; t < shard.last; ++t) {
    const PreparedTensor& tensor = in.prepared.tensors[t];
    samplers.emplace_back(tensor, calibrate::FeedsBack(in.source(t), in.tied_head, in.calibrated.moments.get()), task.spec.seed);
    AppendChunks(t, tensor.rows, tensor.row_weights, &chunks, samplers.back().chunk_weights(tensor.row_weights));
  }
  ProgressCounter progress(task.observer, in.prepared.WeightsOf(shard));
  std::vector<ChunkResult> results(chunks.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), chunks.size(), [&](uint64_t c) {
    const Chunk& chunk = chunks[c];
    const PreparedTensor& tensor = in.prepared.tensors[chunk.tensor];
    results[c] = MeasureChunk(in.source(chunk.tensor), tensor, in.ObjectiveOf(chunk.tensor), samplers[chunk.tensor - shard.first], chunk);
    progress.Add(chunk.rows * tensor.row_weights, tensor.source);
    if (results[c].non_finite == 0 || task.spec.zero_non_finite) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "NON_FINITE_WEIGHTS",
                     absl::StrCat("tensor '", tensor.source, "' has NaN or infinite weights (", results[c].non_finite,
                                  " of them in rows ", chunk.first, " to ", chunk.first + chunk.rows - 1, ")"),
                     "the checkpoint is damaged or training diverged; --zero-non-finite compresses it with zeros in their place");
  }));

  Curves curves;
  size_t c = 0;
  for (size_t t = shard.first; t < shard.last; ++t) {
    const PreparedTensor& tensor = in.prepared.tensors[t];
    std::vector<calibrate::Distortion> distortions(tensor.formats.size());
    uint64_t non_finite = 0;
    for (; c < chunks.size() && chunks[c].tensor == t; ++c) {
      non_finite += results[c].non_finite;
      for (size_t f = 0; f < distortions.size(); ++f) distortions[f] += results[c].distortions[f];
    }
    if (non_finite > 0) {
      task.observer->Log("warning", absl::StrCat("tensor '", tensor.source, "': ", non_finite, " NaN or infinite weights set to 0"));
    }
    curves.tensors.push_back({t, non_finite, CurveOf(tensor, distortions)});
  }
  return curves;
}

}  // namespace nashswarm::pipeline
