#include "core/engine/route_text.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/engine/table.h"
#include "core/report/numbers.h"

namespace nashswarm::engine {
namespace {

using report::RoutingReport;

// From nothing to much.
constexpr std::string_view kShades = " .:-=+*#%@";
constexpr size_t kMostNumbers = 16;  // experts whose loads are written as numbers
constexpr size_t kMostMaps = 4, kMostMapExperts = 32;
constexpr double kFullShade = 2;  // of an even share, or of what chance would bring together

char Shade(double relative) {
  const double step = relative / kFullShade * static_cast<double>(kShades.size() - 1);
  return kShades[static_cast<size_t>(std::clamp(step + 0.5, 0.0, static_cast<double>(kShades.size() - 1)))];
}

double SumOf(const std::vector<uint64_t>& counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), uint64_t{0}));
}

// Relative to an even share.
std::vector<double> Relative(const std::vector<uint64_t>& tokens) {
  const double even = SumOf(tokens) / static_cast<double>(tokens.size());
  std::vector<double> relative;
  for (const uint64_t count : tokens) relative.push_back(even == 0 ? 0 : static_cast<double>(count) / even);
  return relative;
}

std::string Kilobytes(double bytes) { return absl::StrFormat("%.1f", bytes / 1000); }
std::string Share(double share) { return absl::StrFormat("%.1f %%", 100 * share); }
std::string Change(double change) { return absl::StrFormat("%+.2f %%", 100 * change); }

std::string Head(const RoutingReport& report) {
  const report::RoutingSettings& s = report.settings;
  std::string out = absl::StrFormat("%s: %s, %d layers of %d experts, a token uses %d\n", report.model_name,
                                    report.architecture, report.layers.size(), report.experts, report.used);
  absl::StrAppendFormat(&out, "text: %s, %d tokens held out (%d scored), %d before them to tune on, windows of %d\n",
                        report.text, report.tokens, report.scored, report.tuning_tokens, report.context);
  absl::StrAppendFormat(&out, "cache: %s, %s, %s of all experts, for every layer a share by the bytes of its experts\n",
                        s.policy, report::ExactBytes(s.cache_bytes),
                        Share(static_cast<double>(s.cache_bytes) / static_cast<double>(s.expert_bytes)));
  absl::StrAppendFormat(
      &out, "game: %s, alpha %g, cache bonus %.4g%s, separation %g, alignment %g, cohesion %g, batches of %d\n\n",
      s.similarity, s.alpha, s.cache_bonus,
      s.bonus_was_chosen ? absl::StrFormat(" (chosen to cost at most %g %%)", 100 * s.max_loss) : "", s.separation,
      s.alignment, s.cohesion, s.batch);
  return out;
}

std::string Routers(const RoutingReport& report) {
  Table table({"router", ">loss", ">change", ">load variation", ">hit rate", ">KB a token", ">rounds", ">Nash batches",
               ">own choices"});
  for (const report::RouterRow& row : report.routers) {
    table.Add({row.name, absl::StrFormat("%.4f", row.mean_nll), Change(row.nll_change),
               absl::StrFormat("%.3f", row.load_variation), Share(row.hit_rate), Kilobytes(row.bytes_per_token),
               absl::StrFormat("%.2f", row.rounds), absl::StrFormat("%d of %d", row.nash_batches, row.batches),
               Share(row.same_choices)});
  }
  return table.ToString();
}

std::string Terms(const RoutingReport& report) {
  const report::RoutingLambdas& l = report.settings.lambdas;
  std::string out = absl::StrFormat(
      "\nbalancing loss: lambdas %g balance, %g cached, %g separation, %g alignment, %g cohesion, %g Nash\n", l.balance,
      l.cached, l.separation, l.alignment, l.cohesion, l.nash);
  Table table(
      {"router", ">cross-entropy", ">balance", ">cached", ">separation", ">alignment", ">cohesion", ">Nash", ">total"});
  for (const report::RouterRow& row : report.routers) {
    std::vector<std::string> cells = {row.name};
    const report::RoutingTerms& t = row.terms;
    for (const double value :
         {row.mean_nll, t.balance, t.cached, t.separation, t.alignment, t.cohesion, t.nash, t.total}) {
      cells.push_back(absl::StrFormat("%.4f", value));
    }
    table.Add(std::move(cells));
  }
  return out + table.ToString();
}

std::string Loads(const RoutingReport& report) {
  const bool numbers = static_cast<size_t>(report.experts) <= kMostNumbers;
  std::string out = "\nload of each expert, 1 is an even share";
  absl::StrAppend(&out, numbers ? "\n" : absl::StrCat(" (shades \"", std::string(kShades), "\" from 0 to 2)\n"));
  std::vector<std::string> header = {">layer", "router"};
  for (int e = 0; numbers && e < report.experts; ++e) header.push_back(absl::StrCat(">", e));
  if (!numbers) header.push_back("experts");
  header.push_back(">hit rate");
  Table table(header);
  for (const report::RoutedLayer& layer : report.layers) {
    const auto add = [&](const std::string& first, const char* router, const std::vector<uint64_t>& tokens,
                         double hit_rate) {
      std::vector<std::string> cells = {first, router};
      std::string shades = "|";
      for (const double relative : Relative(tokens)) {
        if (numbers)
          cells.push_back(absl::StrFormat("%.2f", relative));
        else
          shades += Shade(relative);
      }
      if (!numbers) cells.push_back(shades + "|");
      cells.push_back(Share(hit_rate));
      table.Add(std::move(cells));
    };
    add(absl::StrCat(layer.layer), "model", layer.model_tokens, layer.model_hit_rate);
    add("", "game", layer.game_tokens, layer.game_hit_rate);
  }
  return out + table.ToString();
}

