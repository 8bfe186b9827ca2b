// Our sister programs: where they are, and becoming one of them.
#ifndef NASHSWARM_CLIENT_CLI_PROGRAMS_H_
#define NASHSWARM_CLIENT_CLI_PROGRAMS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::cli {

// Beside our own executable, else on PATH. NOT_FOUND / PROGRAM_NOT_FOUND with `hint` otherwise.
absl::StatusOr<std::string> FindProgram(const std::string& name, const std::string& hint);
absl::StatusOr<std::string> FindProgramIn(const std::string& name, const std::string& own_directory,
                                          const std::string& path, const std::string& hint);

// Undoes what Interrupt did to signals; for a process about to become another program. Async-signal-safe.
void RestoreSignals();

// Replaces this process; returns only on failure.
absl::Status Exec(const std::string& program, const std::vector<std::string>& arguments);

// The subcommands that are handed, with their arguments, to nashswarm-engine.
struct EngineCommand {
  const char* name;
  const char* usage;
  const char* description;
};
const std::vector<EngineCommand>& EngineCommands();
absl::Status ExecEngine(const std::string& command, const std::vector<std::string>& arguments);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_PROGRAMS_H_
