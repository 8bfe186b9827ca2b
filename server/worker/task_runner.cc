#include "server/worker/task_runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/log/log.h"
#include "server/log/trace_id.h"
#include "server/stages/cache_key.h"
#include "server/stages/flow.h"
#include "server/stages/job_spec.h"
#include "server/stages/needs.h"
#include "server/stages/spec_json.h"
#include "server/store/error_proto.h"
#include "server/worker/task_session.h"
#include "server/worker/work_directory.h"

namespace nashswarm::server {
namespace {

using std::chrono::steady_clock;

// However often a task failed, it is tried again within this time.
constexpr std::chrono::milliseconds kMaxBackoff{60000};

double SecondsSince(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

constexpr std::chrono::milliseconds kAwayPause{250};

bool IsDatabaseAway(const absl::Status& status) {
  return absl::IsUnavailable(status) && ReasonOf(status).starts_with("DATABASE_");
}

const absl::Status& StatusIn(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusIn(const absl::StatusOr<T>& value) {
  return value.status();
}

// `fields`, and what tells which job, and in whose trace.
void LogJob(LogLevel level, std::string_view message, const ClaimedTask& task, std::vector<LogField> fields) {
  fields.insert(fields.begin(), LogField("job", task.lease.key.job_id));
  if (!task.traceparent.empty()) fields.emplace_back("trace_id", TraceId(task.traceparent));
  Log(level, message, fields);
}

void LogTask(LogLevel level, std::string_view message, const ClaimedTask& task, std::vector<LogField> fields) {
  const TaskKey& key = task.lease.key;
  fields.insert(fields.begin(), {LogField("stage", StageName(key.stage)), LogField("task", key.shard)});
  LogJob(level, message, task, std::move(fields));
}

// The engine's paths are absolute, so it may run anywhere.
Json TaskJson(const WorkDirectory& directory, const std::string& stage, int shard) {
  return {{"stage", stage}, {"shard", shard}, {"model", directory.model_path()}};
}

// Lets Validate notice that its caller has gone.
class ValidationObserver : public EngineObserver {
 public:
  ValidationObserver(const std::string& name, const std::function<bool()>& cancelled, const std::atomic<bool>& stopping)
      : name_(name), cancelled_(cancelled), stopping_(stopping) {}
  void OnProgress(const EngineProgress&) override {}
  void OnTensor(const EngineTensor&) override {}
  void OnLog(const EngineLog& log) override {
    Log(LogLevel::kInfo, "engine", {{"task", name_}, {"stage", "validate"}, {"text", log.text}});
  }
  void OnStandardError(std::string_view line) override {
    Log(LogLevel::kInfo, "engine", {{"task", name_}, {"stage", "validate"}, {"text", std::string(line)}});
  }
  absl::Status OnTick() override {
    if (stopping_) {
      return MakeError(absl::StatusCode::kUnavailable, kShuttingDown, "the server is shutting down", "try again");
    }
    if (cancelled_()) return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the call was cancelled");
    return absl::OkStatus();
  }

 private:
  const std::string& name_;
  const std::function<bool()>& cancelled_;
  const std::atomic<bool>& stopping_;
};

}  // namespace

absl::StatusOr<std::optional<TaskFinish>> TaskRunner::Reuse(const ClaimedTask& task, const std::string& cache_key,
                                                             const Between& between) {
  NS_ASSIGN_OR_RETURN(const std::optional<CachedResult> kept, tasks_->FindTaskResult(cache_key));
  if (!kept.has_value()) return std::nullopt;
  for (const TaskOutput& output : kept->outputs) {
    const absl::Status whole = blobs_->Verify(output.digest, between);
    // A damaged store costs the work again, nothing more.
    if (absl::IsNotFound(whole) || absl::IsDataLoss(whole)) return std::nullopt;
    NS_RETURN_IF_ERROR(whole);
  }
  TaskFinish finish;
  finish.outputs = kept->outputs;
  finish.result_json = kept->result_json;
  const absl::StatusOr<Json> result = ParseJson(kept->result_json, "kept result");
  if (!result.ok()) return std::nullopt;
  const TaskKey& key = task.lease.key;
  if (!ReadStageResult(key.stage, key.shard, *result, task.spec.artifact_format(), &finish).ok()) return std::nullopt;
  return finish;
}

int TaskRunner::ThreadsOf(const ClaimedTask& task) const {
  return task.spec.threads() > 0 ? task.spec.threads() : options_.threads;
}

absl::StatusOr<Json> TaskRunner::DescribeTask(const ClaimedTask& task, const WorkDirectory& directory) {
  const TaskKey& key = task.lease.key;
  Json json = TaskJson(directory, StageName(key.stage), key.shard);
  json["spec"] = SpecToJson(task.spec);
  json["threads"] = ThreadsOf(task);
  json["source"] = {{"model", absl::StrCat("models/", task.model_id)}, {"digest", ToHex(task.model_manifest.sha256)}};
  json["data"] = Json::object();
  for (const DataFile& file : task.data) json["data"][file.purpose] = directory.data_path(file.purpose);
  if (!RowOf(key.stage).reads_history) return json;
  json["history"] = Json::array();
  NS_ASSIGN_OR_RETURN(const std::vector<TaskRecord> history, tasks_->TaskHistory(key.job_id));
  for (const TaskRecord& record : history) {
    const absl::StatusOr<Json> result = ParseJson(record.result_json, "task result");
    json["history"].push_back({{"stage", StageName(record.stage)},
                               {"shard", record.shard},
                               {"result", result.ok() ? *result : Json::object()}});
  }
  return json;
}

absl::StatusOr<TaskFinish> TaskRunner::Execute(const ClaimedTask& task, const std::vector<TaskOutput>& inputs,
                                               TaskSession* session, std::vector<std::string>* lost) {
  const TaskKey& key = task.lease.key;
  const Between between = [session] { return session->OnTick(); };
  const std::string name = absl::StrCat(key.job_id, "-", StageName(key.stage), "-", key.shard, "-", task.lease.epoch);
  NS_ASSIGN_OR_RETURN(WorkDirectory directory, WorkDirectory::Create(options_.work_root, name));
  NS_RETURN_IF_ERROR(directory.AddModel(*blobs_, task.model_files, between));
  NS_RETURN_IF_ERROR(directory.AddInputs(*blobs_, inputs, between, lost));
  NS_RETURN_IF_ERROR(directory.AddData(*blobs_, task.data, between));
  NS_ASSIGN_OR_RETURN(const Json json, DescribeTask(task, directory));
  NS_RETURN_IF_ERROR(directory.WriteTask(json));

  EngineRunner::Outcome outcome =
      engine_->Run(directory.path(), session->wake_fd(), options_.task_timeout, session, {options_.engine_memory_bytes, 0});
  NS_RETURN_IF_ERROR(outcome.status);
  TaskFinish finish;
  NS_ASSIGN_OR_RETURN(finish.outputs, directory.StoreOutputs(*tasks_, *blobs_, between));
  finish.result_json = outcome.result.dump();
  NS_RETURN_IF_ERROR(ReadStageResult(key.stage, key.shard, outcome.result, task.spec.artifact_format(), &finish));
  return finish;
}

absl::StatusOr<TaskFinish> TaskRunner::Work(const ClaimedTask& task, TaskSession* session, bool* reused,
                                            std::vector<std::string>* lost) {
  NS_RETURN_IF_ERROR(task.spec_status);
  const TaskKey& key = task.lease.key;
  if (task.model_files.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
                     absl::StrCat("models/", task.model_id, " is gone"));
  }
  if (task.data.size() != DataReferences(task.spec).size()) {
    return MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "a data file of the job is gone");
  }
  NS_ASSIGN_OR_RETURN(const std::vector<TaskOutput> inputs,
                      tasks_->TaskOutputs(key.job_id, InputStages(key.stage, task.spec)));
  const std::string cache_key = TaskCacheKey(options_.engine_digest, task, inputs);
  TaskFinish finish;
  std::optional<TaskFinish> kept;
  const bool keeps = RowOf(key.stage).kept;
  if (keeps) {
    NS_ASSIGN_OR_RETURN(kept, Reuse(task, cache_key, [session] { return session->OnTick(); }));
  }
  if (kept.has_value()) {
    *reused = true;
    finish = *std::move(kept);
  } else {
    NS_ASSIGN_OR_RETURN(finish, Execute(task, inputs, session, lost));
    if (keeps) {
      finish.cache_key = cache_key;
      finish.cache_model = task.model_manifest.sha256;
    }
  }
  finish.next = NextTasks(key.stage, key.shard, ShapeAfter(task, finish), task.spec);
  AddNeeds(task, finish.result_json, ThreadsOf(task), &finish.next);
  NS_RETURN_IF_ERROR(session->Flush());
  return finish;
}

// A database that is away for a moment (a restart, a fail-over) must not cost the work that is done: the call is repeated
// until the lease has run out, when another worker takes over anyway.
template <typename Call>
auto TaskRunner::Insist(const Call& call) {
  const auto give_up = steady_clock::now() + options_.lease;
  for (;;) {
    auto result = call();
    if (!IsDatabaseAway(StatusIn(result)) || stopping_ || steady_clock::now() >= give_up) return result;
    std::this_thread::sleep_for(kAwayPause);
  }
}

absl::StatusOr<TaskEnd> TaskRunner::Fail(const ClaimedTask& task, const absl::Status& error,
                                         const std::vector<std::string>& lost, std::string* outcome) {
  const std::string reason = ReasonOf(error);
  if (reason == kStopRequested) {
    *outcome = "cancelled";
    return Insist([&] { return tasks_->StopTask(task.lease); });
  }
  if (reason == kShuttingDown || IsDatabaseAway(error)) {  // neither is the task's fault
    *outcome = "released";
    NS_RETURN_IF_ERROR(Insist([&] { return tasks_->ReleaseTask(task.lease); }));
    return TaskEnd{};
  }
  const std::string stage = StageName(task.lease.key.stage);
  metrics_->TaskFailed(stage, reason);
  *outcome = "failed";
  TaskFailure failure;
  failure.error = ToErrorProto(error);
  failure.retriable = IsRetriable(error);
  failure.crashed = reason == kEngineCrashed || reason == kEngineKilled;
  failure.max_losses = options_.max_losses;
  const int doublings = std::min(task.attempt - 1, 16);
  failure.backoff_us = std::chrono::microseconds(std::min(options_.backoff * (1 << doublings), kMaxBackoff)).count();
  LogTask(LogLevel::kWarning, "task failed", task,
          {{"attempt", task.attempt}, {"retriable", failure.retriable},
           {"code", absl::StatusCodeToString(error.code())}, {"reason", reason},
           {"error", std::string(error.message())}});
  return Insist([&] {
    return lost.empty() ? tasks_->FailTask(task.lease, failure) : tasks_->RemakeInputs(task.lease, lost, failure);
  });
}

void TaskRunner::NoteEnd(const ClaimedTask& task, const absl::StatusOr<TaskEnd>& end, const std::string& outcome,
                         double seconds) {
  const TaskKey& key = task.lease.key;
  const std::string stage = StageName(key.stage);
  metrics_->TaskEnded(stage, end.ok() ? outcome : "fenced", seconds);
  if (!end.ok()) {
    // Fenced, or the database does not answer: either way the lease decides who goes on.
    LogTask(LogLevel::kWarning, "task result discarded", task, {{"error", std::string(end.status().message())}});
    return;
  }
  LogTask(LogLevel::kInfo, "task ended", task,
          {{"worker", task.lease.owner}, {"outcome", outcome}, {"seconds", seconds}});
  if (end->job_ended) {
    const std::string state = v1::Job::State_Name(end->job_state);
    metrics_->JobEnded(state, static_cast<double>(end->job_duration_us) / 1e6);
    LogJob(LogLevel::kInfo, "job ended", task, {{"state", state}});
  }
  hub_->JobChanged(key.job_id);
  hub_->WorkAvailable();
  if (end->job_ended) hub_->WakeRunning();  // a failed job's other tasks stop
}

void TaskRunner::Run(const ClaimedTask& task) {
  const TaskKey& key = task.lease.key;
  const auto start = steady_clock::now();
  LogTask(LogLevel::kInfo, "task started", task, {{"worker", task.lease.owner}, {"attempt", task.attempt}});
  hub_->JobChanged(key.job_id);
  bool reused = false;
  std::string outcome;
  absl::StatusOr<TaskEnd> end = TaskEnd{};
  {
    TaskSession session(tasks_, hub_, metrics_, options_, task, &stopping_);
    std::vector<std::string> lost;
    const absl::StatusOr<TaskFinish> finish = Work(task, &session, &reused, &lost);
    if (finish.ok()) {
      outcome = reused ? "reused" : "succeeded";
      end = Insist([&] { return tasks_->FinishTask(task.lease, *finish); });
      if (!end.ok() && ReasonOf(end.status()) != "FENCED") end = Fail(task, end.status(), {}, &outcome);
      if (end.ok() && end->job_ended && finish->success.has_value()) {
        const v1::Job::Result& result = finish->success->result;
        metrics_->ModelCompressed(task.model_weight_bytes, result.output_bytes());
        if (result.has_quality()) metrics_->QualityMeasured(result.quality().mean_kl());
      }
    } else {
      // What the engine said before it failed is worth showing, if the task is still ours.
      session.Flush().IgnoreError();
      end = Fail(task, finish.status(), lost, &outcome);
    }
  }
  NoteEnd(task, end, outcome, SecondsSince(start));
}

absl::StatusOr<Json> TaskRunner::Validate(const std::string& name, const std::vector<ModelFile>& files,
                                          const std::function<bool()>& cancelled) {
  NS_ASSIGN_OR_RETURN(WorkDirectory directory, WorkDirectory::Create(options_.work_root, name));
  NS_RETURN_IF_ERROR(directory.AddModelHeaders(*blobs_, files));
  Json json = TaskJson(directory, "validate", 0);
  json["spec"] = SpecToJson(v1::CompressionSpec());
  json["threads"] = options_.threads;
  NS_RETURN_IF_ERROR(directory.WriteTask(json));
  ValidationObserver observer(name, cancelled, stopping_);
  EngineRunner::Outcome outcome =
      engine_->Run(directory.path(), -1, options_.task_timeout, &observer, {options_.engine_memory_bytes, 0});
  if (ReasonOf(outcome.status) == kEngineCrashed) {
    // Not UNAVAILABLE, as for a task: a client would send the same files into the same crash until it tires of it.
    return MakeError(absl::StatusCode::kInternal, kEngineCrashed, std::string(outcome.status.message()),
                     "these files crash the reader of checkpoints: check them, or report it with the server's log");
  }
  NS_RETURN_IF_ERROR(outcome.status);
  return std::move(outcome.result);
}

}  // namespace nashswarm::server
