// nashswarmd: makes a token, or parses flags, wires, runs.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "server/auth/token_command.h"
#include "server/config/config.h"
#include "server/daemon/run.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "token") {
    return nashswarm::server::RunTokenCommand({argv + 2, argv + argc}, std::cout, std::cerr);
  }
  const auto parsed = nashswarm::server::ParseCommandLine({argv + 1, argv + argc}, std::getenv);
  if (parsed.run) return nashswarm::server::RunServer(parsed.config);
  std::fputs(parsed.text.c_str(), parsed.exit_status == 0 ? stdout : stderr);
  return parsed.exit_status;
}
