// StreamWatchdog: ends streams whose other side is too slow. A blocking Read or Write cannot time out by itself, and
// each holds a thread and a stream slot while it lasts.
#ifndef NASHSWARM_SERVER_SERVICES_STREAM_WATCHDOG_H_
#define NASHSWARM_SERVER_SERVICES_STREAM_WATCHDOG_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace nashswarm::server {

// How late a stream that is too slow may be ended.
inline constexpr std::chrono::milliseconds kPacePoll{100};

// Zero: no such limit.
struct PaceLimits {
  std::chrono::milliseconds idle{0};  // the longest single wait
  int64_t min_bytes_per_second = 0;   // on average over `window`
  std::chrono::milliseconds window{60'000};
};

// The arithmetic, without a clock. Only time spent waiting for the other side counts: a slow disk of ours is not their
// fault.
class StreamPace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit StreamPace(const PaceLimits& limits) : limits_(limits) {}
  void WaitBegins(Time now) { waiting_since_ = now; }
  void WaitEnds(Time now, int64_t bytes);
  bool TooSlow(Time now) const;

 private:
  bool WindowTooSlow(std::chrono::nanoseconds waited) const;

  const PaceLimits limits_;
  std::optional<Time> waiting_since_;
  std::chrono::nanoseconds waited_{0};  // in this window
  int64_t bytes_ = 0;                   // in this window
  bool slow_window_ = false;
};

class StreamWatchdog {
 public:
  StreamWatchdog();
  ~StreamWatchdog();
  StreamWatchdog(const StreamWatchdog&) = delete;
  StreamWatchdog& operator=(const StreamWatchdog&) = delete;

  // One stream under watch, as long as it lives; the watchdog outlives it. One thread uses it.
  class Watch {
   public:
    // `cancel` is called at most once, from another thread, and not after destruction.
    Watch(StreamWatchdog* watchdog, const PaceLimits& limits, std::function<void()> cancel);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    void WaitBegins();
    void WaitEnds(int64_t bytes);
    bool cancelled() const;

   private:
    friend class StreamWatchdog;
    StreamWatchdog* watchdog_;
    const std::function<void()> cancel_;
    StreamPace pace_;         // guarded by watchdog_->mutex_
    bool cancelled_ = false;  // guarded by watchdog_->mutex_
  };

 private:
  void Loop();

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::set<Watch*> watches_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_STREAM_WATCHDOG_H_
