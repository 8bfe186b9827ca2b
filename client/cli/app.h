// The tree of commands, and what they share. main() builds one App and runs it.
#ifndef NASHSWARM_CLIENT_CLI_APP_H_
#define NASHSWARM_CLIENT_CLI_APP_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/interrupt.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/rpc.h"

namespace nashswarm::cli {

// Options of every command.
struct SharedFlags {
  std::string server;
  bool json = false;
  bool quiet = false;
  bool no_progress = false;
  AccessFlags access;
};

// What main() knows about the surroundings; a test says something else.
struct Surroundings {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  int width = 80;
  bool may_become_engine = false;  // for its --help; a test must stay itself
  std::function<const char*(const char*)> getenv;
};

class App {
 public:
  App(const Surroundings& surroundings, Interrupt& interrupt);

  // `arguments` without the program's name. Returns the exit code; everything has been printed.
  int Run(const std::vector<std::string>& arguments);

  // ---- for the commands ----
  // Adds a subcommand whose `--help` shows `examples`.
  CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& description,
                       const std::string& examples);
  // What to do once everything is parsed; called from a subcommand's callback.
  void SetAction(std::function<absl::Status()> action) { action_ = std::move(action); }
  // Runs `body` with a session on --server; USAGE when there is none.
  absl::Status WithServer(const std::function<absl::Status(const Session&)>& body);

  const SharedFlags& flags() const { return flags_; }
  CLI::App& root() { return root_; }
  Interrupt& interrupt() { return interrupt_; }
  Progress& progress();
  std::ostream& err() { return around_.err; }
  const std::function<const char*(const char*)>& environment() const { return around_.getenv; }
  bool out_color() const { return around_.out_is_terminal && color_; }
  // Data on stdout. In --json mode exactly one of these is called at most once.
  void PrintJson(const nlohmann::json& value);
  void PrintText(const std::string& text);
  // One of many JSON values, each on a line of its own, at once.
  void PrintEvent(const nlohmann::json& value);
  // A sentence on stderr; silent with --quiet.
  void Say(const std::string& text);

 private:
  void Build();
  void AddSharedOptions();
  std::vector<std::string> WithEnvironment(const std::vector<std::string>& arguments) const;
  std::string DefaultConfig() const;
  void ShowEnginesHelp();
  int Report(const absl::Status& status);

  const Surroundings around_;
  Interrupt& interrupt_;
  const bool color_;  // NO_COLOR is not set
  SharedFlags flags_;
  bool token_file_given_ = false;  // by a flag or a variable
  CLI::App root_;
  std::function<absl::Status()> action_;
  std::unique_ptr<Progress> progress_;
  bool json_printed_ = false;
};

// "abc" and "jobs/abc" are both "jobs/abc".
std::string QualifiedName(const std::string& collection, const std::string& id);
// "jobs/abc" is "abc": what lists show of jobs, checkpoints and artifacts, and every command takes.
std::string IdOf(const std::string& name);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_APP_H_
