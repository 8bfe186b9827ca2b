#include "core/pipeline/stage_table.h"

#include <algorithm>

#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

constexpr StageRow kStages[] = {
    {.name = "validate", .run = Validate, .reads_spec = false},  // of a checkpoint, before there is a job
    {.name = "prepare", .run = Prepare},
    {.name = "calibrate", .run = Calibrate, .uses_blas = true},
    {.name = "measure", .run = Measure, .uses_blas = true},
    {.name = "solve", .run = SolvePlan},
    {.name = "search", .run = Search, .uses_blas = true},
    {.name = "encode", .run = Encode, .uses_blas = true},
    {.name = "evaluate", .run = Evaluate, .uses_blas = true},
    {.name = "publish", .run = Publish},
};

}  // namespace

absl::Span<const StageRow> Stages() { return kStages; }

absl::StatusOr<const StageRow*> FindStage(const std::string& name) {
  const auto* row = std::find_if(std::begin(kStages), std::end(kStages), [&](const StageRow& r) { return r.name == name; });
  if (row != std::end(kStages)) return row;
  return MakeError(absl::StatusCode::kInvalidArgument, "STAGE_UNKNOWN", absl::StrCat("unknown stage '", name, "'"));
}

absl::StatusOr<Json> RunStage(const std::string& name, const Task& task) {
  NS_ASSIGN_OR_RETURN(const StageRow* const row, FindStage(name));
  return row->run(task);
}

}  // namespace nashswarm::pipeline
