#include "server/worker/task_session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/status.h"
#include "server/log/log.h"
#include "server/stages/stage.h"

namespace nashswarm::server {
namespace {

using std::chrono::steady_clock;

// A watcher sees progress this often; each report is one durable write.
constexpr std::chrono::milliseconds kReportInterval{300};
constexpr size_t kMaxBatchedEvents = 2000;

absl::Status StopRequested() {
  return MakeError(absl::StatusCode::kCancelled, kStopRequested, "the job was cancelled or has ended");
}

}  // namespace

TaskSession::TaskSession(TaskStore* tasks, EventHub* hub, Metrics* metrics, const WorkerOptions& options,
                         const ClaimedTask& task, const std::atomic<bool>* stopping)
    : tasks_(tasks),
      hub_(hub),
      metrics_(metrics),
      options_(options),
      task_(task),
      stopping_(stopping),
      stage_(StageName(task.lease.key.stage)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reported_(steady_clock::now()) {
  hub_->AddWaker(wake_fd_);
  keeper_ = std::thread([this] { KeepLease(); });
}

TaskSession::~TaskSession() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  ended_.notify_all();
  keeper_.join();
  hub_->RemoveWaker(wake_fd_);
  close(wake_fd_);
}

void TaskSession::OnProgress(const EngineProgress& progress) {
  std::lock_guard<std::mutex> lock(mutex_);
  const int64_t more = progress.done - progress_.weights_done;
  if (RowOf(task_.lease.key.stage).unit == Unit::kTokens) {
    metrics_->TokensProcessed(stage_, more);
  } else {
    metrics_->WeightsProcessed(stage_, more);
  }
  progress_ = {progress.done, progress.total, progress.tensor};
  dirty_ = true;
}

void TaskSession::OnTensor(const EngineTensor& tensor) {
  metrics_->TensorEncoded(tensor.format);
  v1::JobEvent event;
  event.mutable_tensor_done()->set_tensor(tensor.tensor);
  event.mutable_tensor_done()->set_format(tensor.format);
  event.mutable_tensor_done()->set_bits_per_weight(tensor.bits_per_weight);
  event.mutable_tensor_done()->set_relative_error(tensor.relative_error);
  std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
}

void TaskSession::OnLog(const EngineLog& log) {
  v1::JobEvent event;
  event.mutable_log()->set_severity(log.severity);
  event.mutable_log()->set_text(log.text);
  std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
}

void TaskSession::OnStandardError(std::string_view line) {
  Log(LogLevel::kInfo, "engine",
      {{"job", task_.lease.key.job_id}, {"stage", stage_}, {"task", task_.lease.key.shard}, {"text", std::string(line)}});
}

absl::Status TaskSession::OnTick() {
  if (*stopping_) return MakeError(absl::StatusCode::kUnavailable, kShuttingDown, "the server is shutting down");
  const absl::StatusOr<bool> stop = tasks_->MustStop(task_.lease);
  // A database that does not answer now is no reason to lose the work: the lease decides.
  if (stop.ok() && *stop) return StopRequested();
  std::lock_guard<std::mutex> lock(mutex_);
  const bool due = steady_clock::now() - reported_ >= kReportInterval && (dirty_ || !events_.empty());
  return due || events_.size() > kMaxBatchedEvents ? Report() : absl::OkStatus();
}

absl::Status TaskSession::Flush() {
  std::lock_guard<std::mutex> lock(mutex_);
  return dirty_ || !events_.empty() ? Report() : absl::OkStatus();
}

absl::Status TaskSession::Report() {
  const int64_t lease_us = std::chrono::microseconds(options_.lease).count();
  const absl::StatusOr<bool> stop = tasks_->ReportTask(task_.lease, lease_us, progress_, events_);
  reported_ = steady_clock::now();
  if (absl::IsAborted(stop.status()) && ReasonOf(stop.status()) == "FENCED") return stop.status();
  if (!stop.ok()) {
    Log(LogLevel::kWarning, "report failed, will try again",
        {{"job", task_.lease.key.job_id}, {"stage", stage_}, {"error", std::string(stop.status().message())}});
    return absl::OkStatus();
  }
  events_.clear();
  dirty_ = false;
  hub_->JobChanged(task_.lease.key.job_id);
  return *stop ? StopRequested() : absl::OkStatus();
}

void TaskSession::KeepLease() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ended_.wait_for(lock, options_.heartbeat, [this] { return done_; })) {
    if (steady_clock::now() - reported_ < options_.heartbeat) continue;
    // The worker's thread finds out by itself when the answer is that the task must stop.
    Report().IgnoreError();
  }
}

}  // namespace nashswarm::server
