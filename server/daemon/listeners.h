// Listening sockets of an address.
#ifndef NASHSWARM_SERVER_DAEMON_LISTENERS_H_
#define NASHSWARM_SERVER_DAEMON_LISTENERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::server {

inline constexpr std::string_view kUnixPrefix = "unix:";

// Owns the descriptors; removes a Unix socket's file at the end.
class Listeners {
 public:
  // Every address "HOST:PORT" stands for, or "unix:/path". Port 0 picks one. UNAVAILABLE / LISTEN_FAILED.
  static absl::StatusOr<Listeners> Open(const std::string& listen);
  Listeners(Listeners&& other) noexcept;
  Listeners& operator=(Listeners&&) = delete;
  ~Listeners();

  const std::vector<int>& fds() const { return fds_; }     // non-blocking
  const std::string& address() const { return address_; }  // with the real port

 private:
  Listeners() = default;
  absl::Status OpenUnix(const std::string& path);
  absl::Status OpenTcp(const std::string& listen);

  std::vector<int> fds_;
  std::string address_, socket_file_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_LISTENERS_H_