// How often the two were used together, relative to what their loads alone would bring.
double Together(const std::vector<uint64_t>& together, const std::vector<uint64_t>& tokens, size_t a, size_t b) {
  const double pairs = SumOf(together), all = SumOf(tokens);
  double chance = 0;  // share of all ordered pairs of different experts, drawn by their loads
  for (const uint64_t count : tokens)
    chance += static_cast<double>(count) / all * (1 - static_cast<double>(count) / all);
  const double expected = static_cast<double>(tokens[a]) / all * static_cast<double>(tokens[b]) / all / chance * pairs;
  return expected > 0 ? static_cast<double>(together[a * tokens.size() + b]) / expected : 0;
}

std::string MapRow(const std::vector<uint64_t>& together, const std::vector<uint64_t>& tokens, size_t row) {
  std::string out;
  for (size_t e = 0; e < tokens.size(); ++e) out += e == row ? '\\' : Shade(Together(together, tokens, row, e));
  return out;
}

std::string Maps(const RoutingReport& report) {
  if (report.used < 2 || static_cast<size_t>(report.experts) > kMostMapExperts) return "";
  std::string out = absl::StrCat("\nexperts used together, model | game: shades \"", std::string(kShades),
                                 "\" from never to twice what their loads alone would bring\n");
  for (size_t l = 0; l < std::min(report.layers.size(), kMostMaps); ++l) {
    const report::RoutedLayer& layer = report.layers[l];
    absl::StrAppend(&out, "layer ", layer.layer, "\n");
    for (size_t e = 0; e < layer.model_tokens.size(); ++e) {
      absl::StrAppendFormat(&out, "  %2d  %s | %s\n", e, MapRow(layer.model_together, layer.model_tokens, e),
                            MapRow(layer.game_together, layer.game_tokens, e));
    }
  }
  if (report.layers.size() > kMostMaps)
    absl::StrAppend(&out, "(the first ", kMostMaps, " layers; all of them are in --json and in -o FILE.html)\n");
  return out;
}

std::string ConvergenceText(const report::Convergence& c) {
  if (c.potential.empty()) return "";
  Table table({">round", ">potential a token", ">cohesion", ">tokens that moved"});
  for (size_t r = 0; r < c.potential.size(); ++r) {
    table.Add({absl::StrCat(r), absl::StrFormat("%+.6f", c.potential[r]),
               r < c.cohesion.size() ? absl::StrFormat("%.4f", c.cohesion[r]) : "",
               r > 0 && r - 1 < c.moved.size() ? Share(c.moved[r - 1]) : ""});
  }
  return "\nthe game, round by round (means over the batches)\n" + table.ToString();
}

std::string Sweeps(const RoutingReport& report) {
  std::string out;
  for (const report::RoutingSweep& sweep : report.sweeps) {
    Table table({absl::StrCat(">", sweep.parameter), ">change of loss", ">hit rate", ">KB a token", ">load variation",
                 ">rounds", ""});
    for (const report::RoutingPoint& point : sweep.points) {
      table.Add({absl::StrFormat("%.4g", point.value), Change(point.nll_change), Share(point.hit_rate),
                 Kilobytes(point.bytes_per_token), absl::StrFormat("%.3f", point.load_variation),
                 absl::StrFormat("%.2f", point.rounds), point.chosen ? "<- the game above" : ""});
    }
    absl::StrAppend(&out, "\n", sweep.parameter, ", on the ", sweep.text,
                    sweep.parameter == "alpha" ? ", without a cache bonus" : "", "\n", table.ToString());
  }
  return out;
}

std::string Policies(const RoutingReport& report) {
  Table table({"policy", ">model", ">game", ">model, one cache", ">game, one cache"});
  for (const report::PolicyRow& row : report.policies) {
    table.Add({row.policy, Share(row.model_hit_rate), Share(row.game_hit_rate), Share(row.model_shared_hit_rate),
               Share(row.game_shared_hit_rate)});
  }
  return "\nhit rates of the same choices with other caches: a share for every layer, or one for all (optimal knows "
         "the future: a bound)\n" +
         table.ToString();
}

std::string Pages(const report::PagesReport& pages) {
  Table table({"order", ">pages touched", ">in stretches", ">faulted in", ">read"});
  for (const report::OrderRow& row : pages.orders) {
    const auto measured = [](const std::optional<double>& pages) {
      return pages ? absl::StrFormat("%.1f", *pages) : "-";
    };
    table.Add({row.order, absl::StrFormat("%.1f", row.touched), absl::StrFormat("%.1f", row.runs),
               measured(row.faulted), measured(row.resident)});
  }
  std::string out =
      absl::StrFormat("\npages of %s (%d bytes each) that a token's experts need, by the order of the experts\n",
                      pages.file, pages.page_bytes);
  absl::StrAppend(&out, table.ToString());
  if (!pages.not_measured.empty())
    absl::StrAppend(&out, "faulted in and read: ", pages.not_measured, "\n");
  else
    absl::StrAppend(&out, "faulted in and, with the kernel's readahead, read: with mincore on a cold mapping, for ",
                    pages.tokens, " tokens\n");
  return out;
}

}  // namespace

std::string ToText(const RoutingReport& report) {
  std::string out = Head(report) + Routers(report) + Terms(report) + Loads(report) + Maps(report) +
                    ConvergenceText(report.convergence) + Sweeps(report) + Policies(report);
  if (report.pages) out += Pages(*report.pages);
  if (!report.notes.empty()) out += "\n";
  for (const std::string& note : report.notes) absl::StrAppend(&out, "note: ", note, "\n");
  return out;
}

}  // namespace nashswarm::engine
