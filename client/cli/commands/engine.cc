#include <algorithm>

#include "base/commandline/engine_examples.h"
#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/programs.h"

namespace nashswarm::cli {
namespace {

// Everything after the command's name is the engine's. Only what came before it was read here.
absl::Status Run(App& app, const CLI::App& command, const EngineCommand& entry) {
  std::vector<std::string> arguments = command.remaining();
  const bool has_json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  const bool knows_json = std::string(entry.usage).find("--json") != std::string::npos;
  if (app.flags().json && knows_json && !has_json) arguments.push_back("--json");
  for (std::string& argument : arguments) {
    NS_ASSIGN_OR_RETURN(argument, LocalDirectory(app, argument));
  }
  return ExecEngine(command.get_name(), arguments);
}

}  // namespace

void AddEngineCommands(App& app) {
  for (const EngineCommand& entry : EngineCommands()) {
    CLI::App* command =
        app.AddCommand(&app.root(), entry.name, entry.description,
                       std::string(commandline::EngineExamples(entry.name)) + "\n\nRuns nashswarm-engine, which must be installed.");
    command->fallthrough(false);
    command->prefix_command();
    command->callback(
        [&app, command, &entry] { app.SetAction([&app, command, &entry] { return Run(app, *command, entry); }); });
  }
}

}  // namespace nashswarm::cli
