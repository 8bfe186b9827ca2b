// GGUF artifacts: one weight file whose tensors are in block formats, the experts of a layer stacked.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_GGUF_STAGES_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_GGUF_STAGES_H_

#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {

const ArtifactKind& Gguf();

// ArtifactKind's functions of these names.
absl::Status PrepareGguf(const Task& task, const OpenModel& open, Prepared* prepared);
absl::StatusOr<Curves> MeasureGguf(const Task& task, const StageInputs& in, TensorRange shard);
absl::StatusOr<ShardIndex> EncodeGguf(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan, AtomicFile* file);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_GGUF_STAGES_H_
