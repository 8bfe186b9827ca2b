#include "server/daemon/connection_gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

// A process that may open millions of files must not: each connection costs memory too.
constexpr rlim_t kMaxFiles = 65536;
constexpr int kMaxConnections = 10000;
// When the process is out of descriptors or memory: others give some back meanwhile.
constexpr std::chrono::milliseconds kPauseWhenExhausted{100};

ino_t InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

// As gRPC spells it; "" for Unix sockets, whose peers have no name.
std::string PeerOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(v4->sin_port));
  }
  if (address.ss_family != AF_INET6) return "";
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  const int port = ntohs(v6->sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", port);
  }
  inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
  return absl::StrCat("ipv6:%5B", text, "%5D:", port);
}

}  // namespace

int ConnectionsThatFit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxConnections;
  if (limit.rlim_cur < std::min(limit.rlim_max, kMaxFiles)) {
    limit.rlim_cur = std::min(limit.rlim_max, kMaxFiles);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  // The other half is for files, engines and the database.
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 2, 1, kMaxConnections));
}

ConnectionGate::ConnectionGate(Listeners listeners, int max_connections, Metrics* metrics)
    : listeners_(std::move(listeners)),
      max_connections_(static_cast<size_t>(max_connections)),
      metrics_(metrics),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

ConnectionGate::~ConnectionGate() {
  Stop();
  close(wake_fd_);
}

void ConnectionGate::Start(std::unique_ptr<Acceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  thread_ = std::thread([this] { Loop(); });
}

void ConnectionGate::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(wake_fd_, &one, sizeof(one)) != sizeof(one)) Log(LogLevel::kError, "eventfd", {{"errno", errno}});
  thread_.join();
}

void ConnectionGate::Loop() {
  std::vector<pollfd> polled = {{wake_fd_, POLLIN, 0}};
  for (const int fd : listeners_.fds()) polled.push_back({fd, POLLIN, 0});
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (polled.front().revents != 0) return;
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) AcceptAll(polled[i].fd);
    }
  }
}

void ConnectionGate::AcceptAll(int listener) {
  while (true) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        MakeRoom();
        std::this_thread::sleep_for(kPauseWhenExhausted);
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    if (connections_.size() >= max_connections_ && !MakeRoom()) {
      metrics_->ConnectionRefused("limit");
      close(fd);
      continue;
    }
    Remember(fd);
    metrics_->ConnectionOpened();
    Acceptor::NewConnectionParameters parameters;
    parameters.listener_fd = -1;
    parameters.fd = fd;
    acceptor_->HandleNewConnection(&parameters);  // owns fd from here on
  }
}

void ConnectionGate::Remember(int fd) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string peer = PeerOf(fd);
  // Whoever may open a Unix socket is the server's own user.
  const auto added = connections_.insert(connections_.end(), {fd, InodeOf(fd), peer, peer.empty()});
  if (!peer.empty()) by_peer_[peer] = added;
}

void ConnectionGate::Forget(Connections::iterator connection) {
  const auto named = by_peer_.find(connection->peer);
  if (named != by_peer_.end() && named->second == connection) by_peer_.erase(named);
  connections_.erase(connection);
}

// Forgets the connections that have ended; if there are still too many, ends one.
bool ConnectionGate::MakeRoom() {
  std::lock_guard<std::mutex> lock(mutex_);
  const size_t before = connections_.size();
  for (auto it = connections_.begin(); it != connections_.end();) {
    const auto connection = it++;
    if (InodeOf(connection->fd) != connection->inode) Forget(connection);
  }
  if (connections_.size() < std::min(before, max_connections_)) return true;
  const auto unused =
      std::find_if(connections_.begin(), connections_.end(), [](const Connection& c) { return !c.used; });
  if (unused == connections_.end()) return false;
  metrics_->ConnectionRefused("idle");
  shutdown(unused->fd, SHUT_RDWR);  // gRPC notices and closes it
  Forget(unused);
  return true;
}

void ConnectionGate::Used(const std::string& peer) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const auto it = by_peer_.find(peer); it != by_peer_.end()) it->second->used = true;
}

}  // namespace nashswarm::server
