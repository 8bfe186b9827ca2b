// The life of the nashswarmd process: start, wait for a signal, stop.
#ifndef NASHSWARM_SERVER_DAEMON_RUN_H_
#define NASHSWARM_SERVER_DAEMON_RUN_H_

#include "server/config/config.h"

namespace nashswarm::server {

// Call it before any thread exists. Serves until SIGTERM or SIGINT and returns the exit status: 0 after an orderly
// stop, 1 when the server could not start. A second signal ends the process at once.
int RunServer(const ServerConfig& config);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_RUN_H_
