// The flags about who may connect and call.
#ifndef NASHSWARM_SERVER_CONFIG_ACCESS_FLAGS_H_
#define NASHSWARM_SERVER_CONFIG_ACCESS_FLAGS_H_

#include <string>

#include "server/config/config.h"

namespace CLI {
class App;
}

namespace nashswarm::server {

void AddAccessFlags(CLI::App& app, ServerConfig* config);
// Whether they go together; "" or what to tell the user.
std::string CheckAccessFlags(const ServerConfig& config);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_CONFIG_ACCESS_FLAGS_H_
