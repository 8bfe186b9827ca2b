#include "base/commandline/engine_examples.h"

namespace nashswarm::commandline {
namespace {

struct Examples {
  std::string_view command;
  const char* text;
};

constexpr Examples kExamples[] = {
    {"inspect",
     "Examples:\n"
     "  nashswarm inspect ./gpt2\n"
     "  nashswarm inspect out/model.gguf --json"},
    {"verify",
     "Examples:\n"
     "  nashswarm verify out\n"
     "  nashswarm verify ./gpt2"},
    {"unpack",
     "Examples:\n"
     "  nashswarm unpack out -o dense\n"
     "  nashswarm unpack out -o dense --dtype f32\n"
     "  nashswarm unpack out -o model.gguf --format gguf"},
    {"eval",
     "Examples:\n"
     "  nashswarm eval ./gpt2 --text wiki.test.txt\n"
     "  nashswarm eval out/model.gguf --text wiki.test.txt --against ./gpt2 --json"},
    {"calibrate",
     "Example:\n"
     "  nashswarm calibrate ./gpt2 --text wiki.train.txt -o imatrix.gguf"},
    {"frontier",
     "Examples:\n"
     "  nashswarm frontier ./gpt2 --bpw 2.5:6\n"
     "  nashswarm frontier ./gpt2 --bpw 2:5 --format nsq --text wiki.test.txt \\\n"
     "    --measure 4 -o frontier.svg"},
    {"bench",
     "Example:\n"
     "  nashswarm bench quality ./gpt2 --text wiki.test.txt --calibrate wiki.train.txt"},
    {"route",
     "Examples:\n"
     "  nashswarm route ./mixtral --text wiki.test.txt --cache-size 25%\n"
     "  nashswarm route out/model.gguf --text wiki.test.txt --alpha 0.1 --sweep \\\n"
     "    --pages -o route.html"},
    {"schemes",
     "Examples:\n"
     "  nashswarm schemes\n"
     "  nashswarm schemes --json"},
};

}  // namespace

const char* EngineExamples(std::string_view command) {
  for (const Examples& examples : kExamples) {
    if (examples.command == command) return examples.text;
  }
  return "";
}

}  // namespace nashswarm::commandline
