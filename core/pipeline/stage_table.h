// The engine's table of stages: a row a stage. Whoever runs a stage by its name asks it, and names none.
#ifndef NASHSWARM_CORE_PIPELINE_STAGE_TABLE_H_
#define NASHSWARM_CORE_PIPELINE_STAGE_TABLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

struct StageRow {
  const char* name;  // in task.json
  absl::StatusOr<Json> (*run)(const Task& task);  // returns the fields of its "result" event
  bool reads_spec = true;
  bool uses_blas = false;  // which wants its working memory beforehand, where memory is limited
};

// In the order they run.
absl::Span<const StageRow> Stages();
// INVALID_ARGUMENT / STAGE_UNKNOWN. What it points to is constant.
absl::StatusOr<const StageRow*> FindStage(const std::string& name);
// FindStage and its `run`.
absl::StatusOr<Json> RunStage(const std::string& name, const Task& task);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_STAGE_TABLE_H_
