// When to try again: exponential backoff with full jitter, within a number of attempts and a total time.
// https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
#ifndef NASHSWARM_SERVER_STORE_S3_RETRY_H_
#define NASHSWARM_SERVER_STORE_S3_RETRY_H_

#include <chrono>
#include <functional>
#include <optional>

namespace nashswarm::server {

struct RetryPolicy {
  int max_attempts = 10;
  std::chrono::milliseconds base{100};    // the first wait is below this, the next below twice this, ...
  std::chrono::milliseconds cap{10000};   // ... and none above this, unless the server asks for more
  std::chrono::milliseconds total{120000};  // no attempt starts later than this after the first, or after the last progress
  // For tests. Defaults: this_thread::sleep_for, a steady clock, uniform in [0, 1).
  std::function<void(std::chrono::milliseconds)> sleep;
  std::function<std::chrono::milliseconds()> now;
  std::function<double()> random;
};

// The attempts of one request. One thread.
class Backoff {
 public:
  explicit Backoff(const RetryPolicy& policy);
  // Waits before the next attempt; false, at once, when there is none. `retry_after` is what the server asked for.
  bool Wait(std::optional<std::chrono::milliseconds> retry_after);
  // The attempt moved bytes that need not move again: as if it were the first one.
  void Progress();
  int attempts() const { return attempts_; }

 private:
  std::chrono::milliseconds Now() const;

  const RetryPolicy& policy_;
  std::chrono::milliseconds start_;
  int attempts_ = 1;     // in all, for messages
  int fruitless_ = 1;    // since the last progress
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_RETRY_H_
