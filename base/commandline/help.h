// --help that fits a terminal of 80 columns.
#ifndef NASHSWARM_BASE_COMMANDLINE_HELP_H_
#define NASHSWARM_BASE_COMMANDLINE_HELP_H_

#include <CLI/CLI.hpp>
#include <string>

#include "base/commandline/wrap.h"

namespace nashswarm::commandline {

// CLI11's help, with descriptions of options beside their names in lines that fit.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kNames); }
  std::string make_option_desc(const CLI::Option* option) const override {
    return Wrap(Formatter::make_option_desc(option), kWidth - kNames);
  }
  std::string make_subcommand(const CLI::App* command) const override;

 private:
  static constexpr size_t kNames = 34;
};

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_HELP_H_
