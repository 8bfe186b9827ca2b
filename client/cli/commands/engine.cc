#include <algorithm>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/programs.h"

namespace nashswarm::cli {
namespace {

// Everything after the command's name is the engine's. Only what came before it was read here.
absl::Status Run(App& app, const CLI::App& command) {
  std::vector<std::string> arguments = command.remaining();
  const bool has_json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  if (app.flags().json && !has_json) arguments.push_back("--json");
  return ExecEngine(command.get_name(), arguments);
}

}  // namespace

void AddEngineCommands(App& app) {
  for (const EngineCommand& entry : EngineCommands()) {
    CLI::App* command =
        app.AddCommand(&app.root(), entry.name, entry.description,
                       std::string(entry.examples) + "\n\nRuns nashswarm-engine, which must be installed.");
    command->fallthrough(false);
    command->prefix_command();
    command->callback([&app, command] { app.SetAction([&app, command] { return Run(app, *command); }); });
  }
}

}  // namespace nashswarm::cli
