// Words on a command line that no command knows, and the ones that may have been meant.
#ifndef NASHSWARM_BASE_COMMANDLINE_UNKNOWN_H_
#define NASHSWARM_BASE_COMMANDLINE_UNKNOWN_H_

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace nashswarm::commandline {

// The candidate with the fewest letters to change, where these are few; "" when none is near.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates);

struct Unknown {
  std::string message, hint;
};

// The first command or option in `arguments` that the tree of `root` does not have; nothing when it has them all.
std::optional<Unknown> FindUnknown(const CLI::App& root, const std::vector<std::string>& arguments);

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_UNKNOWN_H_
