#include "server/events/postgres_relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>

#include "core/base/status.h"
#include "server/log/log.h"
#include "server/store/sql/postgres_connection.h"

namespace nashswarm::server {
namespace {

// Messages that come thick (the progress of many tasks) are collected for so long and sent together.
constexpr std::chrono::milliseconds kCollect{20};
constexpr std::chrono::milliseconds kReconnectPause{1000};
constexpr int kPollMs = 1000;
// A process that cannot send keeps the newest few: who waits longer polls.
constexpr size_t kMaxPending = 10000;

struct NotifyDeleter {
  void operator()(PGnotify* notify) const { PQfreemem(notify); }
};

}  // namespace

PostgresRelay::PostgresRelay(std::string url, EventHub* hub)
    : url_(std::move(url)), hub_(hub), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  hub_->SetRelay([this](std::string message) { Send(std::move(message)); });
  thread_ = std::thread([this] { Loop(); });
}

PostgresRelay::~PostgresRelay() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  eventfd_write(wake_fd_, 1);
  thread_.join();
  close(wake_fd_);
}

void PostgresRelay::Send(std::string message) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (pending_.size() < kMaxPending) pending_.insert(std::move(message));
  }
  eventfd_write(wake_fd_, 1);
}

std::set<std::string> PostgresRelay::TakePending() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(pending_, {});
}

void PostgresRelay::Loop() {
  const auto stopped = [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    return stop_;
  };
  while (!stopped()) {
    Converse();
    for (auto waited = kReconnectPause; waited.count() > 0 && !stopped(); waited -= kCollect) {
      std::this_thread::sleep_for(kCollect);
    }
  }
}

void PostgresRelay::Converse() {
  auto opened = sql::PostgresConnection::Open(url_);
  if (!opened.ok() || !(*opened)->Script("LISTEN nashswarm").ok()) {
    Log(LogLevel::kWarning, "no notifications: changes by other processes are found by polling",
        {{"error", std::string(opened.status().message())}});
    return;
  }
  sql::PostgresConnection& db = **opened;
  PGconn* const connection = db.raw();
  for (;;) {
    pollfd fds[2] = {{PQsocket(connection), POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    poll(fds, 2, kPollMs);
    eventfd_t ignored;
    if (fds[1].revents != 0) {
      eventfd_read(wake_fd_, &ignored);
      std::this_thread::sleep_for(kCollect);
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
    }
    for (const std::string& message : TakePending()) {
      const absl::StatusOr<int64_t> sent = db.Execute("SELECT pg_notify('nashswarm', ?)", message);
      if (db.lost()) return;
      if (!sent.ok()) Log(LogLevel::kWarning, "cannot notify", {{"error", std::string(sent.status().message())}});
    }
    if (PQconsumeInput(connection) == 0 || db.lost()) return;
    while (const std::unique_ptr<PGnotify, NotifyDeleter> notify{PQnotifies(connection)}) {
      if (notify->be_pid != PQbackendPID(connection)) hub_->Receive(notify->extra);
    }
  }
}

}  // namespace nashswarm::server
