// nashswarm-engine: the engine alone, without network or stores. Parses flags and runs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/blas/blas.h"
#include "base/commandline/help.h"
#include "base/commandline/unknown.h"
#include "core/engine/command_help.h"
#include "core/engine/commands.h"

namespace {

void AddRouteFlags(CLI::App* route, nashswarm::engine::RouteFlags* flags) {
  const CLI::Range weight(0.0, 1e6);
  route->add_option("model", flags->model, "Model with experts: checkpoint directory, artifact directory or .gguf file")->required();
  route->add_option("--text", flags->text, "UTF-8 text: its first quarter tunes, the rest is held out to measure on")->required();
  route->add_option("--cache-size", flags->cache_size, "Cache of experts, all layers together: 64MB, 512KiB, or 25% of all experts (as when not given)");
  route->add_option("--policy", flags->policy, "What leaves the cache: lru, lfu, ttl, adaptive")->check(CLI::IsMember({"lru", "lfu", "ttl", "adaptive"}));
  route->add_option("--ttl", flags->ttl_tokens, "Of ttl: an expert leaves when so many tokens did not use it; 64 when not given");
  route->add_option("--half-life", flags->half_life_tokens, "Of lfu: uses count half after so many tokens; 256 when not given")->check(CLI::PositiveNumber);
  route->add_option("--similarity", flags->similarity, "What an expert is worth to a token: gate-squared (what its loss would change), or logit")
      ->check(CLI::IsMember({"gate-squared", "logit"}));
  route->add_option("--alpha", flags->alpha, "Price of an expert with its equal share of the tokens, spreads the load; 0.02 when not given, 0.4 of logits")->check(weight);
  route->add_option("--cache-bonus", flags->bonus, "Worth of an expert that is in the cache; chosen by --max-loss when not given")->check(weight);
  route->add_option("--max-loss", flags->max_loss, "The chosen bonus raises the loss by at most so much; 0.01 (1 %) when not given");
  route->add_option("--separation", flags->separation, "Further price of every equal share above the threshold")->check(weight);
  route->add_option("--threshold", flags->threshold, "In equal shares; 1.25 when not given")->check(weight);
  route->add_option("--alignment", flags->alignment, "Worth of an expert that the nearest 7 tokens chose")->check(weight);
  route->add_option("--cohesion", flags->cohesion, "Worth of an expert that lies where its local group does")->check(weight);
  route->add_option("--group", flags->group, "Experts of a token's local group; 7, or twice what a token uses when that is more");
  route->add_option("--batch", flags->batch, "Tokens that are routed together; 256 when not given")->check(CLI::PositiveNumber);
  route->add_option("--lambda-balance", flags->lambdas.balance, "Weight of the balancing loss's term; 0.01 when not given")->check(weight);
  route->add_option("--lambda-cache", flags->lambdas.cached, "Likewise of the share of hits, which counts against the loss")->check(weight);
  route->add_option("--lambda-separation", flags->lambdas.separation, "Likewise; 0 when not given, as those that follow")->check(weight);
  route->add_option("--lambda-alignment", flags->lambdas.alignment, "Likewise")->check(weight);
  route->add_option("--lambda-cohesion", flags->lambdas.cohesion, "Likewise")->check(weight);
  route->add_option("--lambda-nash", flags->lambdas.nash, "Likewise")->check(weight);
  route->add_flag("--sweep", flags->sweep, "Measure other cache bonuses and alphas on the held-out text too");
  route->add_flag("--pages", flags->pages, "Measure the pages a token needs with mincore: drops the weight files from the page cache");
  route->add_option("--ctx", flags->context, "Tokens of a window; 0 is 1024, or the model's context when that is less");
  route->add_option("--tokens", flags->tokens, "Use the first so many tokens of the text; 0 is 32768");
  route->add_option("--threads", flags->threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  route->add_option("-o,--output", flags->out, "HTML file that takes the report");
}

// For all commands alike, once they are all there. With formatters of their own: they copy the one they find when they are made.
void AddHelp(CLI::App* app) {
  app->formatter(std::make_shared<nashswarm::commandline::HelpFormatter>());
  if (const std::string help = nashswarm::engine::HelpOf(app->get_name()); !help.empty()) app->footer(help);
  for (CLI::App* command : app->get_subcommands({})) AddHelp(command);
}

int ReportUsage(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  const bool json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  std::string message = error.what(), hint = app.get_name();
  for (const CLI::App* command = &app; !command->get_subcommands().empty();) {
    command = command->get_subcommands().front();
    hint += " " + command->get_name();
  }
  hint += " --help";
  if (const auto unknown = nashswarm::commandline::FindUnknown(app, arguments); unknown.has_value()) {
    message = unknown->message;
    hint = unknown->hint;
  }
  return nashswarm::engine::ReportError(
      nashswarm::MakeError(absl::StatusCode::kInvalidArgument, "USAGE", message, hint), json);
}

}  // namespace

int main(int argc, char** argv) {
  nashswarm::blas::ChooseBlasKernels(argv);
  nashswarm::blas::UseSingleThreadedBlas();
  // Started by nashswarm, it goes by that name.
  CLI::App app{"nashswarm-engine: compression tasks and local inspection, without network", nashswarm::BaseName(argv[0])};
  app.set_version_flag("--version", std::string("nashswarm-engine " NASHSWARM_VERSION));
  app.require_subcommand(1);
  std::string path;
  bool json = false;
  int threads = 0;

  auto* task = app.add_subcommand("task", "Run one task of a job (started by nashswarmd)");
  task->add_option("dir", path, "Task directory with task.json, in/ and out/")->required();
  auto* inspect = app.add_subcommand("inspect", "Show the tensors of a checkpoint, an artifact or a GGUF file");
  inspect->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  inspect->add_flag("--json", json, "Print JSON");
  auto* verify = app.add_subcommand("verify", "Check an artifact or a checkpoint for damage");
  verify->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  verify->add_option("--threads", threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  verify->add_flag("--json", json, "Print JSON");
  std::string out;
  nashswarm::engine::UnpackFlags unpack_flags;
  auto* unpack = app.add_subcommand("unpack", "Decode an artifact into plain safetensors, or into a GGUF file for llama.cpp");
  unpack->add_option("path", unpack_flags.path, "Artifact directory or .gguf file")->required();
  unpack->add_option("-o,--output", unpack_flags.out, "Directory that takes model.safetensors or model.gguf; or a name that ends in .gguf")->required();
  unpack->add_option("--format", unpack_flags.format, "dense, or gguf (of an nsq artifact)")->check(CLI::IsMember({"dense", "gguf"}));
  unpack->add_option("--dtype", unpack_flags.dtype, "Of dense: f32, f16 or bf16; as the checkpoint when not given")->check(CLI::IsMember({"f32", "f16", "bf16"}));
  unpack->add_option("--threads", unpack_flags.threads, "Threads; 0 is every core. Never changes the bytes")
      ->check(CLI::NonNegativeNumber);
  unpack->add_flag("--allow-tokenizer-mismatch", unpack_flags.allow_tokenizer_mismatch,
                   "Of gguf: write it even where llama.cpp cuts texts otherwise than the model's tokenizer");
  unpack->add_flag("--force", unpack_flags.force, "Overwrite weights that are there");
  unpack->add_flag("--json", json, "Print JSON");
  std::string tokens;
  auto* logits = app.add_subcommand("logits", "Run a model over tokens and write the logits of every position");
  logits->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  logits->add_option("--tokens", tokens, "File of token ids with white space between them")->required();
  logits->add_option("-o,--output", out, "File that takes positions x vocabulary 32-bit floats, little-endian")->required();
  logits->add_option("--threads", threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  logits->add_flag("--json", json, "Print JSON");
  std::string text;
  auto* tokenize = app.add_subcommand("tokenize", "Print the token ids of a text, without a beginning-of-text token");
  tokenize->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  tokenize->add_option("--text", text, "File with the text; standard input when not given");
  tokenize->add_flag("--json", json, "Print a JSON array instead of one id a line");
  nashswarm::engine::EvalFlags eval_flags;
  auto* eval = app.add_subcommand("eval", "Measure perplexity on a text, and how far a model is from another");
  eval->add_option("model", eval_flags.model, "Checkpoint directory, artifact directory or .gguf file")->required();
  eval->add_option("--text", eval_flags.text, "UTF-8 text to measure on")->required();
  eval->add_option("--against", eval_flags.against, "Model to compare the predictions with: the checkpoint, as a rule");
  eval->add_option("--ctx", eval_flags.context, "Tokens of a window; 0 is 1024, or the model's context when that is less");
  eval->add_option("--stride", eval_flags.stride, "Windows overlap and begin every so many tokens (protocol strided)");
  eval->add_option("--max-tokens", eval_flags.max_tokens, "Use the first so many tokens of the text; 0 is all");
  eval->add_option("--protocol", eval_flags.protocol,
                   "half: the second half of every window is scored, as llama-perplexity does; strided: as Hugging Face's "
                   "guide; padded64: lines padded with EOS to 64 tokens and the padding counted, as some published tables")
      ->check(CLI::IsMember({"half", "strided", "padded64"}));
  eval->add_option("--threads", eval_flags.threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  eval->add_flag("--json", json, "Print JSON");

  uint64_t calibration_tokens = 0;
  auto* calibrate = app.add_subcommand("calibrate", "Make an importance matrix, which llama.cpp reads too");
  calibrate->add_option("path", path, "Checkpoint directory")->required();
  calibrate->add_option("--text", text, "UTF-8 text to run through the model")->required();
  calibrate->add_option("-o,--output", out, "GGUF file that takes the importance matrix")->required();
  calibrate->add_option("--tokens", calibration_tokens, "Use the first so many tokens of the text; 0 is 65536");
  calibrate->add_option("--threads", threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  calibrate->add_flag("--json", json, "Print JSON");
  nashswarm::engine::FrontierFlags frontier_flags;
  auto* frontier = app.add_subcommand("frontier", "Predict size against loss from one measurement of a checkpoint");
  frontier->add_option("model", frontier_flags.model, "Checkpoint directory")->required();
  frontier->add_option("--bpw", frontier_flags.bits, "FROM:TO, bits per weight of the whole file")->required();
  frontier->add_option("--points", frontier_flags.points, "Sizes to predict, spread evenly from FROM to TO; 13 when not given");
  frontier->add_option("--text", frontier_flags.text, "UTF-8 text: most of it calibrates, the rest is held out to measure on");
  frontier->add_option("--measure", frontier_flags.measure, "Make files of so many of the sizes and measure them on the held-out text");
  frontier->add_option("--format", frontier_flags.format, "gguf or nsq")->check(CLI::IsMember({"gguf", "nsq"}));
  frontier->add_option("--threads", frontier_flags.threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  frontier->add_option("-o,--output", frontier_flags.out, "SVG file that takes the drawing");
  frontier->add_flag("--json", json, "Print JSON");
  nashswarm::engine::BenchFlags bench_flags;
  auto* bench = app.add_subcommand("bench", "Compare the method with its baselines and its parts");
  bench->require_subcommand(1);
  auto* quality = bench->add_subcommand("quality", "Baselines, the method, and the method without its parts: files and their losses");
  quality->add_option("model", bench_flags.model, "Checkpoint directory")->required();
  quality->add_option("--text", bench_flags.text, "UTF-8 text to measure on; without --calibrate most of it calibrates")->required();
  quality->add_option("--calibrate", bench_flags.calibration, "UTF-8 text to calibrate on");
  quality->add_option("--bpw", bench_flags.bits, "Bits per weight of the whole file; 3 when not given");
  quality->add_option("--tokens", bench_flags.tokens, "Measure on so many tokens; 0 is 32768");
  quality->add_option("--threads", bench_flags.threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  quality->add_flag("--json", json, "Print JSON");
  nashswarm::engine::RouteFlags route_flags;
  auto* route = app.add_subcommand("route", "Route the tokens of a text to experts by a game, against the model's own router");
  AddRouteFlags(route, &route_flags);
  route->add_flag("--json", json, "Print JSON");
  auto* describe = app.add_subcommand("describe", "Print what this engine knows, as JSON");
  auto* schemes = app.add_subcommand("schemes", "List the number formats with bits and measured signal-to-noise");
  schemes->add_flag("--json", json, "Print JSON");

  AddHelp(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error) : ReportUsage(app, error, {argv + 1, argv + argc});
  }
  if (task->parsed()) return nashswarm::engine::RunTask(path);
  if (inspect->parsed()) return nashswarm::engine::RunInspect(path, json);
  if (verify->parsed()) return nashswarm::engine::RunVerify(path, threads, json);
  if (eval->parsed()) return nashswarm::engine::RunEval(eval_flags, json);
  if (calibrate->parsed()) return nashswarm::engine::RunCalibrate(path, text, out, calibration_tokens, threads, json);
  if (frontier->parsed()) return nashswarm::engine::RunFrontier(frontier_flags, json);
  if (route->parsed()) return nashswarm::engine::RunRoute(route_flags, json);
  if (quality->parsed()) return nashswarm::engine::RunBenchQuality(bench_flags, json);
  if (unpack->parsed()) return nashswarm::engine::RunUnpack(unpack_flags, json);
  if (logits->parsed()) return nashswarm::engine::RunLogits(path, tokens, out, threads, json);
  if (tokenize->parsed()) return nashswarm::engine::RunTokenize(path, text, json);
  if (describe->parsed()) return nashswarm::engine::RunDescribe();
  return nashswarm::engine::RunSchemes(json);
}
