// Examples of the engine's commands that `nashswarm` hands over: both programs show them below --help.
#ifndef NASHSWARM_BASE_COMMANDLINE_ENGINE_EXAMPLES_H_
#define NASHSWARM_BASE_COMMANDLINE_ENGINE_EXAMPLES_H_

#include <string_view>

namespace nashswarm::commandline {

// In lines of at most 80 columns; "" for a command that is not handed over.
const char* EngineExamples(std::string_view command);

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_ENGINE_EXAMPLES_H_
