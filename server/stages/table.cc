// The table of stages.
#include <algorithm>

#include "core/base/status.h"
#include "server/stages/job_spec.h"
#include "server/stages/readers.h"
#include "server/stages/stage.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;

constexpr StageRow kStages[] = {
    {
        .stage = J::PREPARE,
        .name = "prepare",
        .outputs = {"prepared.json"},
        // Of texts it reads how long they are, for the needs of later stages, and what is in them, to compare tokenizers.
        .unread = {"target", "search"},
        .kept = true,
        .reader = ReadPrepareResult,
    },
    {
        .stage = J::CALIBRATE,
        .name = "calibrate",
        .runs = Calibrates,
        // It is the slowest stage and about the checkpoint alone, so it reads no other's outputs: whatever the artifact is to be,
        // it is the same.
        .outputs = {"calibration.json", "moments.safetensors"},
        .unit = Unit::kTokens,
        .unread = {"target", "search", "expert_order", "model_name", "allow_tokenizer_mismatch", "format", "rules"},
        .kept = true,
        .load = Load::kModel,
    },
    {
        .stage = J::MEASURE,
        .name = "measure",
        .tasks = FanOut::kShards,
        .inputs = {J::PREPARE, J::CALIBRATE},
        .outputs = {"curves-#.json"},
        // PREPARE makes room for the order of experts, and SOLVE finds it: what is measured between them does not know it.
        .unread = {"target", "search", "expert_order", "model_name", "allow_tokenizer_mismatch"},
        .kept = true,
    },
    {
        .stage = J::SOLVE,
        .name = "solve",
        .inputs = {J::PREPARE, J::CALIBRATE, J::MEASURE},
        .outputs = {"plan.json"},
        .kept = true,
        .load = Load::kModel,
        // Then it tries plans out, as a search does.
        .needs_of = {J::SEARCH, HasQualityTarget},
        .reader = ReadSolveResult,
    },
    {
        .stage = J::SEARCH,
        .name = "search",
        .tasks = FanOut::kRounds,
        .inputs = {J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH},
        .outputs = {"search-#.json"},
        .unit = Unit::kTokens,
        .kept = true,
        .load = Load::kModel,
        .reader = ReadSearchResult,
    },
    // What follows is not kept: ENCODE and PUBLISH leave as much as the artifact, so that deleting an artifact would free nothing;
    // EVALUATE is about one artifact.
    {
        .stage = J::ENCODE,
        .name = "encode",
        .tasks = FanOut::kShards,
        .inputs = {J::PREPARE, J::CALIBRATE, J::SOLVE, J::SEARCH},
        .outputs = {"shard-#.bin", "shard-#.json"},
    },
    {
        .stage = J::EVALUATE,
        .name = "evaluate",
        .runs = Evaluates,
        .inputs = {J::PREPARE, J::CALIBRATE, J::SOLVE, J::SEARCH, J::ENCODE},
        .outputs = {"evaluation.json"},
        .unit = Unit::kTokens,
        .load = Load::kModel,
    },
    {
        .stage = J::PUBLISH,
        .name = "publish",
        .inputs = {J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH, J::ENCODE, J::EVALUATE},
        .reads_history = true,
        .reader = ReadPublishResult,
    },
};

constexpr StageRow kUnknown = {.name = "stage_unspecified"};

// Progress and claims go by the numbers of stages, the flow by rows.
constexpr bool IsInOrder() {
  for (size_t i = 1; i < std::size(kStages); ++i) {
    if (kStages[i - 1].stage >= kStages[i].stage) return false;
  }
  return true;
}
static_assert(IsInOrder());

constexpr bool ReadsOnlyWhatIsThere() {
  for (const StageRow& row : kStages) {
    for (const Stage input : row.inputs) {
      if (row.tasks == FanOut::kRounds ? input > row.stage : input >= row.stage) return false;
    }
  }
  return true;
}
static_assert(ReadsOnlyWhatIsThere());

}  // namespace

std::string_view UnitName(Unit unit) { return unit == Unit::kTokens ? "tokens" : "weights"; }

absl::Span<const StageRow> Stages() { return kStages; }

const StageRow& RowOf(Stage stage) {
  const auto* row = std::find_if(std::begin(kStages), std::end(kStages), [=](const StageRow& r) { return r.stage == stage; });
  return row == std::end(kStages) ? kUnknown : *row;
}

std::string StageName(Stage stage) { return RowOf(stage).name; }

bool RunsIn(const StageRow& row, const v1::CompressionSpec& spec) { return row.runs == nullptr || row.runs(spec); }

absl::Status ProtocolError(Stage stage, const std::string& what) {
  return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL",
                   absl::StrCat("the engine's ", RowOf(stage).name, " task broke the protocol: ", what),
                   "check that nashswarmd and nashswarm-engine are of the same version");
}

}  // namespace nashswarm::server
