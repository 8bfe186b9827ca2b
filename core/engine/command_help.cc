#include "core/engine/command_help.h"

#include "base/commandline/engine_examples.h"

namespace nashswarm::engine {
namespace {

struct CommandHelp {
  std::string_view command;
  const char* text;
};

// Before the examples; those of commands that `nashswarm` hands over, which takes hf://ORG/NAME for a model too, lie in
// base/commandline.
constexpr CommandHelp kHelp[] = {
    {"inspect",
     "Reads a checkpoint directory, an artifact directory or a .gguf file; headers\n"
     "alone, so a large one takes no longer. Writes nothing."},
    {"verify",
     "Reads every byte: structure, sizes, that every value is finite, and the digest\n"
     "that manifest.json names. Writes nothing. Exit code 7: it is damaged."},
    {"unpack",
     "Reads an artifact. Writes OUT/model.safetensors, for an nsq artifact with\n"
     "config.json and the tokenizer: a checkpoint again. With --format gguf a file\n"
     "that llama.cpp runs."},
    {"eval",
     "Reads a model, a text in UTF-8, and with --against another model. Writes\n"
     "nothing: perplexity, and KL divergence from the other model, on stdout."},
    {"calibrate",
     "Reads a checkpoint and a text in UTF-8. Writes an importance matrix, which\n"
     "compress takes with --imatrix and llama-quantize with --imatrix."},
    {"frontier",
     "Reads a checkpoint and, for losses in nats, a text in UTF-8. Writes a drawing\n"
     "with -o. Files that --measure makes are removed again."},
    {"quality",
     "Reads a checkpoint and texts in UTF-8. Writes nothing that stays: the files it\n"
     "makes are measured and removed.\n\n"
     "Example:\n"
     "  nashswarm bench quality ./gpt2 --text wiki.test.txt --calibrate wiki.train.txt \\\n"
     "    --bpw 3.5"},
    {"route", "Reads a model with experts and a text in UTF-8. Writes a report with -o."},
    {"schemes",
     "Reads and writes nothing: formats by name, as --rule takes them, with bits and\n"
     "signal-to-noise measured here."},
    {"logits",
     "Reads a model and a file of token ids. Writes little-endian floats.\n\n"
     "Example:\n"
     "  nashswarm-engine logits ./gpt2 --tokens ids.txt -o logits.f32"},
    {"tokenize",
     "Reads the tokenizer of a model, and a text as it is. Writes ids on stdout.\n\n"
     "Example:\n"
     "  nashswarm-engine tokenize ./gpt2 --text wiki.test.txt"},
    {"describe",
     "Reads and writes nothing. JSON on stdout: the version, architectures, formats of\n"
     "numbers and artifacts, stages and limits (core/engine/README.md). nashswarmd\n"
     "asks for it when it starts.\n\n"
     "Example:\n"
     "  nashswarm-engine describe"},
    {"task",
     "Reads DIR/task.json and what it names. Writes DIR/out, and events on stdout\n"
     "(core/engine/README.md). For nashswarmd; people use nashswarm compress.\n\n"
     "Example:\n"
     "  nashswarm-engine task /var/lib/nashswarm/work/job-prepare-0-1"},
};

}  // namespace

std::string HelpOf(std::string_view command) {
  std::string help;
  for (const CommandHelp& entry : kHelp) {
    if (entry.command == command) help = entry.text;
  }
  const std::string examples = commandline::EngineExamples(command);
  return help.empty() || examples.empty() ? help + examples : help + "\n\n" + examples;
}

}  // namespace nashswarm::engine
