// The report of a job: what came out, how it was decided, and what it costs. One structure, three forms: report.json
// (schema: docs/report.md), a self-contained report.html, and the terminal's `nashswarm report`.
// Nothing here is estimated unless its name says "predicted"; what was not measured is absent, never zero.
#ifndef NASHSWARM_CORE_REPORT_REPORT_H_
#define NASHSWARM_CORE_REPORT_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace nashswarm::report {

inline constexpr char kSchema[] = "nashswarm.report/1";
inline constexpr char kJsonFile[] = "report.json";
inline constexpr char kHtmlFile[] = "report.html";

// Measured on the evaluation text.
struct Quality {
  double perplexity = 0;
  double perplexity_change = 0;  // relative to the checkpoint's: 0.02 is 2 % worse
  double perplexity_change_stderr = 0;  // of that share, from the paired differences of the log likelihood; 0: unknown
  double mean_kl = 0, mean_kl_stderr = 0, p99_kl = 0;  // nats a token, against the checkpoint; 0 for itself
  double same_top1 = 1;
  uint64_t tokens = 0;           // scored
};

// One line of the headline table.
struct Row {
  std::string name;              // "checkpoint", "rounding in groups of 32, 4 bits", "llama.cpp Q3_K_M", "nashswarm"
  std::string note;              // how it was made, in a few words; may be empty
  bool is_artifact = false;      // the one this report is about
  uint64_t bytes = 0;            // of the weight file (of rounding: codes, scales and vectors)
  double bits_per_weight = 0;    // bytes * 8 / parameters
  double ratio_fp32 = 0;         // share of bytes saved against FP32
  double ratio_source = 0;       // share saved against the checkpoint's files; negative when larger
  std::optional<double> predicted_loss;  // where nothing was measured: from the curves of MEASURE, in the plan's own unit
  std::optional<Quality> quality;
};

struct TensorRow {
  std::string name;              // in the checkpoint
  std::string role;              // "ffn_down", ...
  int layer = -1;                // -1: outside the layers
  uint64_t weights = 0;
  std::string format;
  double bits_per_weight = 0;
  double relative_error = 0;     // squared error over squared weights, measured on the encoded tensor
  double predicted_loss = 0;     // a_t D_t: its share of the loss the plan counts on
  bool vector = false;           // kept in 16 or 32 bits, no player
};

struct FrontierPoint {
  uint64_t bytes = 0;
  double bits_per_weight = 0;
  double predicted_loss = 0;     // of the equilibrium at this size; nats when `loss_is_kl`
};

// A whole artifact that was measured on the way to a quality target.
struct Trial {
  uint64_t bytes = 0;
  double bits_per_weight = 0;
  double predicted_loss = 0;
  double mean_kl = 0, perplexity = 0, perplexity_change = 0;
  bool passed = false;
};

// A step of the search over whole plans: one that was measured, or a flock of them.
struct SearchStep {
  int round = 0;
  std::string step;              // "equilibrium", "context", "swarm"
  int plans = 0;                 // tried in it
  std::optional<double> tried_kl;  // mean KL of the plan that came out of it; absent when it found none to measure
  double mean_kl = 0;            // of the plan kept after it
  bool kept = false;             // what came out of it is that plan
};

// A plan of the same size, made with parts of the method only.
struct SearchVariant {
  std::string name;              // "uniform", "game", "swarm only", "both"
  uint64_t bytes = 0;            // of the file
  double bits_per_weight = 0;
  double mean_kl = 0;
};

// Measured on the text that plans are chosen by, not on the evaluation text.
struct SearchReport {
  std::string text;              // which that is, in words
  uint64_t tokens = 0;           // scored
  std::vector<SearchStep> trace;
  std::vector<SearchVariant> ablation;
};

// The experts of a layer, by their numbers in the checkpoint.
struct ExpertLayer {
  int layer = 0;
  std::vector<uint64_t> tokens;  // of the calibration text, that used each
  std::vector<double> bits;      // per weight, of each
  std::vector<uint64_t> order;   // the expert at each place of the artifact; empty: as in the checkpoint
};

struct ExpertsReport {
  int used = 0;                  // by a token, in a layer
  std::vector<ExpertLayer> layers;
};

struct PriceStep {
  double price = 0;              // loss per byte
  uint64_t bytes = 0;            // of the file at this price
  double loss = 0;
};

struct TextUsed {
  std::string purpose;           // "calibration", "evaluation"
  std::string source;            // "a text", "held-out part of the calibration text", "the model's own text (seed 0)", "an importance matrix"
  std::string sha256;            // hex, of the file; empty for the model's own
  uint64_t bytes = 0, tokens = 0, context = 0;
  std::string note;              // how it was split or cut, in a sentence; may be empty
};

struct StageCost {
  std::string stage;
  int tasks = 0;
  double seconds = 0;            // summed over tasks
  uint64_t peak_bytes = 0;       // the largest engine
};

// The weight file.
struct ArtifactFile {
  std::string name;              // "model.gguf"
  uint64_t bytes = 0;
  std::string sha256;            // hex
};

// What running the model takes at least: its weights in memory, and the keys and values of a context, in 16 bits.
struct Memory {
  uint64_t weight_bytes = 0;     // the GGUF file; of nsq, the checkpoint that it unpacks to
  uint64_t cache_bytes = 0;      // of `context` tokens
  uint64_t context = 0;
};

struct Report {
  std::string engine;            // "nashswarm 0.1.0"
  std::string made;              // when, UTC: "2026-11-30T17:05:00Z"
  std::string cpu;               // of the machine that wrote this
  std::string command;           // the command line that asks for the same again; files by placeholders
  std::string model_name, architecture, source_digest;  // digest: hex
  uint64_t parameters = 0;
  std::string target;            // as asked, "3.5 bits a weight"
  std::string plan_summary;      // one line: how near the target and the best plan
  std::string plan_in_words;     // what the plan did, a sentence; PlanInWords()
  std::optional<ArtifactFile> artifact;
  std::optional<Memory> memory;
  std::vector<Row> headline;
  bool loss_is_kl = false;       // loss weights were measured, so predicted losses are nats a token
  uint64_t chosen_bytes = 0;
  double chosen_predicted_loss = 0;
  std::vector<FrontierPoint> frontier;   // by size, ascending
  std::vector<Trial> trials;             // in the order they were measured
  std::optional<SearchReport> search;    // absent when there was none
  std::optional<ExpertsReport> experts;  // of a mixture of experts that was calibrated
  std::vector<PriceStep> price_path;     // of the chosen plan, in order
  std::vector<TensorRow> tensors;        // in file order
  std::vector<TextUsed> texts;
  std::vector<StageCost> costs;
  std::vector<std::string> warnings;
};

// "Kept the token embedding at 6.3 bits a weight and the attention's values at 5.1, and brought FFN down to 2.4." From the
// tensors; "" where there is nothing to tell.
std::string PlanInWords(const std::vector<TensorRow>& tensors);

// So few tokens that the figures of `quality` say little: fewer than kFewTokens were scored, or the standard error of the
// divergence is over a tenth of it.
inline constexpr uint64_t kFewTokens = 1000;
bool IsRough(const Quality& quality);

// Keys in the order of the members, "schema" first. Non-finite numbers are absent; text is valid UTF-8.
OrderedJson ToJson(const Report& report);

// One HTML file without scripts, fonts or links to fetch: inline SVG and CSS, light and dark, for screen, phone and print.
std::string ToHtml(const Report& report);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_REPORT_H_
