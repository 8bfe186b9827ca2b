#include "server/scheduler/maintenance.h"

#include <algorithm>

#include "core/base/status.h"
#include "server/log/log.h"
#include "server/scheduler/stages.h"

namespace nashswarm::server {
namespace {

using std::chrono::steady_clock;

// Blobs are removed in transactions of their own; a batch bounds how long one round holds a list of them.
constexpr int kBatch = 500;

// No PutFile or CommitStaged takes as long, so nobody is still at work on what is older.
constexpr std::chrono::hours kLeftoverAge{24};

int64_t Micros(std::chrono::milliseconds duration) { return std::chrono::microseconds(duration).count(); }

void Note(const char* what, const absl::Status& status) {
  if (!status.ok()) Log(LogLevel::kWarning, what, {{"error", std::string(status.message())}});
}

}  // namespace

void Maintenance::Start() { thread_ = std::thread([this] { Loop(); }); }

void Maintenance::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Maintenance::CollectSoon() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    collect_soon_ = true;
  }
  wake_.notify_all();
}

void Maintenance::Loop() {
  auto next_collection = steady_clock::now() + options_.gc_interval;
  const auto pause = std::min(options_.reap_interval, options_.gc_interval);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    wake_.wait_for(lock, pause, [this] { return stop_ || collect_soon_; });
    if (stop_) return;
    const bool collect = collect_soon_ || steady_clock::now() >= next_collection;
    collect_soon_ = false;
    lock.unlock();
    Note("reaping leases failed", ReapOnce());
    if (collect) {
      Note("garbage collection failed", CollectOnce());
      next_collection = steady_clock::now() + options_.gc_interval;
    }
    lock.lock();
  }
}

absl::Status Maintenance::ReapOnce() {
  NS_ASSIGN_OR_RETURN(const std::vector<LostTask> lost, jobs_->ReapExpiredLeases(options_.max_losses));
  NoteLost(lost);
  return absl::OkStatus();
}

void Maintenance::NoteLost(const std::vector<LostTask>& lost) {
  for (const LostTask& task : lost) {
    const std::string stage = StageName(task.key.stage);
    Log(LogLevel::kWarning, "worker lost", {{"job", task.key.job_id}, {"stage", stage}, {"poison", task.poison}});
    metrics_->TaskLost(stage, task.poison);
    if (task.end.job_ended) {
      const std::string state = v1::Job::State_Name(task.end.job_state);
      metrics_->JobEnded(state, static_cast<double>(task.end.job_duration_us) / 1e6);
      Log(LogLevel::kInfo, "job ended", {{"job", task.key.job_id}, {"state", state}});
    }
    hub_->JobChanged(task.key.job_id);
  }
  if (!lost.empty()) hub_->WorkAvailable();
}

absl::Status Maintenance::RemoveStagedLeftovers() {
  // Listed first: an upload created in between is in the second list and not in the first.
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> groups, blobs_->ListStagedGroups());
  NS_ASSIGN_OR_RETURN(std::vector<std::string> active, jobs_->ActiveUploads());
  std::sort(active.begin(), active.end());
  for (const std::string& group : groups) {
    if (!std::binary_search(active.begin(), active.end(), group)) NS_RETURN_IF_ERROR(blobs_->RemoveStaged(group));
  }
  return blobs_->RemoveLeftovers(kLeftoverAge);
}

absl::Status Maintenance::CollectOnce() {
  NS_ASSIGN_OR_RETURN(const int64_t expired, jobs_->ExpireUploads());
  if (expired > 0) Log(LogLevel::kInfo, "uploads expired", {{"count", expired}});
  if (const absl::Status removed = RemoveStagedLeftovers(); !removed.ok()) {
    // A blob store may forbid listing, or a part of it may be broken: no reason to keep all other garbage.
    Log(LogLevel::kWarning, "leftovers of uploads stay", {{"error", std::string(removed.message())}});
  }
  NS_RETURN_IF_ERROR(jobs_->ExpireRecords(Micros(options_.ended_upload_age), Micros(options_.task_result_age)));
  int64_t removed = 0, bytes = 0;
  for (;;) {
    NS_ASSIGN_OR_RETURN(const std::vector<BlobDigest> garbage,
                        jobs_->UnreferencedBlobs(Micros(options_.gc_grace), kBatch));
    int64_t removed_now = 0;
    for (const BlobDigest& blob : garbage) {
      NS_ASSIGN_OR_RETURN(const bool gone, jobs_->RemoveBlob(blob.sha256, Micros(options_.gc_grace),
                                                             [&] { return blobs_->Remove(blob.sha256); }));
      if (!gone) continue;
      ++removed_now;
      bytes += blob.size_bytes;
    }
    removed += removed_now;
    if (garbage.size() < kBatch || removed_now == 0) break;
  }
  if (removed > 0) {
    metrics_->GarbageRemoved(removed, bytes);
    Log(LogLevel::kInfo, "garbage collected", {{"blobs", removed}, {"bytes", bytes}});
  }
  metrics_->GarbageCollected();
  return absl::OkStatus();
}

}  // namespace nashswarm::server
