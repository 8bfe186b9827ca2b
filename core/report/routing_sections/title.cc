// The title, what the game did in one sentence, and the numbers most readers came for.
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/page.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

struct Routers {
  const RouterRow& model;
  const RouterRow& game;
  bool loss;

  bool Have(double RouterRow::* member) const { return std::isfinite(model.*member) && std::isfinite(game.*member); }
};

std::string LossClause(const Routers& r) {
  const std::string before = Significant(r.model.mean_nll, 4), after = Significant(r.game.mean_nll, 4);
  const std::string change = Percent(std::abs(r.game.nll_change), 2);
  if (change == Percent(0, 2)) return Cat("kept the loss at ", after, " nats a token");
  return Cat(r.game.nll_change > 0 ? "raised" : "lowered", " the loss by ", change, " (from ", before, " to ", after,
             " nats a token)");
}

std::string HitClause(const Routers& r) {
  const std::string before = Percent(r.model.hit_rate), after = Percent(r.game.hit_rate);
  if (before == after) return Cat("found experts in the cache as often as the model’s own router (", after, ")");
  if (!(r.model.hit_rate > 0)) {
    return Cat("found ", after, " of the experts in the cache, where the model’s own router found none");
  }
  return Cat("found experts in the cache ", Fixed(r.game.hit_rate / r.model.hit_rate, 2), " times as often (", after,
             " of those asked for instead of ", before, ")");
}

std::string LoadClause(const Routers& r) {
  const std::string before = Fixed(r.model.load_variation, 2), after = Fixed(r.game.load_variation, 2);
  if (before == after) return Cat("spread the load as evenly as the model’s own router (a variation of ", after, ")");
  return Cat("spread the load ", r.game.load_variation < r.model.load_variation ? "more" : "less",
             " evenly (a variation of ", after, " instead of ", before, ")");
}

std::string Summary(const Routers& r) {
  std::vector<std::string> clauses;
  if (r.loss) clauses.push_back(LossClause(r));
  if (r.Have(&RouterRow::hit_rate)) clauses.push_back(HitClause(r));
  if (r.Have(&RouterRow::load_variation)) clauses.push_back(LoadClause(r));
  std::string sentence;
  for (size_t i = 0; i < clauses.size(); ++i) {
    sentence += Cat(i == 0 ? " " : i + 1 < clauses.size() ? ", " : " and ", clauses[i]);
  }
  return sentence.empty() ? "" : Cat("<p class=\"plan\">The game", sentence, ".</p>\n");
}

std::string Tiles(const Routers& r) {
  constexpr std::string_view kBefore = " with the model’s own router";
  std::string tiles;
  if (r.loss) {
    tiles += Tile("Loss change", SignedPercent(r.game.nll_change),
                  Cat(Significant(r.model.mean_nll, 4), " to ", Significant(r.game.mean_nll, 4), " nats a token"));
  }
  if (r.Have(&RouterRow::hit_rate)) {
    tiles += Tile("Cache hit rate", Percent(r.game.hit_rate), Cat(Percent(r.model.hit_rate), kBefore));
  }
  if (r.Have(&RouterRow::load_variation)) {
    tiles += Tile("Variation of load", Fixed(r.game.load_variation, 2), Cat(Fixed(r.model.load_variation, 2), kBefore));
  }
  if (r.Have(&RouterRow::bytes_per_token)) {
    tiles +=
        Tile("Loaded per token", RoundBytes(r.game.bytes_per_token), Cat(RoundBytes(r.model.bytes_per_token), kBefore));
  }
  return tiles.empty() ? "" : Cat("<dl class=\"tiles\">\n", tiles, "</dl>\n");
}

}  // namespace

const RouterRow* RouterNamed(const RoutingReport& report, std::string_view name) {
  for (const RouterRow& row : report.routers) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string RouterTitle(const RouterRow& row) {
  return row.name == kModelRow ? "the model’s own" : row.name == kGameRow ? "the game" : Escape(row.name);
}

bool HasLoss(const RoutingReport& report, const RouterRow& row) {
  return report.scored > 0 && std::isfinite(row.mean_nll) && std::isfinite(row.nll_change);
}

std::string IfMeasured(double value, std::string text) { return std::isfinite(value) ? text : NotMeasured(); }

std::string Given(double value) { return IfMeasured(value, absl::StrCat(value)); }

std::string FoldedIfLong(size_t rows, std::string_view summary, std::string table) {
  constexpr size_t kLong = 12;
  return rows <= kLong ? table : Cat("<details>\n<summary>", summary, "</summary>\n", table, "</details>\n");
}

std::string TitleHtml(const RoutingReport& report) {
  const RouterRow* model = RouterNamed(report, kModelRow);
  const RouterRow* game = RouterNamed(report, kGameRow);
  std::string rest;
  if (model != nullptr && game != nullptr) {
    const Routers routers = {*model, *game, HasLoss(report, *model) && HasLoss(report, *game)};
    rest = Cat(Summary(routers), Tiles(routers));
  }
  const std::string experts = report.experts > 0 && report.used > 0
                                  ? Cat("a token uses ", std::to_string(report.used), " of ",
                                        std::to_string(report.experts), " experts in a layer")
                                  : "";
  return HeadingHtml(
      {.kind = "nashswarm routing report",
       .model_name = report.model_name,
       .facts = {Escape(report.architecture), experts, report.text.empty() ? "" : Cat("text: ", Escape(report.text))},
       .rest = rest});
}

}  // namespace nashswarm::report
