#include "core/pipeline/files/prepared.h"

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/checkpoint/gguf.h"
#include "core/quant/format_text.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<PreparedTensor> T>
void Fields(V& v, T& tensor) {
  v("name", tensor.name);
  v("source", tensor.source);
  v("role", tensor.role);
  v("rows", tensor.rows);
  v("row_weights", tensor.row_weights);
  v("vector", tensor.vector);
  v("formats", tensor.formats);
  v("stack", tensor.stack);
  v("place", tensor.place);
  v("stack_size", tensor.stack_size);
}

template <typename V, MaybeConst<Prepared> T>
void Fields(V& v, T& prepared) {
  v("format", prepared.format);
  v("model_name", prepared.model_name);
  v("architecture", prepared.architecture);
  v("parameters", prepared.parameters);
  v("source_weight_bytes", prepared.source_weight_bytes);
  v("header_bytes", prepared.header_bytes);
  v("tensors", prepared.tensors);
  v("shards", prepared.shards);
  v("warnings", prepared.warnings);
}

namespace {

// One after another, and together all tensors.
bool CutsAll(const Prepared& prepared) {
  uint64_t next = 0;
  for (const auto& [first, last] : prepared.shards) {
    if (first != next || last <= first) return false;
    next = last;
  }
  return next == prepared.tensors.size();
}

}  // namespace

uint64_t PreparedTensor::AlignedBytes(quant::Format format) const {
  const uint64_t bytes = *quant::EncodedBytes(format, rows, row_weights);
  if (!ends_stack()) return bytes;
  return AlignUp(stack_size * bytes, checkpoint::kGgufAlignment) - (stack_size - 1) * bytes;
}

absl::StatusOr<TensorRange> Prepared::Shard(int shard) const {
  if (shard < 0 || static_cast<size_t>(shard) >= shards.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SHARD_UNKNOWN",
                     absl::StrCat("there is no shard ", shard, ": the model has ", shards.size()));
  }
  const auto [first, last] = shards[static_cast<size_t>(shard)];
  return TensorRange{first, last};
}

uint64_t Prepared::WeightsOf(TensorRange range) const {
  uint64_t weights = 0;
  for (size_t t = range.first; t < range.last; ++t) weights += tensors[t].weights();
  return weights;
}

absl::StatusOr<Prepared> Prepared::Read(const std::string& directory) {
  const std::string path = JoinPath(directory, kFile);
  NS_ASSIGN_OR_RETURN(Prepared prepared, ReadJsonFile<Prepared>(path, kVersion));
  if (!CutsAll(prepared)) return FaultIn(path, {"shards", "do not cut the tensors into parts"});
  return prepared;
}

absl::Status Prepared::Write(const std::string& directory) const { return WriteJsonFile(JoinPath(directory, kFile), kVersion, *this); }

}  // namespace nashswarm::pipeline
