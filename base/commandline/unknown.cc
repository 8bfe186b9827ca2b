#include "base/commandline/unknown.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace nashswarm::commandline {
namespace {

// Letters put in, left out or changed (Levenshtein 1966), two neighbours that changed places counting once.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string PathOf(const CLI::App* app) {
  return app->get_parent() == nullptr ? app->get_name() : PathOf(app->get_parent()) + " " + app->get_name();
}

Unknown Explain(const std::string& what, const std::string& word, const CLI::App* app,
                const std::vector<std::string>& candidates) {
  const std::string near = Nearest(word, candidates), help = PathOf(app) + " --help";
  return {PathOf(app) + " has no " + what + " '" + word + "'",
          near.empty() ? help + " lists them" : "did you mean " + near + "? " + help + " lists all"};
}

std::vector<std::string> CommandsOf(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* child : app->get_subcommands({})) names.push_back(child->get_name());
  return names;
}

// Those of the command itself and of the ones above it.
std::vector<std::string> OptionsOf(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    }
  }
  return names;
}

const CLI::Option* FindOption(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name); option != nullptr) return option;
  }
  return nullptr;
}

const CLI::App* FindCommand(const CLI::App* app, const std::string& name) {
  for (const CLI::App* child : app->get_subcommands({})) {
    if (child->get_name() == name) return child;
  }
  return nullptr;
}

}  // namespace

std::string Nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t least = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (const size_t distance = Distance(word, candidate); distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::optional<Unknown> FindUnknown(const CLI::App& root, const std::vector<std::string>& arguments) {
  const CLI::App* app = &root;
  for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() > 1 && argument.front() == '-') {
      const bool is_long = argument[1] == '-';
      const std::string name = is_long ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
      const CLI::Option* option = FindOption(app, name);
      if (option == nullptr) return Explain("option", name, app, OptionsOf(app));
      const bool value_follows = option->get_items_expected_max() > 0 && name.size() == argument.size();
      i += value_follows ? 1 : 0;
      continue;
    }
    if (app->get_subcommands({}).empty()) continue;
    const CLI::App* child = FindCommand(app, argument);
    if (child == nullptr) return Explain("command", argument, app, CommandsOf(app));
    if (child->get_prefix_command()) return std::nullopt;  // the rest is another program's
    app = child;
  }
  return std::nullopt;
}

}  // namespace nashswarm::commandline
