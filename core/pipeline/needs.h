// What the later stages of a job will take of a machine, estimated by PREPARE from shapes alone. The server places
// tasks by it, so it errs on the high side; tests/bench/measure_needs.py compares it with what the stages take.
#ifndef NASHSWARM_CORE_PIPELINE_NEEDS_H_
#define NASHSWARM_CORE_PIPELINE_NEEDS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/json_fields.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

class ArtifactKind;

// Private resident memory is memory_bytes + threads * thread_bytes. Pages of mapped weight files are not counted: the kernel
// takes them back when it must.
struct StageNeed {
  uint64_t memory_bytes = 0, thread_bytes = 0, disk_bytes = 0;
};

// Of any one task of each stage that a job may have.
struct JobNeeds {
  StageNeed measure, solve;
  std::vector<StageNeed> encode;  // by shard
  StageNeed publish;
  // Of a job that calibrates. `search` is also the need of a SOLVE that tries plans out, for a quality target.
  std::optional<StageNeed> calibrate, search, evaluate;
};

template <typename V, MaybeConst<StageNeed> T>
void Fields(V& v, T& need) {
  v("memory_bytes", need.memory_bytes);
  v("thread_bytes", need.thread_bytes);
  v("disk_bytes", need.disk_bytes);
}

template <typename V, MaybeConst<JobNeeds> T>
void Fields(V& v, T& needs) {
  v("measure", needs.measure);
  v("solve", needs.solve);
  v("encode", needs.encode);
  v("publish", needs.publish);
  v("calibrate", needs.calibrate);
  v("search", needs.search);
  v("evaluate", needs.evaluate);
}

// Nothing when the model's hyperparameters cannot be read.
std::optional<JobNeeds> NeedsOf(const ArtifactKind& kind, const OpenModel& open, const Prepared& prepared, const Task& task);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_NEEDS_H_
