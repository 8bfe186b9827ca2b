// ENCODE of a GGUF artifact: every tensor of one shard in the format the plan gives it. Threads read, encode and write chunks on
// their own, so the three overlap; offsets are known beforehand, so chunks need no order.
#include <atomic>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/gguf_stages.h"
#include "core/pipeline/progress.h"
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

// MEASURE has refused weights that are not finite, unless they are to be zero.
absl::Status WriteChunk(const model::MappedTensor& source, const calibrate::Objective& objective, const ShardTensor& target,
                        const Chunk& chunk, AtomicFile* file, quant::RowError* error) {
  static thread_local ChunkBuffers buffers;
  auto& [values, decoded, encoded] = buffers;
  const uint64_t width = source.row_weights;
  values.resize(chunk.rows * width);
  decoded.resize(values.size());
  model::ReadRows(source, chunk.first, chunk.rows, values.data());
  ZeroNonFinite(absl::MakeSpan(values));
  EncodeChunk(objective, target.format, values, width, &encoded, absl::MakeSpan(decoded));
  for (uint64_t r = 0; r < chunk.rows; ++r) {
    *error += quant::CompareRows({&values[r * width], width}, {&decoded[r * width], width}, {});
  }
  return file->WriteAt(target.offset + chunk.first * target.row_bytes, encoded);
}

}  // namespace

absl::StatusOr<ShardIndex> EncodeGguf(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan, AtomicFile* file) {
  std::vector<Chunk> chunks;
  std::vector<ShardTensor> targets(shard.size());
  ShardIndex index;
  for (size_t t = shard.first; t < shard.last; ++t) {
    const PreparedTensor& tensor = in.prepared.tensors[t];
    ShardTensor& target = targets[t - shard.first];
    target.format = plan.tensors[t].choice.format;
    target.offset = index.bytes;
    target.row_bytes = *quant::EncodedBytes(target.format, 1, tensor.row_weights);
    target.first_chunk = chunks.size();
    AppendChunks(t, tensor.rows, tensor.row_weights, &chunks);
    target.chunk_count = chunks.size() - target.first_chunk;
    target.chunks_left = target.chunk_count;
    index.bytes += tensor.AlignedBytes(target.format);
  }

  NS_RETURN_IF_ERROR(file->Truncate(index.bytes));  // alignment gaps read as zeros
  ProgressCounter progress(task.observer, in.prepared.WeightsOf(shard));
  std::vector<quant::RowError> errors(chunks.size()), totals(targets.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(task.threads), chunks.size(), [&](uint64_t c) -> absl::Status {
    const size_t t = chunks[c].tensor;
    const PreparedTensor& tensor = in.prepared.tensors[t];
    ShardTensor& target = targets[t - shard.first];
    NS_RETURN_IF_ERROR(WriteChunk(in.source(t), in.ObjectiveOf(t), target, chunks[c], file, &errors[c]));
    progress.Add(chunks[c].rows * tensor.row_weights, tensor.source);
    if (target.chunks_left.fetch_sub(1) == 1) {  // the last chunk of the tensor sums up, in order
      quant::RowError& total = totals[t - shard.first];
      for (size_t i = 0; i < target.chunk_count; ++i) total += errors[target.first_chunk + i];
      progress.TensorDone(tensor.source, std::string(quant::InfoOf(target.format).name),
                          8.0 * target.row_bytes / tensor.row_weights, total.energy > 0 ? total.error / total.energy : 0);
    }
    return absl::OkStatus();
  }));

  for (size_t i = 0; i < targets.size(); ++i) {
    const uint64_t t = shard.first + i;
    index.tensors.push_back({t, in.prepared.tensors[t].rows * targets[i].row_bytes, totals[i].error, totals[i].energy});
  }
  return index;
}

}  // namespace nashswarm::pipeline
