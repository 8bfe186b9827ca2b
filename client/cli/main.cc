// nashswarm: parses nothing itself; wires the surroundings to the tree of commands.
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "client/cli/app.h"
#include "client/cli/grpc_log.h"

int main(int argc, char** argv) {
  nashswarm::cli::Interrupt interrupt;  // first: it blocks signals for every thread that follows
  nashswarm::cli::KeepTlsLog();
  const nashswarm::cli::Surroundings surroundings = {
      .out = std::cout,
      .err = std::cerr,
      .out_is_terminal = isatty(STDOUT_FILENO) == 1,
      .err_is_terminal = isatty(STDERR_FILENO) == 1,
      .width = nashswarm::cli::TerminalWidth(STDERR_FILENO),
      .may_become_engine = true,
      .getenv = [](const char* name) { return static_cast<const char*>(std::getenv(name)); }};
  return nashswarm::cli::App(surroundings, interrupt).Run({argv + 1, argv + argc});
}
