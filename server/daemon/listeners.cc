#include "server/daemon/listeners.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr int kBacklog = SOMAXCONN;
// What is sent and not acknowledged for so long goes to nobody.
constexpr unsigned kUserTimeoutMs = 30'000;

absl::Status ListenFailed(const std::string& listen, const std::string& why) {
  return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED",
                   absl::StrCat("cannot listen on ", listen, ": ", why),
                   "another server may use it: choose another --listen address, or port 0");
}

bool FillUnixAddress(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address->sun_path)) return false;
  std::memcpy(address->sun_path, path.c_str(), path.size() + 1);
  return true;
}

// A socket file may be what a dead server left; a living one's must not be taken away from it.
bool SomebodyAnswers(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return answered;
}

bool SplitHostPort(const std::string& listen, std::string* host, std::string* port) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon + 1 == listen.size()) return false;
  *host = listen.substr(0, colon);
  *port = listen.substr(colon + 1);
  if (host->size() >= 2 && host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  return port->find_first_not_of("0123456789") == std::string::npos;
}

void SetPort(sockaddr* address, uint16_t port) {
  if (address->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  if (address->sa_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
}

uint16_t PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&address)->sin_port
                                            : reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
}

// Accepted sockets inherit the options. Returns -1 with errno.
int BindTcp(const sockaddr* address, socklen_t size, bool only_v6) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1, v6only = only_v6 ? 1 : 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // past connections in TIME_WAIT are no obstacle
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof(kUserTimeoutMs));
  if (address->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
  if (bind(fd, address, size) == 0 && ::listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

Listeners::Listeners(Listeners&& other) noexcept
    : fds_(std::move(other.fds_)), address_(std::move(other.address_)), socket_file_(std::move(other.socket_file_)) {
  other.fds_.clear();
  other.socket_file_.clear();
}

Listeners::~Listeners() {
  for (const int fd : fds_) close(fd);
  if (!socket_file_.empty()) unlink(socket_file_.c_str());
}

absl::StatusOr<Listeners> Listeners::Open(const std::string& listen) {
  Listeners listeners;
  if (listen.starts_with(kUnixPrefix)) {
    NS_RETURN_IF_ERROR(listeners.OpenUnix(listen.substr(kUnixPrefix.size())));
  } else {
    NS_RETURN_IF_ERROR(listeners.OpenTcp(listen));
  }
  return listeners;
}

absl::Status Listeners::OpenUnix(const std::string& path) {
  address_ = absl::StrCat("unix:", path);
  sockaddr_un address;
  if (!FillUnixAddress(path, &address)) return ListenFailed(address_, "the path is empty or too long for a socket");
  if (SomebodyAnswers(address)) return ListenFailed(address_, "it is in use");
  struct stat info;
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoError(errno, path);
  fds_.push_back(fd);
  // Nobody but the owner connects: without tokens there is no other check on who is calling.
  const mode_t old_mask = umask(0077);
  const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  umask(old_mask);
  if (!bound) return ListenFailed(address_, std::strerror(error));
  socket_file_ = path;
  return ::listen(fd, kBacklog) == 0 ? absl::OkStatus() : ListenFailed(address_, std::strerror(errno));
}

absl::Status Listeners::OpenTcp(const std::string& listen) {
  std::string host, port_text;
  if (!SplitHostPort(listen, &host, &port_text)) return ListenFailed(listen, "it is not HOST:PORT");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.empty() ? nullptr : host.c_str(), port_text.c_str(), &hints, &found);
      code != 0) {
    return ListenFailed(listen, gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  const bool several = found->ai_next != nullptr;
  const bool any_port = port_text.find_first_not_of('0') == std::string::npos;
  uint16_t port = 0;
  int error = 0;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (any_port && port != 0) SetPort(info->ai_addr, port);
    const int fd = BindTcp(info->ai_addr, info->ai_addrlen, several);
    if (fd < 0) {
      error = errno;
      if (!any_port && error == EADDRINUSE) return ListenFailed(listen, std::strerror(error));
      continue;  // "localhost" is also ::1 where there is no IPv6
    }
    fds_.push_back(fd);
    port = PortOf(fd);
  }
  if (fds_.empty()) return ListenFailed(listen, std::strerror(error));
  address_ = absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
