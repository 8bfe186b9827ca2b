// Whether this process should be sent clients: it serves, and its stores answer. Asked by /readyz, which must not wait for a
// store that hangs; so a thread asks the stores every few seconds and remembers.
#ifndef NASHSWARM_SERVER_DAEMON_READINESS_H_
#define NASHSWARM_SERVER_DAEMON_READINESS_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"

namespace nashswarm::server {

class Readiness {
 public:
  // `check` is called from a thread of its own, now and `interval` after each answer. An answer older than `stale` counts
  // as none.
  Readiness(std::function<absl::Status()> check, std::chrono::milliseconds interval, std::chrono::milliseconds stale);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  void SetServing(bool serving) { serving_ = serving; }
  // OK, or UNAVAILABLE and why. Never waits.
  absl::Status Now() const;

 private:
  void Loop();

  const std::function<absl::Status()> check_;
  const std::chrono::milliseconds interval_, stale_;
  std::atomic<bool> serving_{false};
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool stop_ = false;
  absl::Status answer_;
  std::chrono::steady_clock::time_point answered_;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_READINESS_H_
