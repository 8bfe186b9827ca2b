#include "server/store/s3/retry.h"

#include <algorithm>
#include <random>
#include <thread>

namespace nashswarm::server {

using std::chrono::milliseconds;

Backoff::Backoff(const RetryPolicy& policy) : policy_(policy), start_(Now()) {}

milliseconds Backoff::Now() const {
  if (policy_.now) return policy_.now();
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch());
}

void Backoff::Progress() {
  start_ = Now();
  fruitless_ = 1;
}

bool Backoff::Wait(std::optional<milliseconds> retry_after) {
  if (fruitless_ >= policy_.max_attempts) return false;
  const int doublings = std::min(fruitless_ - 1, 20);
  const auto ceiling = std::min<int64_t>(policy_.cap.count(), policy_.base.count() << doublings);
  thread_local std::mt19937_64 generator(std::random_device{}());
  const double share = policy_.random ? policy_.random() : std::uniform_real_distribution<double>(0, 1)(generator);
  milliseconds wait(static_cast<int64_t>(share * static_cast<double>(ceiling)));
  if (retry_after.has_value()) wait = std::max(wait, *retry_after);
  if (Now() + wait - start_ > policy_.total) return false;
  if (policy_.sleep) {
    policy_.sleep(wait);
  } else {
    std::this_thread::sleep_for(wait);
  }
  ++attempts_;
  ++fruitless_;
  return true;
}

}  // namespace nashswarm::server
