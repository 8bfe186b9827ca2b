#include "base/commandline/help.h"

#include <sstream>

namespace nashswarm::commandline {

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  std::stringstream out;
  CLI::detail::format_help(out, command->get_display_name(), Wrap(command->get_description(), kWidth - kNames), kNames);
  return out.str();
}

}  // namespace nashswarm::commandline
