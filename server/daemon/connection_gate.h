// ConnectionGate: accepts connections for gRPC, and bounds how many there are. gRPC of this version has no such bound,
// and stops listening for good once the process has no file descriptor left. At the bound a new connection takes the
// place of the oldest one on which nobody has been let in yet, so that idle connections of strangers keep nobody out.
#ifndef NASHSWARM_SERVER_DAEMON_CONNECTION_GATE_H_
#define NASHSWARM_SERVER_DAEMON_CONNECTION_GATE_H_

#include <sys/types.h>

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "grpcpp/server_builder.h"
#include "server/daemon/listeners.h"
#include "server/metrics/metrics.h"

namespace nashswarm::server {

// Makes the soft limit on open files the hard one, within reason; returns how many connections leave room for the rest
// of the server.
int ConnectionsThatFit();

class ConnectionGate {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  // `metrics` outlives it.
  ConnectionGate(Listeners listeners, int max_connections, Metrics* metrics);
  ~ConnectionGate();
  ConnectionGate(const ConnectionGate&) = delete;
  ConnectionGate& operator=(const ConnectionGate&) = delete;

  const std::string& address() const { return listeners_.address(); }
  // After the server of `acceptor` has started.
  void Start(std::unique_ptr<Acceptor> acceptor);
  // Accepts no more. Before the server shuts down. Idempotent.
  void Stop();
  // The connection of this peer (as grpc::ServerContext names it) is used by somebody who was let in. Thread-safe.
  void Used(const std::string& peer);

 private:
  struct Connection {
    int fd;       // gRPC's: it may be closed, and its number be another file's
    ino_t inode;  // tells
    std::string peer;
    bool used;
  };
  using Connections = std::list<Connection>;  // the oldest first

  void Loop();
  void AcceptAll(int listener);
  bool MakeRoom();
  void Forget(Connections::iterator connection);
  void Remember(int fd);

  const Listeners listeners_;
  const size_t max_connections_;
  Metrics* const metrics_;
  std::unique_ptr<Acceptor> acceptor_;
  int wake_fd_;
  std::thread thread_;

  std::mutex mutex_;  // guards what follows; the accepting thread alone adds and removes
  Connections connections_;
  std::map<std::string, Connections::iterator> by_peer_;  // none of Unix sockets
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_CONNECTION_GATE_H_
