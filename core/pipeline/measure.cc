// MEASURE: the rate and distortion of every strategy of every player of one shard, and a scan of every weight for NaN
// and infinity.
#include "core/base/status.h"
#include "core/pipeline/files/curves.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

absl::StatusOr<Json> Measure(const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageInputs in, StageInputs::Open(task));
  NS_ASSIGN_OR_RETURN(const TensorRange shard, in.prepared.Shard(task.shard));
  NS_ASSIGN_OR_RETURN(const Curves curves, in.kind->Measure(task, in, shard));
  NS_RETURN_IF_ERROR(curves.Write(task.out_dir, task.shard));
  return Json{{"weights", in.prepared.WeightsOf(shard)}};
}

}  // namespace nashswarm::pipeline
