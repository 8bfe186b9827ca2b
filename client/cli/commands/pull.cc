#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/download.h"

namespace nashswarm::cli {
namespace {

struct PullFlags {
  std::string name;
  std::string out;
  bool force = false;
};

absl::Status RunPull(App& app, const PullFlags& flags) {
  return app.WithServer([&](const Session& session) -> absl::Status {
    NS_ASSIGN_OR_RETURN(const v1::Artifact artifact, FindArtifact(session, flags.name));
    const auto paths = Pull(session, artifact, flags.out, flags.force);
    if (!paths.ok()) {
      if (ExitCodeOf(paths.status()) != kExitInterrupted) return paths.status();
      return InterruptedError("interrupted; what was received is kept",
                              "run the same command again to go on from there");
    }
    if (app.flags().json) {
      app.PrintJson({{"artifact", artifact.name()}, {"paths", *paths}, {"bytes", artifact.total_bytes()}});
      return absl::OkStatus();
    }
    for (const std::string& path : *paths) app.PrintText(path + "\n");
    return absl::OkStatus();
  });
}

}  // namespace

void AddPull(App& app) {
  const auto flags = std::make_shared<PullFlags>();
  CLI::App* command = app.AddCommand(&app.root(), "pull", "Download an artifact; prints the paths",
                                     "Every file is verified before it gets its name.\nA pull that was broken off goes "
                                     "on where it stopped when it is run again.\n\n"
                                     "Examples:\n"
                                     "  nashswarm pull JOB -o out --server host:port\n"
                                     "  nashswarm pull artifacts/ID -o gpt2.gguf --server host:port");
  command->add_option("NAME", flags->name, "Name or id of an artifact, or of the job that made it")
      ->required()
      ->type_name("ARTIFACT|JOB");
  command->add_option("-o,--output", flags->out, "Directory, or a name that ends with .gguf")
      ->required()
      ->type_name("OUT");
  command->add_flag("--force", flags->force, "Replace files that exist");
  command->callback([&app, flags] { app.SetAction([&app, flags] { return RunPull(app, *flags); }); });
}

}  // namespace nashswarm::cli
