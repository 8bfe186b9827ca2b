#include "base/commandline/help.h"

#include <sstream>

namespace nashswarm::commandline {

std::string Wrap(const std::string& text, size_t width) {
  std::string out;
  size_t column = 0;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool fits = column + (column > 0 ? 1 : 0) + word.size() <= width;
    if (column > 0) out += fits ? ' ' : '\n';
    column = fits && column > 0 ? column + 1 + word.size() : word.size();
    out += word;
  }
  return out;
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  std::stringstream out;
  CLI::detail::format_help(out, command->get_display_name(), Wrap(command->get_description(), kWidth - kNames), kNames);
  return out.str();
}

}  // namespace nashswarm::commandline
