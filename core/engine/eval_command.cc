#include <chrono>
#include <iostream>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/engine/progress_line.h"
#include "core/engine/table.h"
#include "core/evaluate/score.h"
#include "core/evaluate/windows.h"
#include "core/forward/transformer.h"
#include "core/tokenizer/text_file.h"

namespace nashswarm::engine {
namespace {

// Layers stay as floats while they fit into this much.
constexpr uint64_t kWeightBytes = 8ull << 30;

struct Result {
  evaluate::Score score;
  uint64_t windows = 0, context = 0;
  double seconds = 0;
  uint64_t tokens_run = 0;  // of the model itself, scored or not
};

absl::StatusOr<Result> Evaluate(const EvalFlags& flags) {
  NS_ASSIGN_OR_RETURN(const LocalModel local, LocalModel::Open(flags.model));
  NS_ASSIGN_OR_RETURN(const auto tokenizer, local.OpenTokenizer());
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(local.weights(), {flags.threads, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const std::string text, tokenizer::ReadTextFile(flags.text));
  evaluate::WindowOptions options;
  options.protocol = *evaluate::ProtocolByName(flags.protocol);
  if (flags.stride > 0) options.protocol = evaluate::Protocol::kStrided;
  options.context = flags.context;
  options.stride = flags.stride;
  options.max_tokens = flags.max_tokens;
  NS_ASSIGN_OR_RETURN(const std::vector<evaluate::Window> windows,
                      evaluate::CutText(text, flags.text, *tokenizer, model->context(), options));

  ProgressLine line;
  const auto progress = [&line](const char* what) {
    return [&line, what](uint64_t done, uint64_t total) {
      line.Show(what, done, total);
      return absl::OkStatus();
    };
  };
  evaluate::Predictions reference;
  std::unique_ptr<forward::Transformer> reference_model;
  std::optional<LocalModel> reference_local;
  if (!flags.against.empty()) {
    NS_ASSIGN_OR_RETURN(reference_local, LocalModel::Open(flags.against));
    NS_ASSIGN_OR_RETURN(reference_model, forward::Transformer::Open(reference_local->weights(), {flags.threads, kWeightBytes}));
    NS_ASSIGN_OR_RETURN(reference, evaluate::Predict(*reference_model, windows, progress("reference")));
  }
  const auto start = std::chrono::steady_clock::now();
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model, windows, progress("model")));
  Result result;
  NS_ASSIGN_OR_RETURN(result.score, evaluate::ScorePredictions(predictions, reference_model ? &reference : nullptr, windows,
                                                               flags.threads));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.windows = windows.size();
  result.context = windows[0].tokens.size();
  result.tokens_run = evaluate::TokensOf(windows);
  return result;
}

Json ToJson(const Result& result, const EvalFlags& flags) {
  Json json = {{"model", flags.model},
               {"protocol", flags.stride > 0 ? "strided" : flags.protocol},
               {"context", result.context},
               {"windows", result.windows},
               {"perplexity", result.score.perplexity},
               {"mean_nll", result.score.mean_nll},
               {"mean_nll_stderr", result.score.mean_nll_stderr},
               {"tokens", result.score.tokens},
               {"tokens_per_second", static_cast<double>(result.tokens_run) / result.seconds},
               {"seconds", result.seconds}};
  if (result.score.agreement) {
    json["against"] = flags.against;
    json["mean_kl"] = result.score.agreement->mean_kl;
    json["mean_kl_stderr"] = result.score.agreement->mean_kl_stderr;
    json["p99_kl"] = result.score.agreement->p99_kl;
    json["same_top1"] = result.score.agreement->same_top1;
  }
  return json;
}

std::string ToText(const Result& result, const EvalFlags& flags) {
  const evaluate::Score& score = result.score;
  Table table({"", ""});
  table.Add({"perplexity", absl::StrFormat("%.4f +- %.4f", score.perplexity, score.perplexity * score.mean_nll_stderr)});
  if (score.agreement) {
    table.Add({"mean KL divergence", absl::StrFormat("%.6f +- %.6f nats a token", score.agreement->mean_kl,
                                                     score.agreement->mean_kl_stderr)});
    table.Add({"99 % of tokens below", absl::StrFormat("%.6f", score.agreement->p99_kl)});
    table.Add({"same top token", absl::StrFormat("%.3f %%", 100 * score.agreement->same_top1)});
  }
  table.Add({"scored", absl::StrFormat("%d tokens in %d windows of %d (%s)", score.tokens, result.windows, result.context,
                                       flags.stride > 0 ? "strided" : flags.protocol)});
  table.Add({"speed", absl::StrFormat("%.0f tokens a second", static_cast<double>(result.tokens_run) / result.seconds)});
  return table.ToString();
}

}  // namespace

int RunEval(const EvalFlags& flags, bool json) {
  const absl::StatusOr<Result> result = Evaluate(flags);
  if (!result.ok()) return ReportError(result.status(), json);
  if (json) std::cout << ToJson(*result, flags).dump() << "\n";
  else std::cout << ToText(*result, flags);
  return 0;
}

}  // namespace nashswarm::engine
