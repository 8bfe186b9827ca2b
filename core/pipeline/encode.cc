// ENCODE: every tensor of one shard as the plan says.
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/files/shard_index.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

absl::StatusOr<Json> Encode(const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageInputs in, StageInputs::Open(task));
  NS_ASSIGN_OR_RETURN(const TensorRange shard, in.prepared.Shard(task.shard));
  NS_ASSIGN_OR_RETURN(const Plan plan, ReadPlanToEncode(task.in_dir, in.prepared));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(JoinPath(task.out_dir, ShardIndex::DataFile(task.shard))));
  NS_ASSIGN_OR_RETURN(const ShardIndex index, in.kind->Encode(task, in, shard, plan, &file));
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  NS_RETURN_IF_ERROR(index.Write(task.out_dir, task.shard));
  return Json{{"weights", in.prepared.WeightsOf(shard)}, {"bytes", index.bytes}};
}

}  // namespace nashswarm::pipeline
