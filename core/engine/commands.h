// The subcommands of nashswarm-engine. Each returns the program's exit status (exit_code.h).
#ifndef NASHSWARM_CORE_ENGINE_COMMANDS_H_
#define NASHSWARM_CORE_ENGINE_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "core/game/routing/losses.h"

namespace nashswarm::engine {

// Runs the task described in `dir`/task.json (README.md). Events go to standard output.
int RunTask(const std::string& dir);

// What this engine knows, as JSON: its version, architectures, number formats, artifact kinds, stages, limits (README.md). The server
// asks for it when it starts.
int RunDescribe();

// Tensors, formats, bits and errors of a checkpoint directory, an artifact directory or a GGUF file.
int RunInspect(const std::string& path, bool json);

// Checks an artifact or a checkpoint: structure, digests, every value finite.
int RunVerify(const std::string& path, int threads, bool json);

struct UnpackFlags {
  std::string path, out;
  std::string format = "dense";             // or "gguf", of an nsq artifact
  std::string dtype;                        // of dense: f32, f16 or bf16; empty: as the checkpoint, of GGUF f32
  int threads = 0;
  bool allow_tokenizer_mismatch = false;    // of gguf: llama.cpp may cut texts otherwise than the model's tokenizer
  bool force = false;                       // overwrite weights that are there
};
// Decodes an nsq artifact into `out` as a checkpoint (model.safetensors, config.json, tokenizer) or as model.gguf (`out` itself,
// when it ends in .gguf); a GGUF file into `out`/model.safetensors. The same bytes at any number of threads.
int RunUnpack(const UnpackFlags& flags, bool json);

// Runs a checkpoint or GGUF file over the token ids in the file `tokens` and writes the logits of every position to `out`:
// little-endian floats, positions x vocabulary.
int RunLogits(const std::string& path, const std::string& tokens, const std::string& out, int threads, bool json);

// The token ids of the file `text` (empty: of standard input) by the tokenizer of a checkpoint directory, an artifact
// directory or a GGUF file.
int RunTokenize(const std::string& path, const std::string& text, bool json);

struct EvalFlags {
  std::string model, text;
  std::string against;                      // empty: nothing to compare with
  std::string protocol = "half";
  uint64_t context = 0, stride = 0, max_tokens = 0;  // core/evaluate/windows.h
  int threads = 0;
};
// Perplexity of a model on a text, and its distance from another model.
int RunEval(const EvalFlags& flags, bool json);

// Writes an importance matrix of the checkpoint `path` on `text` to `out`. `tokens` 0: the default.
int RunCalibrate(const std::string& path, const std::string& text, const std::string& out, uint64_t tokens, int threads,
                 bool json);

struct FrontierFlags {
  std::string model;                        // a checkpoint directory
  std::string bits;                         // "FROM:TO", bits per weight
  int points = 13;                          // a curve's worth in one screen of a terminal
  std::string text;                         // empty: no calibration, and nothing to measure on
  int measure = 0;                          // sizes to make and measure
  std::string format = "gguf";              // or "nsq"
  int threads = 0;
  std::string out;                          // SVG file; empty: none
};
// Predicted losses of a checkpoint at many sizes, from one measurement. Returns 2 for flags that make no sense.
int RunFrontier(const FrontierFlags& flags, bool json);

struct BenchFlags {
  std::string model, text;                  // a checkpoint directory; text to measure on
  std::string calibration;                  // empty: a part of `text`, and the rest measures
  double bits = 3;                          // bits per weight of the files that have a size to choose
  uint64_t tokens = 0;                      // to measure on; 0: the default
  int threads = 0;
};
// Baselines, the whole method and the method without its parts: sizes of files, losses of what they decode to. Returns 2 for
// flags that make no sense.
int RunBenchQuality(const BenchFlags& flags, bool json);

struct RouteFlags {
  std::string model, text;                  // as LocalModel; text to measure on
  std::string cache_size = "25%";           // bytes of all layers together, or a share of all experts
  std::string policy = "lru";
  uint32_t ttl_tokens = 64, half_life_tokens = 256;  // of the policies ttl and lfu
  std::string similarity = "gate-squared";  // or "logit"
  std::optional<double> alpha;              // absent: a small one, in the unit of the similarity
  double separation = 0, threshold = 1.25, alignment = 0, cohesion = 0;  // routing::Weights
  std::optional<double> bonus;              // absent: chosen so that the loss rises by at most max_loss
  double max_loss = 0.01;
  size_t group = 7;
  uint64_t batch = 256;
  routing::LossLambdas lambdas{.balance = 0.01, .cached = 0.01};
  bool sweep = false, pages = false;
  uint64_t context = 0, tokens = 0;         // of a window; of the text (0: 32768)
  int threads = 0;
  std::string out;                          // HTML file; empty: none
};
// The model's own router against the routing game: loss, load, cache hits, pages. Returns 2 for flags that make no sense.
int RunRoute(const RouteFlags& flags, bool json);

// Every format with its bits and its signal-to-noise ratio, measured here on normal and Laplace samples.
int RunSchemes(bool json);

// Prints an error with its hint to standard error, as {"error": ...} to standard output too when `json`.
int ReportError(const absl::Status& status, bool json);

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_COMMANDS_H_
