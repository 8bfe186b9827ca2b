#include "client/cli/quality.h"

#include <optional>
#include <string>

#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

std::optional<double> PerplexityChange(const v1::Job::Quality& quality) {
  if (!(quality.source_perplexity() > 0)) return std::nullopt;
  return quality.perplexity() / quality.source_perplexity() - 1;
}

}  // namespace

nlohmann::json ToJson(const v1::Job::Quality& quality) {
  nlohmann::json object = {{"perplexity", quality.perplexity()},
                           {"source_perplexity", quality.source_perplexity()},
                           {"mean_kl", quality.mean_kl()},
                           {"mean_kl_stderr", quality.mean_kl_stderr()},
                           {"p99_kl", quality.p99_kl()},
                           {"same_top1", quality.same_top1()},
                           {"tokens", quality.tokens()}};
  if (const auto change = PerplexityChange(quality)) object["perplexity_change"] = *change;
  return object;
}

void AddQualityRows(const v1::Job::Quality& quality, Table* table) {
  std::string perplexity = FormatSignificant(quality.perplexity(), 4);
  if (const auto change = PerplexityChange(quality)) {
    perplexity += ", the checkpoint's is " + FormatSignificant(quality.source_perplexity(), 4) + " (" +
                  FormatChange(*change) + ")";
  }
  table->AddRow({"perplexity", perplexity});
  table->AddRow({"KL divergence", "mean " + FormatSignificant(quality.mean_kl(), 3) + " ± " +
                                      FormatSignificant(quality.mean_kl_stderr(), 2) + ", p99 " +
                                      FormatSignificant(quality.p99_kl(), 3) + " nats a token"});
  table->AddRow({"same top token", FormatPercent(quality.same_top1()) + " of " +
                                       FormatCount(static_cast<double>(quality.tokens())) + " tokens"});
}

}  // namespace nashswarm::cli
