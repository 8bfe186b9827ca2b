#include "server/events/event_hub.h"

#include <sys/eventfd.h>


namespace nashswarm::server {
namespace {

// What is passed on: a job's id after its prefix, or one of two words.
const std::string kJob = "job ";
constexpr char kWork[] = "work";
constexpr char kRunning[] = "running";

}  // namespace

void EventHub::Bump(Slot& slot) {
  {
    std::lock_guard<std::mutex> lock(slot.mutex);
    ++slot.version;
  }
  slot.changed.notify_all();
}

uint64_t EventHub::VersionOf(Slot& slot) {
  std::lock_guard<std::mutex> lock(slot.mutex);
  return slot.version;
}

void EventHub::Wait(Slot& slot, uint64_t seen, std::chrono::milliseconds timeout) {
  std::unique_lock<std::mutex> lock(slot.mutex);
  slot.changed.wait_for(lock, timeout, [&] { return slot.version != seen || draining_; });
}

EventHub::Slot& EventHub::SlotOf(const std::string& job_id) {
  return jobs_[std::hash<std::string>()(job_id) % jobs_.size()];
}

void EventHub::JobChanged(const std::string& job_id) {
  Bump(SlotOf(job_id));
  Relay(kJob + job_id);
}
uint64_t EventHub::JobVersion(const std::string& job_id) { return VersionOf(SlotOf(job_id)); }
void EventHub::WaitForJob(const std::string& job_id, uint64_t seen, std::chrono::milliseconds timeout) {
  Wait(SlotOf(job_id), seen, timeout);
}

void EventHub::WorkAvailable() {
  Bump(work_);
  Relay(kWork);
}
uint64_t EventHub::WorkVersion() { return VersionOf(work_); }
void EventHub::WaitForWork(uint64_t seen, std::chrono::milliseconds timeout) { Wait(work_, seen, timeout); }

void EventHub::WakeRunning() {
  WakeWakers();
  Relay(kRunning);
}

void EventHub::Relay(std::string message) {
  if (relay_) relay_(std::move(message));
}

void EventHub::Receive(std::string_view message) {
  if (message == kWork) {
    Bump(work_);
  } else if (message == kRunning) {
    WakeWakers();
  } else if (message.starts_with(kJob)) {
    Bump(SlotOf(std::string(message.substr(kJob.size()))));
  }
}

void EventHub::WakeWakers() {
  std::lock_guard<std::mutex> lock(wakers_mutex_);
  for (const int fd : wakers_) eventfd_write(fd, 1);
}
void EventHub::AddWaker(int event_fd) {
  std::lock_guard<std::mutex> lock(wakers_mutex_);
  wakers_.insert(event_fd);
}
void EventHub::RemoveWaker(int event_fd) {
  std::lock_guard<std::mutex> lock(wakers_mutex_);
  wakers_.erase(event_fd);
}

void EventHub::Drain() {
  draining_ = true;
  for (Slot& slot : jobs_) Bump(slot);
  Bump(work_);
  WakeWakers();
}

}  // namespace nashswarm::server
