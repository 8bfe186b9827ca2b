#include "client/cli/completion.h"

#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"

namespace nashswarm::cli {

void AddCompletion(App& app) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = app.AddCommand(&app.root(), "completion", "Print a script that completes commands in your shell",
                                     "Examples:\n"
                                     "  source <(nashswarm completion bash)\n"
                                     "  nashswarm completion zsh > \"${fpath[1]}/_nashswarm\"\n"
                                     "  nashswarm completion fish > ~/.config/fish/completions/nashswarm.fish");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, shell] {
    app.SetAction([&app, shell] {
      const CompletionNode tree = DescribeCommands(app.root());
      const std::string script = *shell == "bash"  ? BashCompletion(tree)
                                 : *shell == "zsh" ? ZshCompletion(tree)
                                                   : FishCompletion(tree);
      if (app.flags().json) {
        app.PrintJson({{"shell", *shell}, {"script", script}});
      } else {
        app.PrintText(script);
      }
      return absl::OkStatus();
    });
  });
}

}  // namespace nashswarm::cli
