// Ctrl-C, as an event instead of a signal handler: one thread waits for SIGINT, SIGTERM and SIGHUP, and then cancels
// every call in progress and wakes every sleeper. The same thread ends streams that have gone silent.
#ifndef NASHSWARM_CLIENT_CLI_INTERRUPT_H_
#define NASHSWARM_CLIENT_CLI_INTERRUPT_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "absl/status/status.h"

namespace nashswarm::cli {

class Call;

// Must be created by the main thread before any other thread, since the signals are blocked in the threads that come
// after. One per process; thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const;
  // INTERRUPTED once a signal has come, else OK.
  absl::Status Check() const;
  // False when the sleep was cut short by a signal.
  bool SleepFor(std::chrono::milliseconds duration);
  // What a signal does.
  void Trip();

 private:
  friend class Call;
  void Loop();
  void CancelStalled();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool requested_ = false;
  bool stopping_ = false;
  std::set<Call*> calls_;
  std::thread thread_;
};

// The context of one RPC, cancelled by Ctrl-C, and by silence for longer than `idle_limit` (zero: never).
class Call {
 public:
  explicit Call(Interrupt& interrupt, std::chrono::milliseconds idle_limit = std::chrono::milliseconds::zero());
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }
  // Something has moved: the silence starts over.
  void Touch();
  // The outcome for the caller: INTERRUPTED after Ctrl-C; UNAVAILABLE when the stream stalled or the server, not we,
  // cancelled it; else what the server said.
  absl::Status Finish(const grpc::Status& status);

 private:
  friend class Interrupt;
  Interrupt& interrupt_;
  const std::chrono::milliseconds idle_limit_;
  std::chrono::steady_clock::time_point last_activity_;  // guarded by interrupt_.mutex_
  bool stalled_ = false;                                 // guarded by interrupt_.mutex_
  grpc::ClientContext context_;
};

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_INTERRUPT_H_
