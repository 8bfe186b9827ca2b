#include "core/pipeline/assemble.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/files/shard_index.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

using artifact::Piece;

// Puts stretches of files together that follow one another: one long piece is copied faster than many.
void Append(const std::string& path, uint64_t begin, uint64_t bytes, std::vector<Piece>* pieces) {
  if (bytes == 0) return;
  Piece* last = pieces->empty() ? nullptr : &pieces->back();
  if (last != nullptr && last->path == path && last->begin + last->bytes == begin) {
    last->bytes += bytes;
  } else {
    pieces->emplace_back(path, begin, bytes);
  }
}

absl::StatusOr<EncodedModel> ReadShards(const StageInputs& in, const Plan& plan, const ExpertLayout& layout, const std::string& in_dir) {
  EncodedModel encoded;
  std::vector<Piece> padding;  // behind each tensor
  for (int shard = 0; shard < static_cast<int>(in.prepared.shards.size()); ++shard) {
    const std::string part = JoinPath(in_dir, ShardIndex::DataFile(shard));
    NS_ASSIGN_OR_RETURN(ShardIndex index, ShardIndex::Read(in_dir, shard, in.prepared));
    uint64_t offset = 0;
    for (EncodedTensor& tensor : index.tensors) {
      const uint64_t t = tensor.tensor;
      encoded.data.emplace_back(part, offset, tensor.bytes);
      padding.emplace_back(part, offset + tensor.bytes, in.kind->Padding(in.prepared.tensors[t], plan.tensors[t].choice));
      offset += tensor.bytes + padding.back().bytes;
      encoded.tensors.push_back(std::move(tensor));
    }
    NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(part));
    if (size != offset) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                       absl::StrCat(part, ": has ", size, " bytes, its tensors have ", offset));
    }
  }
  for (size_t t = 0; t < encoded.tensors.size(); ++t) {
    const Piece& data = encoded.data[layout.DataOf(t)];
    const std::vector<uint32_t>& rows = layout.RowsOf(t);
    if (rows.empty()) Append(data.path, data.begin, data.bytes, &encoded.pieces);
    for (const uint32_t row : rows) {
      const uint64_t bytes = data.bytes / rows.size();
      Append(data.path, data.begin + row * bytes, bytes, &encoded.pieces);
    }
    Append(padding[t].path, padding[t].begin, padding[t].bytes, &encoded.pieces);
  }
  return encoded;
}

std::vector<AssembledTensor> Describe(const Prepared& prepared, const EncodedModel& encoded, const Plan& plan) {
  std::vector<AssembledTensor> tensors;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const EncodedTensor& made = encoded.tensors[t];
    AssembledTensor tensor{plan.tensors[t].choice.name(), made.bytes, 0, made.error, made.energy};
    const auto weights = static_cast<double>(std::max<uint64_t>(prepared.tensors[t].weights(), 1));
    tensor.bits_per_weight = 8.0 * static_cast<double>(tensor.bytes) / weights;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<Assembled> AssembleWeights(const Task& task, const StageInputs& in, const Plan& plan, const std::string& directory,
                                          const std::function<void(uint64_t)>& progress) {
  const ExpertLayout layout(in.open.model, in.prepared, plan.expert_order);
  NS_ASSIGN_OR_RETURN(const EncodedModel encoded, ReadShards(in, plan, layout, task.in_dir));
  Assembled assembled;
  assembled.tensors = Describe(in.prepared, encoded, plan);
  assembled.file_name = std::string(in.kind->weight_file());
  const std::string path = JoinPath(directory, assembled.file_name);
  NS_ASSIGN_OR_RETURN(assembled.file, in.kind->WriteWeights(task, in, plan, encoded, layout, path, progress));
  const uint64_t bytes = assembled.file.bytes;
  if (in.kind->knows_size() ? bytes != plan.file_bytes : bytes > plan.file_bytes) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat(assembled.file_name, " has ", bytes, " bytes, the plan promised ", plan.file_bytes));
  }
  return assembled;
}

}  // namespace nashswarm::pipeline
