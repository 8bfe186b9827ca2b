#include "client/cli/programs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "client/cli/errors.h"
#include "client/cli/files.h"

namespace nashswarm::cli {
namespace {

constexpr char kOwnName[] = "nashswarm";

bool IsExecutable(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::string OwnDirectory() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : path.parent_path().string();
}

}  // namespace

absl::StatusOr<std::string> FindProgramIn(const std::string& name, const std::string& own_directory,
                                          const std::string& path, const std::string& hint) {
  std::vector<std::string> directories = {own_directory};
  std::istringstream list(path);
  for (std::string directory; std::getline(list, directory, ':');) directories.push_back(directory);
  for (const std::string& directory : directories) {
    if (directory.empty()) continue;
    if (const std::string candidate = JoinPath(directory, name); IsExecutable(candidate)) return candidate;
  }
  return MakeError(absl::StatusCode::kNotFound, "PROGRAM_NOT_FOUND",
                   "the program " + name + " is neither beside nashswarm nor on the PATH", hint);
}

absl::StatusOr<std::string> FindProgram(const std::string& name, const std::string& hint) {
  const char* path = std::getenv("PATH");
  return FindProgramIn(name, OwnDirectory(), path == nullptr ? "" : path, hint);
}

void RestoreSignals() {
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

absl::Status Exec(const std::string& program, const std::vector<std::string>& arguments) {
  // Programs call themselves by this in their help: as the user has called us.
  std::vector<char*> argv = {const_cast<char*>(kOwnName)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  RestoreSignals();
  execv(program.c_str(), argv.data());
  return ErrnoError(errno, program);
}

const std::vector<EngineCommand>& EngineCommands() {
  static const std::vector<EngineCommand> commands = {
      {"inspect", "PATH [--json]", "Show the tensors, types, bits and errors of a checkpoint or an artifact"},
      {"verify", "PATH [--threads N] [--json]", "Check a checkpoint or an artifact: structure, sizes and digests"},
      {"unpack",
       "PATH -o OUT [--format dense|gguf] [--dtype f32|f16|bf16] [--threads N] [--allow-tokenizer-mismatch] [--force] "
       "[--json]",
       "Decode an artifact into plain safetensors, or into a GGUF file for llama.cpp"},
      {"eval",
       "MODEL --text FILE [--against REF] [--ctx N] [--stride N] [--max-tokens N] [--protocol half|strided|padded64] "
       "[--threads N] [--json]",
       "Measure the perplexity of a model on a text, and its KL divergence against another"},
      {"calibrate", "DIR --text FILE -o imatrix.gguf [--tokens N] [--threads N] [--json]",
       "Write an importance matrix of a checkpoint, which llama.cpp reads too"},
      {"frontier",
       "DIR --bpw FROM:TO [--points N] [--text FILE] [--measure N] [--format gguf|nsq] [--threads N] [-o FILE.svg] "
       "[--json]",
       "Predicted size against loss from one measurement, drawn, with N points of it encoded and measured"},
      {"bench",
       "quality DIR --text FILE [--calibrate FILE] [--bpw BITS] [--tokens N] [--threads N] [--json]",
       "Compare the method with its baselines and with parts of itself switched off: sizes on disk, losses of the "
       "decoded artifact"},
      {"route",
       "MODEL --text FILE [--cache-size 64MB|25%] [--alpha PRICE] [--cache-bonus WORTH] [--max-loss 0.01] [--sweep] [--pages] "
       "[-o FILE.html] [--json]",
       "Route a mixture of experts by the game, against its own router: loss, load, hits of a cache of experts, pages"},
      {"schemes", "[--json]", "List the formats of tensors with their bits and their measured quality"},
  };
  return commands;
}

absl::Status ExecEngine(const std::string& command, const std::vector<std::string>& arguments) {
  NS_ASSIGN_OR_RETURN(const std::string engine,
                      FindProgram("nashswarm-engine", "nashswarm " + command +
                                                          " works on local files and needs the engine: install "
                                                          "nashswarm-engine beside nashswarm or on the PATH"));
  std::vector<std::string> all = {command};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Exec(engine, all);
}

}  // namespace nashswarm::cli
