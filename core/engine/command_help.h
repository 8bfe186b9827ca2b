// What the --help of every command says below its options: what it reads, what it writes, examples.
#ifndef NASHSWARM_CORE_ENGINE_COMMAND_HELP_H_
#define NASHSWARM_CORE_ENGINE_COMMAND_HELP_H_

#include <string>
#include <string_view>

namespace nashswarm::engine {

// "" for a command that has none.
std::string HelpOf(std::string_view command);

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_COMMAND_HELP_H_
