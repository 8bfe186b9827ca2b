// Completion scripts, generated from the tree of commands itself, so that they never lag behind it.
#ifndef NASHSWARM_CLIENT_CLI_COMPLETION_H_
#define NASHSWARM_CLIENT_CLI_COMPLETION_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace nashswarm::cli {

// What may stand at a place.
struct CompletionValue {
  bool expected = false;
  bool is_path = false;              // files and directories
  std::vector<std::string> choices;  // a closed list
};

struct CompletionOption {
  std::vector<std::string> names;  // "--output", "-o"
  std::string description;
  CompletionValue value;  // not expected for a switch
};

struct CompletionNode {
  std::string name;
  std::string path;  // "" for the root, "/jobs/list"
  std::string description;
  std::vector<CompletionOption> options;  // with those inherited from above
  CompletionValue positional;
  std::vector<CompletionNode> children;
};

CompletionNode DescribeCommands(const CLI::App& root);

std::string BashCompletion(const CompletionNode& root);
std::string ZshCompletion(const CompletionNode& root);
std::string FishCompletion(const CompletionNode& root);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_COMPLETION_H_
