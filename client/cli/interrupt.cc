#include "client/cli/interrupt.h"

#include <csignal>
#include <ctime>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

// How late a stalled stream may be noticed, and how long the destructor may take.
constexpr timespec kPoll = {.tv_sec = 0, .tv_nsec = 100'000'000};

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t set = Signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A closed pipe is an error of write(), so that cleaning up still happens.
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Loop(); });
}

Interrupt::~Interrupt() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  thread_.join();
}

bool Interrupt::requested() const {
  const std::lock_guard lock(mutex_);
  return requested_;
}

absl::Status Interrupt::Check() const { return requested() ? InterruptedError("interrupted") : absl::OkStatus(); }

bool Interrupt::SleepFor(std::chrono::milliseconds duration) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, duration, [this] { return requested_; });
}

void Interrupt::Trip() {
  const std::lock_guard lock(mutex_);
  requested_ = true;
  for (Call* call : calls_) call->context_.TryCancel();
  changed_.notify_all();
}

void Interrupt::Loop() {
  const sigset_t set = Signals();
  while (true) {
    if (sigtimedwait(&set, nullptr, &kPoll) > 0) Trip();
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    CancelStalled();
  }
}

void Interrupt::CancelStalled() {
  const auto now = std::chrono::steady_clock::now();
  for (Call* call : calls_) {
    if (call->idle_limit_.count() == 0 || call->stalled_ || now - call->last_activity_ < call->idle_limit_) continue;
    call->stalled_ = true;
    call->context_.TryCancel();
  }
}

Call::Call(Interrupt& interrupt, std::chrono::milliseconds idle_limit)
    : interrupt_(interrupt), idle_limit_(idle_limit), last_activity_(std::chrono::steady_clock::now()) {
  const std::lock_guard lock(interrupt_.mutex_);
  interrupt_.calls_.insert(this);
  if (interrupt_.requested_) context_.TryCancel();
}

Call::~Call() {
  const std::lock_guard lock(interrupt_.mutex_);
  interrupt_.calls_.erase(this);
}

void Call::Touch() {
  const std::lock_guard lock(interrupt_.mutex_);
  last_activity_ = std::chrono::steady_clock::now();
}

absl::Status Call::Finish(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.error_code() != grpc::StatusCode::CANCELLED) return FromGrpc(status);
  const std::lock_guard lock(interrupt_.mutex_);
  if (interrupt_.requested_) return InterruptedError("interrupted");
  return MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                   stalled_ ? "the server has gone silent" : "the server broke off the call");
}

}  // namespace nashswarm::cli
