// What the later stages of a job will take of a machine, estimated by PREPARE from shapes alone. The server places
// tasks by it, so it errs on the high side; tests/bench/measure_needs.py compares it with what the stages take.
#ifndef NASHSWARM_CORE_PIPELINE_NEEDS_H_
#define NASHSWARM_CORE_PIPELINE_NEEDS_H_

#include "core/base/json.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

// {"measure": {"memory_bytes", "thread_bytes", "disk_bytes"}, ...}, a need for any one task of each stage that this job
// may have, and of "encode" a list of them, one a shard: private resident memory is memory_bytes + threads *
// thread_bytes. Pages of mapped weight files are not counted: the kernel takes them back when it must. "search" is also
// the need of a SOLVE that tries plans out, for a quality target. An empty object when the model's hyperparameters
// cannot be read.
Json NeedsOf(const OpenModel& open, const Prepared& prepared, const Task& task);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_NEEDS_H_
