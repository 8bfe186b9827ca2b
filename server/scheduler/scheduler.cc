#include "server/scheduler/scheduler.h"

#include "absl/strings/str_cat.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

// Work that another process put into the store, and back-offs that end, are found within this time.
constexpr std::chrono::milliseconds kPollInterval{250};

}  // namespace

Scheduler::Scheduler(JobStore* jobs, TaskRunner* runner, EventHub* hub, Metrics* metrics, std::string process_id,
                     std::chrono::milliseconds lease)
    : jobs_(jobs),
      runner_(runner),
      hub_(hub),
      metrics_(metrics),
      process_id_(std::move(process_id)),
      lease_us_(std::chrono::microseconds(lease).count()) {}

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

void Scheduler::WorkerLoop(int index) {
  const std::string owner = absl::StrCat(process_id_, "/", index);
  while (!stop_) {
    const uint64_t seen = hub_->WorkVersion();  // before the claim: work that comes in between is not slept over
    const absl::StatusOr<std::optional<ClaimedTask>> task = jobs_->ClaimTask(owner, lease_us_);
    if (!task.ok()) {
      Log(LogLevel::kError, "cannot claim tasks", {{"worker", owner}, {"error", std::string(task.status().message())}});
    }
    if (!task.ok() || !task->has_value()) {
      hub_->WaitForWork(seen, kPollInterval);
      continue;
    }
    metrics_->WorkerBusy(1);
    runner_->Run(**task);
    metrics_->WorkerBusy(-1);
  }
}

}  // namespace nashswarm::server
