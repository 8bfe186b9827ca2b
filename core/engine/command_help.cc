#include "core/engine/command_help.h"

namespace nashswarm::engine {
namespace {

struct CommandHelp {
  std::string_view command;
  const char* text;
};

// `nashswarm NAME` hands its arguments over and takes hf://ORG/NAME for a model too.
constexpr CommandHelp kHelp[] = {
    {"inspect",
     "Reads a checkpoint directory, an artifact directory or a .gguf file; headers\n"
     "alone, so a large one takes no longer. Writes nothing.\n\n"
     "Examples:\n"
     "  nashswarm inspect ./gpt2\n"
     "  nashswarm inspect out/model.gguf --json"},
    {"verify",
     "Reads every byte: structure, sizes, that every value is finite, and the digest\n"
     "that manifest.json names. Writes nothing. Exit code 7: it is damaged.\n\n"
     "Examples:\n"
     "  nashswarm verify out\n"
     "  nashswarm verify ./gpt2"},
    {"unpack",
     "Reads an artifact. Writes OUT/model.safetensors, for an nsq artifact with\n"
     "config.json and the tokenizer: a checkpoint again. With --format gguf a file\n"
     "that llama.cpp runs.\n\n"
     "Examples:\n"
     "  nashswarm unpack out -o dense\n"
     "  nashswarm unpack out -o dense --dtype f32\n"
     "  nashswarm unpack out -o model.gguf --format gguf"},
    {"eval",
     "Reads a model, a text in UTF-8, and with --against another model. Writes\n"
     "nothing: perplexity, and KL divergence from the other model, on stdout.\n\n"
     "Examples:\n"
     "  nashswarm eval ./gpt2 --text wiki.test.txt\n"
     "  nashswarm eval out/model.gguf --text wiki.test.txt --against ./gpt2 --json"},
    {"calibrate",
     "Reads a checkpoint and a text in UTF-8. Writes an importance matrix, which\n"
     "compress takes with --imatrix and llama-quantize with --imatrix.\n\n"
     "Example:\n"
     "  nashswarm calibrate ./gpt2 --text wiki.train.txt -o imatrix.gguf"},
    {"frontier",
     "Reads a checkpoint and, for losses in nats, a text in UTF-8. Writes a drawing\n"
     "with -o. Files that --measure makes are removed again.\n\n"
     "Examples:\n"
     "  nashswarm frontier ./gpt2 --bpw 2.5:6\n"
     "  nashswarm frontier ./gpt2 --bpw 2:5 --format nsq --text wiki.test.txt \\\n"
     "    --measure 4 -o frontier.svg"},
    {"bench",
     "Example:\n"
     "  nashswarm bench quality ./gpt2 --text wiki.test.txt --calibrate wiki.train.txt"},
    {"quality",
     "Reads a checkpoint and texts in UTF-8. Writes nothing that stays: the files it\n"
     "makes are measured and removed.\n\n"
     "Example:\n"
     "  nashswarm bench quality ./gpt2 --text wiki.test.txt --calibrate wiki.train.txt \\\n"
     "    --bpw 3.5"},
    {"route",
     "Reads a model with experts and a text in UTF-8. Writes a report with -o.\n\n"
     "Examples:\n"
     "  nashswarm route ./mixtral --text wiki.test.txt --cache-size 25%\n"
     "  nashswarm route out/model.gguf --text wiki.test.txt --alpha 0.1 --sweep \\\n"
     "    --pages -o route.html"},
    {"schemes",
     "Reads and writes nothing: formats by name, as --rule takes them, with bits and\n"
     "signal-to-noise measured here.\n\n"
     "Examples:\n"
     "  nashswarm schemes\n"
     "  nashswarm schemes --json"},
    {"logits",
     "Reads a model and a file of token ids. Writes little-endian floats.\n\n"
     "Example:\n"
     "  nashswarm-engine logits ./gpt2 --tokens ids.txt -o logits.f32"},
    {"tokenize",
     "Reads the tokenizer of a model, and a text as it is. Writes ids on stdout.\n\n"
     "Example:\n"
     "  nashswarm-engine tokenize ./gpt2 --text wiki.test.txt"},
    {"task",
     "Reads DIR/task.json and what it names. Writes DIR/out, and events on stdout\n"
     "(core/engine/README.md). For nashswarmd; people use nashswarm compress.\n\n"
     "Example:\n"
     "  nashswarm-engine task /var/lib/nashswarm/work/job-prepare-0-1"},
};

}  // namespace

const char* HelpOf(std::string_view command) {
  for (const CommandHelp& help : kHelp) {
    if (help.command == command) return help.text;
  }
  return "";
}

}  // namespace nashswarm::engine
