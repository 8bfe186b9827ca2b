// nashswarmd: parses flags, wires, runs.
#include <cstdio>
#include <cstdlib>

#include "server/config/config.h"
#include "server/daemon/run.h"

int main(int argc, char** argv) {
  const auto parsed = nashswarm::server::ParseCommandLine({argv + 1, argv + argc}, std::getenv);
  if (parsed.run) return nashswarm::server::RunServer(parsed.config);
  std::fputs(parsed.text.c_str(), parsed.exit_status == 0 ? stdout : stderr);
  return parsed.exit_status;
}
