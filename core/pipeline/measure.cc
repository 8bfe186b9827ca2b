// MEASURE: the rate and distortion of every strategy of every player of one shard, and a scan of every weight for NaN
// and infinity.
#include <atomic>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/stages.h"
#include "core/quant/error.h"

namespace nashswarm::pipeline {
namespace {

// A tensor with more weights than this is measured on a sample of its rows: at a million weights the standard error of
// a mean squared error is about 0.2 %, far below the differences between formats.
constexpr uint64_t kSampleWeights = 1u << 20;

struct ChunkResult {
  uint64_t non_finite = 0;
  std::vector<quant::RowError> errors;  // per format of the tensor
};

// Sampled rows are evenly spaced, from an offset the seed chooses.
class RowSampler {
 public:
  RowSampler(const PreparedTensor& tensor, uint64_t seed)
      : stride_(std::max<uint64_t>(1, tensor.weights() / kSampleWeights)), offset_(seed % stride_) {}
  bool Takes(uint64_t row) const { return row % stride_ == offset_; }

 private:
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

ChunkResult MeasureChunk(const model::MappedTensor& source, const PreparedTensor& tensor, const Chunk& chunk,
                         const RowSampler& sampler) {
  std::vector<float> values(chunk.rows * tensor.row_weights);
  model::ReadRows(source, chunk.first, chunk.rows, values.data());
  ChunkResult result;
  result.non_finite = ZeroNonFinite(&values);
  result.errors.resize(tensor.formats.size());
  if (tensor.vector) return result;
  quant::ErrorScratch scratch;
  for (uint64_t r = 0; r < chunk.rows; ++r) {
    if (!sampler.Takes(chunk.first + r)) continue;
    const absl::Span<const float> row(&values[r * tensor.row_weights], tensor.row_weights);
    for (size_t f = 0; f < tensor.formats.size(); ++f) {
      result.errors[f] += quant::MeasureRow(tensor.formats[f], row, {}, scratch);
    }
  }
  return result;
}

Json CurveOf(const PreparedTensor& tensor, const std::vector<quant::RowError>& errors) {
  Json curve = Json::array();
  for (size_t f = 0; f < tensor.formats.size(); ++f) {
    const double relative = errors[f].energy > 0 ? errors[f].error / errors[f].energy : 0;
    curve.push_back({{"format", quant::InfoOf(tensor.formats[f]).name},
                     {"bytes", *quant::EncodedBytes(tensor.formats[f], tensor.rows, tensor.row_weights)},
                     {"distortion", relative}});
  }
  return curve;
}

}  // namespace

absl::StatusOr<Json> Measure(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  const size_t first = prepared.shards.at(task.shard).first, last = prepared.shards.at(task.shard).second;

  std::vector<Chunk> chunks;
  uint64_t weights = 0;
  for (size_t t = first; t < last; ++t) {
    AppendChunks(t, prepared.tensors[t].rows, prepared.tensors[t].row_weights, &chunks);
    weights += prepared.tensors[t].weights();
  }
  ProgressCounter progress(task.observer, weights);
  std::vector<ChunkResult> results(chunks.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), chunks.size(), [&](uint64_t c) {
    const PreparedTensor& tensor = prepared.tensors[chunks[c].tensor];
    results[c] = MeasureChunk(open.model.tensors[chunks[c].tensor], tensor, chunks[c], RowSampler(tensor, task.spec.seed));
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
    std::vector<quant::RowError> errors(tensor.formats.size());
    uint64_t non_finite = 0;
    for (; c < chunks.size() && chunks[c].tensor == t; ++c) {
      non_finite += results[c].non_finite;
      for (size_t f = 0; f < errors.size(); ++f) errors[f] += results[c].errors[f];
    }
    if (non_finite > 0) {
      task.observer->Log("warning", absl::StrCat("tensor '", tensor.source, "': ", non_finite, " NaN or infinite weights set to 0"));
    }
    tensors.push_back({{"tensor", t}, {"non_finite", non_finite}, {"curve", CurveOf(tensor, errors)}});
  }
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, absl::StrCat("curves-", task.shard, ".json")),
                                      Json{{"tensors", std::move(tensors)}}.dump(1)));
  return Json{{"weights", weights}};
}

}  // namespace nashswarm::pipeline
