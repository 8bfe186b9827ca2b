#include "server/services/stream_watchdog.h"

#include <utility>

namespace nashswarm::server {

void StreamPace::WaitEnds(Time now, int64_t bytes) {
  if (!waiting_since_.has_value()) return;
  waited_ += now - *waiting_since_;
  bytes_ += bytes;
  waiting_since_.reset();
  if (waited_ < limits_.window) return;
  slow_window_ |= WindowTooSlow(waited_);
  waited_ = std::chrono::nanoseconds(0);
  bytes_ = 0;
}

bool StreamPace::WindowTooSlow(std::chrono::nanoseconds waited) const {
  if (limits_.min_bytes_per_second <= 0 || waited < limits_.window) return false;
  const double seconds = std::chrono::duration<double>(waited).count();
  return static_cast<double>(bytes_) < static_cast<double>(limits_.min_bytes_per_second) * seconds;
}

bool StreamPace::TooSlow(Time now) const {
  if (slow_window_) return true;
  if (!waiting_since_.has_value()) return false;
  const auto wait = now - *waiting_since_;
  if (limits_.idle.count() > 0 && wait >= limits_.idle) return true;
  return WindowTooSlow(waited_ + wait);
}

StreamWatchdog::StreamWatchdog() : thread_([this] { Loop(); }) {}

StreamWatchdog::~StreamWatchdog() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StreamWatchdog::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (watches_.empty()) {
      changed_.wait(lock, [this] { return stopping_ || !watches_.empty(); });
    } else {
      changed_.wait_for(lock, kPacePoll, [this] { return stopping_; });
    }
    const auto now = std::chrono::steady_clock::now();
    for (Watch* watch : watches_) {
      if (watch->cancelled_ || !watch->pace_.TooSlow(now)) continue;
      watch->cancelled_ = true;
      watch->cancel_();
    }
  }
}

StreamWatchdog::Watch::Watch(StreamWatchdog* watchdog, const PaceLimits& limits, std::function<void()> cancel)
    : watchdog_(watchdog), cancel_(std::move(cancel)), pace_(limits) {
  {
    std::lock_guard<std::mutex> lock(watchdog_->mutex_);
    watchdog_->watches_.insert(this);
  }
  watchdog_->changed_.notify_all();
}

StreamWatchdog::Watch::~Watch() {
  std::lock_guard<std::mutex> lock(watchdog_->mutex_);
  watchdog_->watches_.erase(this);
}

void StreamWatchdog::Watch::WaitBegins() {
  std::lock_guard<std::mutex> lock(watchdog_->mutex_);
  pace_.WaitBegins(std::chrono::steady_clock::now());
}

void StreamWatchdog::Watch::WaitEnds(int64_t bytes) {
  std::lock_guard<std::mutex> lock(watchdog_->mutex_);
  pace_.WaitEnds(std::chrono::steady_clock::now(), bytes);
}

bool StreamWatchdog::Watch::cancelled() const {
  std::lock_guard<std::mutex> lock(watchdog_->mutex_);
  return cancelled_;
}

}  // namespace nashswarm::server
