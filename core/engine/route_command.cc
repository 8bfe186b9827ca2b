// route: a mixture-of-experts model's own router against the routing game on a text: loss, load, hits of a cache of
// experts.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/engine/progress_line.h"
#include "core/engine/route_text.h"
#include "core/evaluate/windows.h"
#include "core/forward/transformer.h"
#include "core/report/routing_report.h"
#include "core/route/pages.h"
#include "core/route/study.h"
#include "core/tokenizer/text_file.h"

namespace nashswarm::engine {
namespace {

// Layers stay as floats while they fit into this much.
constexpr uint64_t kWeightBytes = 8ull << 30;
constexpr uint64_t kDefaultTokens = 32768;
// Prices that even out a third of the load at next to no loss (docs/routing.md).
constexpr double kGateAlpha = 0.02, kLogitAlpha = 0.4;

absl::Status Wrong(std::string_view reason, std::string_view why, std::string_view hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, why, hint);
}

// "64MB", "512KiB", or a share of all experts: "25%".
absl::StatusOr<uint64_t> CacheBytes(std::string text, uint64_t all) {
  const absl::Status wrong = Wrong("CACHE_SIZE_INVALID", absl::StrCat("--cache-size ", text, ": not a size"),
                                   "give bytes (64MB, 512KiB) or a share of all experts (25%)");
  double share = 0;
  if (absl::EndsWith(text, "%")) {
    if (!absl::SimpleAtod(text.substr(0, text.size() - 1), &share) || !(share > 0 && share <= 100)) return wrong;
    return static_cast<uint64_t>(share / 100 * static_cast<double>(all));
  }
  try {
    if (!CLI::AsSizeValue(/*kb_is_1000=*/true)(text).empty()) return wrong;  // writes the bytes into the text
  } catch (const CLI::Error&) {
    return wrong;
  }
  uint64_t bytes = 0;
  if (!absl::SimpleAtoi(text, &bytes) || bytes == 0) return wrong;
  return bytes;
}

absl::Status CheckFlags(const RouteFlags& flags) {
  if (!flags.out.empty() && !absl::EndsWith(flags.out, ".html")) {
    return Wrong("OUTPUT_INVALID", absl::StrCat(flags.out, ": the report is a page"), "give a name that ends in .html");
  }
  if (!(flags.max_loss >= 0 && flags.max_loss <= 10)) {
    return Wrong("MAX_LOSS_INVALID", absl::StrCat("--max-loss ", flags.max_loss), "give a relative loss: 0.01 is 1 %");
  }
  return CacheBytes(flags.cache_size, 1).status();
}

// What would stop the command after minutes is looked at first.
absl::Status CheckFiles(const RouteFlags& flags) {
  if (!PathExists(flags.text)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", absl::StrCat(flags.text, ": no such file"),
                     "give a file of plain text");
  }
  if (flags.out.empty()) return absl::OkStatus();
  return AtomicFile::Create(flags.out).status();  // takes its temporary file away again
}

absl::StatusOr<route::StudyOptions> OptionsOf(const RouteFlags& flags, uint64_t expert_bytes) {
  route::StudyOptions options;
  options.router.batch = flags.batch;
  const bool logit = flags.similarity == "logit";
  options.router.game.similarity = logit ? routing::Similarity::kLogit : routing::Similarity::kSquaredGate;
  options.router.game.weights = {flags.alpha.value_or(logit ? kLogitAlpha : kGateAlpha),
                                 flags.separation,
                                 flags.threshold,
                                 flags.alignment,
                                 flags.cohesion,
                                 0};
  options.router.game.group = flags.group;
  NS_ASSIGN_OR_RETURN(options.router.cache.policy, expert_cache::ParsePolicy(flags.policy));
  NS_ASSIGN_OR_RETURN(options.router.cache.capacity_bytes, CacheBytes(flags.cache_size, expert_bytes));
  options.router.cache.ttl_tokens = flags.ttl_tokens;
  options.router.cache.half_life_tokens = flags.half_life_tokens;
  options.bonus = flags.bonus;
  options.max_loss = flags.max_loss;
  options.sweep = flags.sweep;
  options.lambdas = flags.lambdas;
  options.threads = flags.threads;
  return options;
}

