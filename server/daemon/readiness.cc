#include "server/daemon/readiness.h"

#include "absl/strings/str_cat.h"

namespace nashswarm::server {

using std::chrono::steady_clock;

Readiness::Readiness(std::function<absl::Status()> check, std::chrono::milliseconds interval,
                     std::chrono::milliseconds stale)
    : check_(std::move(check)),
      interval_(interval),
      stale_(stale),
      answer_(absl::UnavailableError("starting")),
      answered_(steady_clock::now()),
      thread_([this] { Loop(); }) {}

Readiness::~Readiness() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void Readiness::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    lock.unlock();
    const absl::Status answer = check_();
    lock.lock();
    answer_ = answer;
    answered_ = steady_clock::now();
    ended_.wait_for(lock, interval_, [this] { return stop_; });
  }
}

absl::Status Readiness::Now() const {
  if (!serving_) return absl::UnavailableError("not serving: the server starts or stops");
  std::lock_guard<std::mutex> lock(mutex_);
  if (!answer_.ok()) return absl::UnavailableError(absl::StrCat("the stores do not answer: ", answer_.message()));
  if (steady_clock::now() - answered_ > stale_) return absl::UnavailableError("the stores do not answer");
  return absl::OkStatus();
}

}  // namespace nashswarm::server
