#include "server/scheduler/maintenance.h"

#include <algorithm>

#include "core/base/status.h"
#include "server/log/log.h"
#include "server/stages/stage.h"

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

void Maintenance::Start() {
  reaper_ = std::thread([this] { ReapLoop(); });
  collector_ = std::thread([this] { CollectLoop(); });
}

void Maintenance::EndSoon() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
}

void Maintenance::Stop() {
  EndSoon();
  if (reaper_.joinable()) reaper_.join();
  if (collector_.joinable()) collector_.join();
}

void Maintenance::CollectSoon() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    collect_soon_ = true;
  }
  wake_.notify_all();
}

void Maintenance::ReapLoop() {
  const auto pause = std::min(options_.reap_interval, options_.gc_interval);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, pause, [this] { return stop_.load(); })) {
    lock.unlock();
    Note("reaping leases failed", ReapOnce());
    Note("ending abandoned uploads failed", ExpireOnce());
    lock.lock();
  }
}

void Maintenance::CollectLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    wake_.wait_for(lock, options_.gc_interval, [this] { return stop_ || collect_soon_; });
    if (stop_) return;
    collect_soon_ = false;
    lock.unlock();
    Note("garbage collection failed", CollectOnce());
    lock.lock();
  }
}

absl::Status Maintenance::ReapOnce() {
  NS_ASSIGN_OR_RETURN(const std::vector<LostTask> lost, store_->ReapExpiredLeases(options_.max_losses));
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

absl::Status Maintenance::ExpireOnce() {
  int64_t expired = 0;
  while (!stop_) {
    NS_ASSIGN_OR_RETURN(const int64_t some, store_->ExpireUploads());
    if (some == 0) break;
    expired += some;
  }
  if (expired == 0) return absl::OkStatus();
  Log(LogLevel::kInfo, "uploads expired", {{"count", expired}});
  CollectSoon();  // what they leave: on this thread lost leases would wait for it
  return absl::OkStatus();
}

absl::Status Maintenance::RemoveEndedUploads() {
  // Listed first: an upload created in between is in the second list and not in the first.
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> groups, blobs_->ListStagedGroups());
  NS_ASSIGN_OR_RETURN(std::vector<std::string> active, store_->ActiveUploads());
  std::sort(active.begin(), active.end());
  for (const std::string& group : groups) {
    if (stop_) return absl::OkStatus();
    if (!std::binary_search(active.begin(), active.end(), group)) NS_RETURN_IF_ERROR(blobs_->RemoveStaged(group));
  }
  return absl::OkStatus();
}

absl::Status Maintenance::ExpireRecords() {
  while (!stop_) {
    NS_ASSIGN_OR_RETURN(const int64_t expired,
                        store_->ExpireRecords(Micros(options_.ended_upload_age), Micros(options_.task_result_age)));
    if (expired == 0) break;
  }
  return absl::OkStatus();
}

absl::Status Maintenance::RemoveGarbage() {
  int64_t removed = 0, bytes = 0;
  absl::Status status;
  while (status.ok() && !stop_) {
    const absl::StatusOr<std::vector<BlobDigest>> garbage = store_->UnreferencedBlobs(Micros(options_.gc_grace), kBatch);
    if (!garbage.ok()) {
      status = garbage.status();
      break;
    }
    int64_t removed_now = 0;
    for (const BlobDigest& blob : *garbage) {
      if (stop_) break;
      const absl::StatusOr<bool> gone =
          store_->RemoveBlob(blob.sha256, Micros(options_.gc_grace), [&] { return blobs_->Remove(blob.sha256); });
      status.Update(gone.status());
      if (!status.ok()) break;
      if (!*gone) continue;
      ++removed_now;
      bytes += blob.size_bytes;
    }
    removed += removed_now;
    if (garbage->size() < kBatch || removed_now == 0) break;
  }
  if (removed > 0) {
    metrics_->GarbageRemoved(removed, bytes);
    Log(LogLevel::kInfo, "garbage collected", {{"blobs", removed}, {"bytes", bytes}});
  }
  return status;
}

absl::Status Maintenance::CollectOnce() {
  // A blob store may forbid listing, or a part of it may be broken: no reason to keep all other garbage.
  Note("uploads that have ended keep their bytes", RemoveEndedUploads());
  if (!stop_) Note("leftovers of uploads stay", blobs_->RemoveLeftovers(kLeftoverAge));
  NS_RETURN_IF_ERROR(ExpireRecords());
  NS_RETURN_IF_ERROR(RemoveGarbage());
  if (!stop_) metrics_->GarbageCollected();
  return absl::OkStatus();
}

}  // namespace nashswarm::server
