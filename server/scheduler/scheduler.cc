#include "server/scheduler/scheduler.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "server/log/log.h"
#include "server/store/disk_room.h"

namespace nashswarm::server {
namespace {

// Work that another process put into the store, and back-offs that end, are found within this time.
constexpr std::chrono::milliseconds kPollInterval{250};
constexpr std::chrono::seconds kNoteInterval{5};

}  // namespace

Scheduler::Scheduler(TaskStore* tasks, TaskRunner* runner, EventHub* hub, Metrics* metrics, SchedulerOptions options)
    : tasks_(tasks), runner_(runner), hub_(hub), metrics_(metrics), options_(std::move(options)) {}

Scheduler::~Scheduler() { Stop(); }

void Scheduler::Start(int workers) {
  metrics_->SetWorkers(workers);
  for (int i = 0; i < workers; ++i) threads_.emplace_back([this, i] { WorkerLoop(i); });
}

void Scheduler::Stop() {
  stop_ = true;
  runner_->StopAll();
  hub_->WakeRunning();
  hub_->WorkAvailable();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

absl::StatusOr<std::optional<ClaimedTask>> Scheduler::Claim(const std::string& owner) {
  std::lock_guard<std::mutex> lock(claim_mutex_);
  ClaimLimits limits;
  limits.memory_bytes = options_.memory_bytes - reserved_memory_;
  // What running tasks have written already counts twice: on the safe side.
  limits.disk_bytes = FreeDiskNow() - reserved_disk_;
  limits.max_running_jobs = options_.max_running_jobs;
  auto task = tasks_->ClaimTask(owner, std::chrono::microseconds(options_.lease).count(), limits);
  if (task.ok() && task->has_value()) {
    reserved_memory_ += (*task)->need_memory_bytes;
    reserved_disk_ += (*task)->need_disk_bytes;
  }
  return task;
}

void Scheduler::Release(const ClaimedTask& task) {
  {
    std::lock_guard<std::mutex> lock(claim_mutex_);
    reserved_memory_ -= task.need_memory_bytes;
    reserved_disk_ -= task.need_disk_bytes;
  }
  hub_->WorkAvailable();  // what did not fit may fit now
}

int64_t Scheduler::FreeDiskNow() const { return FreeDisk(options_.work_root) - options_.disk_reserve_bytes; }

absl::Status Scheduler::NoteTooLarge() {
  const int64_t disk = FreeDiskNow();
  NS_ASSIGN_OR_RETURN(const std::vector<LargeTasks> jobs, tasks_->TasksBeyond(options_.memory_bytes, disk));
  std::set<std::string> now;
  int64_t tasks = 0;
  for (const LargeTasks& job : jobs) {
    tasks += job.tasks;
    now.insert(job.job_id);
    if (too_large_.contains(job.job_id)) continue;
    Log(LogLevel::kWarning, "tasks too large for this process wait for a larger worker",
        {{"job", job.job_id}, {"tasks", job.tasks}, {"need_memory_bytes", job.memory_bytes},
         {"memory_bytes", options_.memory_bytes}, {"need_disk_bytes", job.disk_bytes}, {"disk_bytes", disk}});
  }
  too_large_ = std::move(now);
  metrics_->SetTasksTooLarge(tasks);
  return absl::OkStatus();
}

void Scheduler::NoteTooLargeNowAndThen() {
  const std::unique_lock<std::mutex> lock(note_mutex_, std::try_to_lock);
  const auto now = std::chrono::steady_clock::now();
  if (!lock.owns_lock() || now < next_note_) return;
  next_note_ = now + kNoteInterval;
  NoteTooLarge().IgnoreError();  // a database that is away is told of by the claim
}

void Scheduler::WorkerLoop(int index) {
  const std::string owner = absl::StrCat(options_.process_id, "/", index);
  while (!stop_) {
    NoteTooLargeNowAndThen();
    const uint64_t seen = hub_->WorkVersion();  // before the claim: work that comes in between is not slept over
    const absl::StatusOr<std::optional<ClaimedTask>> task = Claim(owner);
    if (!task.ok()) {
      Log(LogLevel::kError, "cannot claim tasks", {{"worker", owner}, {"error", std::string(task.status().message())}});
    }
    if (!task.ok() || !task->has_value()) {
      hub_->WaitForWork(seen, kPollInterval);
      continue;
    }
    metrics_->WorkerBusy(1);
    runner_->Run(**task);
    Release(**task);
    metrics_->WorkerBusy(-1);
  }
}

}  // namespace nashswarm::server
