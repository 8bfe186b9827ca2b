#include "core/pipeline/local_run.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/game/game.h"
#include "core/pipeline/assemble.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

// Makes `from` visible in `directory` too, without a copy.
absl::Status Share(const std::string& from, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_hard_link(from, JoinPath(directory, BaseName(from)), error);
  return error ? ErrnoError(error.value(), from) : absl::OkStatus();
}

}  // namespace

Task LocalRun::TaskIn(const std::string& directory) const {
  Task task;
  task.model_dir = job_.model_dir;
  task.in_dir = task.out_dir = directory;
  task.spec = job_.spec;
  task.threads = job_.threads;
  task.observer = job_.observer;
  task.calibration_path = job_.calibration_path;
  task.evaluation_path = job_.evaluation_path;
  task.compares = false;  // no report is written
  task.nsq_settings = job_.nsq_settings;
  return task;
}

absl::StatusOr<std::unique_ptr<LocalRun>> LocalRun::Measure(LocalJob job, const LocalRun* like) {
  NS_ASSIGN_OR_RETURN(TemporaryDirectory scratch, TemporaryDirectory::Create());
  std::unique_ptr<LocalRun> run(new LocalRun(std::move(job), std::move(scratch)));
  NS_RETURN_IF_ERROR(run->Start(like));
  return run;
}

absl::Status LocalRun::Start(const LocalRun* like) {
  Task task = TaskIn(scratch_.path());
  job_.on_stage("prepare");
  NS_RETURN_IF_ERROR(pipeline::Prepare(task).status());
  NS_ASSIGN_OR_RETURN(in_.kind, FindKind(job_.spec.format));
  NS_ASSIGN_OR_RETURN(in_.open, OpenAndMap(job_.model_dir));
  NS_ASSIGN_OR_RETURN(in_.prepared, ReadPrepared(scratch_.path(), in_.open.model));
  in_.tied_head = HasTiedHead(in_.open.model);
  if (job_.spec.calibrates()) {
    const std::string path = JoinPath(scratch_.path(), calibrate::kCalibrationFile);
    if (like == nullptr) {
      job_.on_stage("calibrate");
      NS_RETURN_IF_ERROR(pipeline::Calibrate(task).status());
    } else {
      if (!like->job_.spec.calibrates()) {
        return MakeError(absl::StatusCode::kInternal, "CALIBRATION_MISSING", "a run was to take over a calibration that is not there");
      }
      NS_RETURN_IF_ERROR(Share(JoinPath(like->scratch_.path(), calibrate::kCalibrationFile), scratch_.path()));
      NS_RETURN_IF_ERROR(Share(like->moments_path(), scratch_.path()));
    }
    NS_ASSIGN_OR_RETURN(in_.calibrated.calibration, calibrate::ReadCalibration(path));
  }
  job_.on_stage("measure");
  for (task.shard = 0; task.shard < static_cast<int>(in_.prepared.shards.size()); ++task.shard) {
    NS_RETURN_IF_ERROR(pipeline::Measure(task).status());
  }
  NS_ASSIGN_OR_RETURN(players_, ReadPlayers(in_, scratch_.path()));
  return absl::OkStatus();
}

uint64_t LocalRun::smallest_file() const { return in_.prepared.header_bytes + game::SmallestBytes(players_.players); }

double LocalRun::loss_of_zeros() const {
  double loss = 0;
  for (const game::Player& player : players_.players) loss += player.loss_weight;
  return loss;
}

absl::StatusOr<LocalRun::Prediction> LocalRun::Predict(uint64_t file_bytes) const {
  const uint64_t budget = file_bytes > in_.prepared.header_bytes ? file_bytes - in_.prepared.header_bytes : 0;
  NS_ASSIGN_OR_RETURN(const game::Plan plan, game::Solve(players_.players, budget, game::kExactWorkOfMany));
  return Prediction{in_.prepared.header_bytes + plan.bytes, plan.loss, plan.nobody_wants_more};
}

absl::Status LocalRun::Solve(Task task, Made* made) const {
  job_.on_stage("solve");
  NS_ASSIGN_OR_RETURN(const Json solved, SolvePlan(task));
  NS_ASSIGN_OR_RETURN(const Plan plan, ReadPlanToEncode(task.in_dir, in_.prepared));
  made->predicted_loss = plan.loss;
  const auto rounds = static_cast<int>(JsonInt(solved, "search_rounds", 0));
  if (rounds > 0) job_.on_stage("search");
  for (task.shard = 0; task.shard < rounds; ++task.shard) {
    NS_ASSIGN_OR_RETURN(const Json searched, pipeline::Search(task));
    made->search_rounds = task.shard + 1;
    if (JsonBool(searched, "done", false)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<LocalRun::Made> LocalRun::Make(const Spec& target) const {
  Made made;
  NS_ASSIGN_OR_RETURN(TemporaryDirectory directory, TemporaryDirectory::Create(scratch_.path()));
  made.directory = std::make_unique<TemporaryDirectory>(std::move(directory));
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory work, TemporaryDirectory::Create(scratch_.path()));  // the stages' files
  for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
    if (entry.is_regular_file()) NS_RETURN_IF_ERROR(Share(entry.path().string(), work.path()));
  }
  Task task = TaskIn(work.path());
  task.spec.target = target.target;
  task.spec.bits_per_weight = target.bits_per_weight;
  task.spec.size_bytes = target.size_bytes;
  task.spec.ratio = target.ratio;
  task.spec.quality = target.quality;
  task.spec.search = target.search;
  NS_RETURN_IF_ERROR(Solve(task, &made));
  job_.on_stage("encode");
  for (task.shard = 0; task.shard < static_cast<int>(in_.prepared.shards.size()); ++task.shard) {
    NS_RETURN_IF_ERROR(pipeline::Encode(task).status());
  }
  task.shard = 0;
  NS_ASSIGN_OR_RETURN(const Plan plan, ReadPlanToEncode(work.path(), in_.prepared));
  NS_ASSIGN_OR_RETURN(const Assembled assembled, AssembleWeights(task, in_, plan, made.directory->path(), [](uint64_t) {}));
  made.path = JoinPath(made.directory->path(), assembled.file_name);
  NS_ASSIGN_OR_RETURN(made.bytes, FileSize(made.path));
  if (!job_.spec.evaluates()) return made;
  job_.on_stage("evaluate");
  NS_RETURN_IF_ERROR(pipeline::Evaluate(task).status());
  NS_ASSIGN_OR_RETURN(made.evaluation, Evaluation::Read(work.path()));
  if (made.evaluation->sha256 != ToHex(assembled.file.sha256)) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_CHANGED", absl::StrCat(made.path, " is not the file that was evaluated"));
  }
  return made;
}

}  // namespace nashswarm::pipeline
