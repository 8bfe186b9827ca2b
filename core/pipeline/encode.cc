// ENCODE: every tensor of one shard in the format the plan gives it. Threads read, encode and write chunks on their own,
// so the three overlap; offsets are known beforehand, so chunks need no order.
#include <atomic>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/stages.h"
#include "core/quant/error.h"

namespace nashswarm::pipeline {
namespace {

struct ShardTensor {
  quant::Format format;
  uint64_t offset;      // in the shard
  uint64_t row_bytes;
  std::atomic<uint64_t> chunks_left{0};
  size_t first_chunk = 0, chunk_count = 0;
};

// Kept by each thread from chunk to chunk: fresh pages for every chunk would cost more than the fast encoders do.
struct ChunkBuffers {
  std::vector<float> values, decoded;
  std::vector<uint8_t> encoded;
};

absl::Status EncodeChunk(const model::MappedTensor& source, const PreparedTensor& tensor,
                         const calibrate::Objective& objective, const ShardTensor& target, const Chunk& chunk,
                         bool zero_non_finite, AtomicFile* file, quant::RowError* error) {
  static thread_local ChunkBuffers buffers;
  auto& [values, decoded, encoded] = buffers;
  const uint64_t width = tensor.row_weights;
  values.resize(chunk.rows * width);
  decoded.resize(width);
  encoded.resize(chunk.rows * target.row_bytes);
  model::ReadRows(source, chunk.first, chunk.rows, values.data());
  if (zero_non_finite) {
    for (float& value : values) value = std::isfinite(value) ? value : 0.0f;
  }
  objective.Encode(target.format, values.data(), chunk.rows, width, encoded.data());
  for (uint64_t r = 0; r < chunk.rows; ++r) {
    quant::DecodeRow(target.format, &encoded[r * target.row_bytes], absl::MakeSpan(decoded));
    *error += quant::CompareRows({&values[r * width], width}, decoded, {});
  }
  return file->WriteAt(target.offset + chunk.first * target.row_bytes, encoded);
}

}  // namespace

absl::StatusOr<Json> Encode(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const Json plan, ReadPlan(task.in_dir));
  NS_ASSIGN_OR_RETURN(const Calibrated calibrated, ReadCalibrated(task));
  if (task.spec.is_nsq()) return EncodeNsq(task, {prepared, open, calibrated, HasTiedHead(open.model), task.nsq_settings}, plan);
  Objectives objectives(open.model, calibrated.moments.get());
  const size_t first = prepared.shards.at(task.shard).first, last = prepared.shards.at(task.shard).second;

  std::vector<Chunk> chunks;
  std::vector<ShardTensor> targets(last - first);
  uint64_t offset = 0, weights = 0;
  for (size_t t = first; t < last; ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    ShardTensor& target = targets[t - first];
    target.format = *quant::FormatByName(plan.at("tensors").at(t).at("format").get<std::string>());
    target.offset = offset;
    target.row_bytes = *quant::EncodedBytes(target.format, 1, tensor.row_weights);
    target.first_chunk = chunks.size();
    AppendChunks(t, tensor.rows, tensor.row_weights, &chunks);
    target.chunk_count = chunks.size() - target.first_chunk;
    target.chunks_left = target.chunk_count;
    offset += tensor.AlignedBytes(target.format);
    weights += tensor.weights();
  }

  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(JoinPath(task.out_dir, absl::StrCat("shard-", task.shard, ".bin"))));
  NS_RETURN_IF_ERROR(file.Truncate(offset));  // alignment gaps read as zeros
  ProgressCounter progress(task.observer, weights);
  std::vector<quant::RowError> errors(chunks.size()), totals(targets.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), chunks.size(), [&](uint64_t c) -> absl::Status {
    const size_t t = chunks[c].tensor;
    const PreparedTensor& tensor = prepared.tensors[t];
    ShardTensor& target = targets[t - first];
    NS_RETURN_IF_ERROR(EncodeChunk(open.model.tensors[t], tensor, objectives.Of(t), target, chunks[c],
                                   task.spec.zero_non_finite, &file, &errors[c]));
    progress.Add(chunks[c].rows * tensor.row_weights, tensor.source);
    if (target.chunks_left.fetch_sub(1) == 1) {  // the last chunk of the tensor sums up, in order
      quant::RowError& total = totals[t - first];
      for (size_t i = 0; i < target.chunk_count; ++i) total += errors[target.first_chunk + i];
      progress.TensorDone(tensor.source, std::string(quant::InfoOf(target.format).name),
                          8.0 * target.row_bytes / tensor.row_weights, total.energy > 0 ? total.error / total.energy : 0);
    }
    return absl::OkStatus();
  }));
  NS_RETURN_IF_ERROR(file.CommitUnsynced());

  Json tensors = Json::array();
  for (size_t i = 0; i < targets.size(); ++i) {
    const PreparedTensor& tensor = prepared.tensors[first + i];
    tensors.push_back({{"tensor", first + i}, {"bytes", tensor.rows * targets[i].row_bytes}, {"error", totals[i].error},
                       {"energy", totals[i].energy}});
  }
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, absl::StrCat("shard-", task.shard, ".json")),
                                      Json{{"bytes", offset}, {"tensors", std::move(tensors)}}.dump(1)));
  return Json{{"weights", weights}, {"bytes", offset}};
}

}  // namespace nashswarm::pipeline