struct Studied {
  route::Findings findings;
  route::ExpertFiles files;
};

// Opens the model, and closes it again: its files are not mapped any more when it returns.
absl::StatusOr<Studied> StudyModel(const RouteFlags& flags, const route::StudyProgress& progress) {
  NS_ASSIGN_OR_RETURN(const LocalModel local, LocalModel::Open(flags.model));
  NS_ASSIGN_OR_RETURN(auto transformer, forward::Transformer::Open(local.weights(), {flags.threads, kWeightBytes}));
  const uint64_t context = transformer->context();
  if (transformer->experts() == 0) return route::NoExperts(flags.model);
  NS_ASSIGN_OR_RETURN(route::ExpertFiles files, local.FindExperts());
  NS_ASSIGN_OR_RETURN(const route::RoutedModel model,
                      route::RoutedModel::Make(local.weights(), std::move(transformer), files.sizes()));
  uint64_t expert_bytes = 0;
  for (const uint64_t size : model.sizes()) expert_bytes += size;
  NS_ASSIGN_OR_RETURN(const route::StudyOptions options, OptionsOf(flags, expert_bytes));
  NS_ASSIGN_OR_RETURN(const auto tokenizer, local.OpenTokenizer());
  NS_ASSIGN_OR_RETURN(const std::string text, tokenizer::ReadTextFile(flags.text));
  evaluate::WindowOptions windows;
  windows.context = flags.context;
  windows.max_tokens = flags.tokens == 0 ? kDefaultTokens : flags.tokens;
  NS_ASSIGN_OR_RETURN(const std::vector<evaluate::Window> cut,
                      evaluate::CutText(text, flags.text, *tokenizer, context, windows));
  NS_ASSIGN_OR_RETURN(route::Findings findings, route::Study(model, cut, options, progress));
  findings.report.architecture = local.weights()->architecture();
  findings.report.text_bytes = text.size();
  return Studied{std::move(findings), std::move(files)};
}

absl::StatusOr<report::RoutingReport> MakeReport(const RouteFlags& flags) {
  NS_RETURN_IF_ERROR(CheckFiles(flags));
  ProgressLine line;
  const auto start = std::chrono::steady_clock::now();
  const route::StudyProgress progress = [&line](const std::string& what, uint64_t done, uint64_t total) {
    line.Show(what, done, total);
    return absl::OkStatus();
  };
  NS_ASSIGN_OR_RETURN(Studied studied, StudyModel(flags, progress));
  report::RoutingReport report = std::move(studied.findings.report);
  NS_ASSIGN_OR_RETURN(
      report.pages, route::ComparePages(
                        studied.files, studied.findings.own_trace, studied.findings.together, {.measure = flags.pages},
                        [&](uint64_t done, uint64_t total) { return progress("pages of the file", done, total); }));
  report.pages->router = "model";
  report.engine = "nashswarm " NASHSWARM_VERSION;
  report.model_name = ModelName(flags.model);
  report.text = BaseName(flags.text);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace

int RunRoute(const RouteFlags& flags, bool json) {
  if (const absl::Status status = CheckFlags(flags); !status.ok()) {
    ReportError(status, json);
    return 2;
  }
  const absl::StatusOr<report::RoutingReport> report = MakeReport(flags);
  if (!report.ok()) return ReportError(report.status(), json);
  if (!flags.out.empty()) {
    if (const absl::Status status = WriteFileDurably(flags.out, report::ToHtml(*report)); !status.ok())
      return ReportError(status, json);
  }
  if (json) {
    OrderedJson out = report::ToJson(*report);
    if (!flags.out.empty()) out["file"] = flags.out;
    std::cout << out.dump() << "\n";
  } else {
    std::cout << ToText(*report);
    if (!flags.out.empty()) std::cout << "report: " << flags.out << "\n";
  }
  return 0;
}

}  // namespace nashswarm::engine
