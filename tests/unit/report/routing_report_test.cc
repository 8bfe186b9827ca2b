#include "core/report/routing_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/report/numbers.h"
#include "tests/unit/report/page_checks.h"
#include "tests/unit/report/sample_routing.h"

namespace nashswarm::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Body(const RoutingReport& report) { return BodyOf(ToHtml(report)); }

// The drawing with this id, wide or narrow.
std::string Drawing(const std::string& body, const std::string& id) {
  const size_t at = body.find("aria-labelledby=\"" + id + "-t ");
  return at == std::string::npos ? "" : body.substr(at, body.find("</svg>", at) - at);
}

std::vector<RoutingReport> Samples() {
  return {FullRouting(), RoutingOf(64, 8, 16), RoutingOf(200, 4, 3), RoutingOf(2, 1, 1), BareRouting(), RoutingReport{}};
}

std::vector<std::string> KeysOf(const OrderedJson& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

TEST(RoutingJsonTest, KeysAreTheMembersInTheirOrder) {
  const OrderedJson json = ToJson(FullRouting());
  EXPECT_THAT(KeysOf(json), ElementsAre("schema", "engine", "model_name", "architecture", "experts", "used", "text", "text_bytes", "tokens",
                                        "scored", "context", "tuning_tokens", "settings", "routers", "layers", "convergence", "sweeps",
                                        "policies", "pages", "seconds", "notes"));
  EXPECT_THAT(KeysOf(json["settings"]),
              ElementsAre("similarity", "alpha", "separation", "threshold", "alignment", "cohesion", "cache_bonus", "bonus_was_chosen",
                          "max_loss", "group", "batch", "policy", "cache_bytes", "expert_bytes", "lambdas"));
  EXPECT_THAT(KeysOf(json["routers"][0]),
              ElementsAre("name", "mean_nll", "mean_nll_stderr", "nll_change", "perplexity", "same_choices", "load_variation", "hit_rate",
                          "bytes_per_token", "rounds", "most_rounds", "batches", "nash_batches", "terms"));
  EXPECT_THAT(KeysOf(json["routers"][1]["terms"]),
              ElementsAre("balance", "cached", "separation", "alignment", "cohesion", "nash", "total"));
}

TEST(RoutingJsonTest, EveryKeyHoldsItsOwnMember) {
  RoutingReport r;
  r.engine = "e", r.model_name = "m", r.architecture = "a", r.experts = 1, r.used = 2, r.text = "t", r.text_bytes = 3, r.tokens = 4;
  r.scored = 5, r.context = 6, r.tuning_tokens = 7;
  r.settings = {"s", 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, true, 7.5, 8, 9, "p", 10, 11, {12.5, 13.5, 14.5, 15.5, 16.5, 17.5}};
  r.routers = {{"n", 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10, 11, 12, {1.25, 2.25, 3.25, 4.25, 5.25, 6.25, 7.25}}};
  r.layers = {{1, {2, 3}, {4, 5}, {0, 6, 6, 0}, {0, 7, 7, 0}, 8.5, 9.5}};
  r.convergence = {{1.5}, {2.5}, {3.5}};
  r.sweeps = {{"sp", "st", {{1.5, 2.5, 3.5, 4.5, 5.5, 6.5, true}}}};
  r.policies = {{"pp", 1.5, 2.5, 3.5, 4.5}};
  r.pages = PagesReport{"pf", 1, 2, "pr", {{"po", 3.5, 4.5, 5.5}}, "pn"};
  r.seconds = 18.5, r.notes = {"w"};
  EXPECT_EQ(Json(ToJson(r)), Json::parse(R"({
    "schema": "nashswarm.routing/1", "engine": "e", "model_name": "m", "architecture": "a", "experts": 1, "used": 2, "text": "t",
    "text_bytes": 3, "tokens": 4, "scored": 5, "context": 6, "tuning_tokens": 7,
    "settings": {"similarity": "s", "alpha": 1.5, "separation": 2.5, "threshold": 3.5, "alignment": 4.5, "cohesion": 5.5,
                 "cache_bonus": 6.5, "bonus_was_chosen": true, "max_loss": 7.5, "group": 8, "batch": 9, "policy": "p",
                 "cache_bytes": 10, "expert_bytes": 11,
                 "lambdas": {"balance": 12.5, "cached": 13.5, "separation": 14.5, "alignment": 15.5, "cohesion": 16.5, "nash": 17.5}},
    "routers": [{"name": "n", "mean_nll": 1.5, "mean_nll_stderr": 2.5, "nll_change": 3.5, "perplexity": 4.5, "same_choices": 5.5,
                 "load_variation": 6.5, "hit_rate": 7.5, "bytes_per_token": 8.5, "rounds": 9.5, "most_rounds": 10, "batches": 11,
                 "nash_batches": 12, "terms": {"balance": 1.25, "cached": 2.25, "separation": 3.25, "alignment": 4.25,
                                               "cohesion": 5.25, "nash": 6.25, "total": 7.25}}],
    "layers": [{"layer": 1, "model_tokens": [2, 3], "game_tokens": [4, 5], "model_together": [0, 6, 6, 0],
                "game_together": [0, 7, 7, 0], "model_hit_rate": 8.5, "game_hit_rate": 9.5}],
    "convergence": {"potential": [1.5], "cohesion": [2.5], "moved": [3.5]},
    "sweeps": [{"parameter": "sp", "text": "st", "points": [{"value": 1.5, "nll_change": 2.5, "hit_rate": 3.5, "bytes_per_token": 4.5,
                                                            "load_variation": 5.5, "rounds": 6.5, "chosen": true}]}],
    "policies": [{"policy": "pp", "model_hit_rate": 1.5, "game_hit_rate": 2.5, "model_shared_hit_rate": 3.5, "game_shared_hit_rate": 4.5}],
    "pages": {"file": "pf", "page_bytes": 1, "tokens": 2, "router": "pr",
              "orders": [{"order": "po", "touched": 3.5, "runs": 4.5, "resident": 5.5}], "not_measured": "pn"},
    "seconds": 18.5, "notes": ["w"]})"));
}

TEST(RoutingJsonTest, WhatWasNotMeasuredIsAbsent) {
  const OrderedJson json = ToJson(BareRouting());
  EXPECT_FALSE(json["routers"][1].contains("mean_nll"));
  EXPECT_TRUE(json["routers"][1].contains("load_variation"));
  EXPECT_FALSE(json["layers"][0].contains("model_hit_rate"));
  EXPECT_FALSE(json["sweeps"][0]["points"][0].contains("hit_rate"));
  EXPECT_FALSE(json["pages"]["orders"][0].contains("resident"));
  EXPECT_FALSE(json["settings"].contains("max_loss"));  // nothing was chosen by it
  EXPECT_FALSE(ToJson(RoutingReport{}).contains("pages"));
  for (const RoutingReport& report : Samples()) EXPECT_THAT(ToJson(report).dump(), Not(HasSubstr("null")));
}

TEST(RoutingJsonTest, InASeriesThePlaceOfANumberCounts) {
  RoutingReport report;
  report.convergence.potential = {0, std::numeric_limits<double>::quiet_NaN(), 0.5};
  EXPECT_EQ(ToJson(report)["convergence"]["potential"], OrderedJson::parse("[0.0, null, 0.5]"));
}

TEST(RoutingJsonTest, BytesThatAreNoTextDoNotThrow) {
  RoutingReport report;
  report.notes = {"bad \xFF name"};
  EXPECT_THAT(ToJson(report).dump(), HasSubstr("bad \xEF\xBF\xBD name"));
}

TEST(RoutingHtmlTest, IsWellFormedAndSelfContained) {
  for (const RoutingReport& report : Samples()) {
    const std::string html = ToHtml(report);
    EXPECT_EQ(Unbalanced(html), "");
    EXPECT_TRUE(IsSelfContained(html));
    EXPECT_TRUE(HasNumbersOnly(html));
    EXPECT_EQ(html, ToHtml(RoutingReport(report)));
  }
}

TEST(RoutingHtmlTest, HasEverySectionInTheOrderOfAReader) {
  const std::string body = Body(FullRouting());
  size_t last = 0;
  for (const char* id : {"<h1>tiny-mixtral", "id=\"routers\"", "id=\"frontier\"", "id=\"load\"", "id=\"pairs\"", "id=\"convergence\"",
                         "id=\"terms\"", "id=\"policies\"", "id=\"pages\"", "id=\"settings\"", "id=\"notes\"", "id=\"text\"", "<footer>"}) {
    const size_t at = body.find(id);
    ASSERT_NE(at, std::string::npos) << id;
    EXPECT_GT(at, last) << id;
    last = at;
  }
}

TEST(RoutingHtmlTest, ASectionWithoutDataIsLeftOut) {
  const struct {
    const char* id;
    void (*empty)(RoutingReport&);
  } kSections[] = {
      {"routers", [](RoutingReport& r) { r.routers.clear(); }},
      {"frontier", [](RoutingReport& r) { r.sweeps.clear(); }},
      {"frontier", [](RoutingReport& r) { for (RoutingSweep& s : r.sweeps) s.points.clear(); }},
      {"load", [](RoutingReport& r) { r.layers.clear(); }},
      {"load", [](RoutingReport& r) { for (RoutedLayer& l : r.layers) l.game_tokens.clear(); }},
      {"pairs", [](RoutingReport& r) { for (RoutedLayer& l : r.layers) l.model_together.clear(), l.game_together.clear(); }},
      {"convergence", [](RoutingReport& r) { r.convergence = {}; }},
      {"terms", [](RoutingReport& r) { for (RouterRow& row : r.routers) row.terms = {}; }},
      {"policies", [](RoutingReport& r) { r.policies.clear(); }},
      {"pages", [](RoutingReport& r) { r.pages.reset(); }},
      {"pages", [](RoutingReport& r) { r.pages->orders.clear(); }},
      {"settings", [](RoutingReport& r) { r.settings = {}; }},
      {"notes", [](RoutingReport& r) { r.notes.clear(); }},
      {"text", [](RoutingReport& r) { r.text.clear(), r.tokens = 0; }},
  };
  for (const auto& section : kSections) {
    RoutingReport report = FullRouting();
    section.empty(report);
    EXPECT_EQ(SectionOf(Body(report), section.id), "") << section.id;
    EXPECT_NE(SectionOf(Body(FullRouting()), section.id), "") << section.id;
  }
}

TEST(RoutingHtmlTest, AnEmptyReportSaysNothing) {
  const std::string body = Body(RoutingReport{});
  EXPECT_EQ(Times(body, "<section"), 0u);
  EXPECT_EQ(Times(body, "<svg"), 0u);
  EXPECT_EQ(Times(body, ">0"), 0u);
}

TEST(RoutingHtmlTest, SaysInASentenceWhatTheGameDid) {
  EXPECT_TRUE(Has(Body(FullRouting()), "The game raised the loss by 0.62\u00A0% (from 3.210 to 3.230 nats a token), found experts in the cache "
                                       "1.94 times as often (66.4\u00A0% of those asked for instead of 34.2\u00A0%) and spread the load more "
                                       "evenly (a variation of 0.40 instead of 0.62)."));
  RoutingReport report = FullRouting();
  report.routers[1].nll_change = -0.002;
  report.routers[1].load_variation = 0.9;
  report.routers[0].hit_rate = 0;
  EXPECT_TRUE(Has(Body(report), "The game lowered the loss by 0.20\u00A0% "));
  EXPECT_TRUE(Has(Body(report), "found 66.4\u00A0% of the experts in the cache, where the model’s own router found none"));
  EXPECT_TRUE(Has(Body(report), "spread the load less evenly (a variation of 0.90 instead of 0.62)"));
  report = FullRouting();
  report.routers[1] = report.routers[0];
  report.routers[1].name = "game";
  EXPECT_TRUE(Has(Body(report), "The game kept the loss at 3.210 nats a token, found experts in the cache as often as the model’s own router "
                                "(34.2\u00A0%) and spread the load as evenly (a variation of 0.62)."));
  report.scored = 0;  // no losses then
  EXPECT_TRUE(Has(Body(report), "The game found experts in the cache as often"));
  report.routers.pop_back();
  EXPECT_EQ(Times(Body(report), "The game found"), 0u);
}

TEST(RoutingHtmlTest, ComparesTheRouters) {
  const std::string routers = SectionOf(Body(FullRouting()), "routers");
  for (const std::string& text : {std::string("3.210"), std::string("0.021"), std::string("3.230"), SignedPercent(0.00617), std::string("24.79"),
                                  std::string("0.618"), Percent(0.3421), Bytes(11034625), std::string("4.4"), std::string("at most 11"),
                                  std::string("382"), std::string("of 384"), Percent(0.8612), std::string("16,352 tokens")}) {
    EXPECT_TRUE(Has(routers, text));
  }
  EXPECT_EQ(Times(routers, "<tr class=\"ours\">"), 1u);
  EXPECT_EQ(Times(routers, "no rounds are played"), 2u);  // by the model's own router, as a tooltip and for screen readers
}

TEST(RoutingHtmlTest, WhatWasNotMeasuredIsNoZero) {
  RoutingReport report = FullRouting();
  report.scored = 0;
  for (RouterRow& row : report.routers) row.mean_nll = row.perplexity = row.nll_change = row.terms.total = 0;
  const std::string routers = SectionOf(Body(report), "routers");
  EXPECT_EQ(Times(routers, ">not measured</span>"), 6u);
  EXPECT_EQ(Times(routers, ">0</td>"), 0u);
  EXPECT_EQ(Times(SectionOf(Body(report), "terms"), ">not measured</span>"), 4u);
  EXPECT_EQ(Times(Body(report), "Loss change<"), 0u);
  const std::string bare = Body(BareRouting());
  for (const char* text : {">0\u00A0%", ">0.0\u00A0%", ">0\u00A0B", "<td class=\"n\">0</td>"}) {
    EXPECT_EQ(Times(SectionOf(bare, "routers") + SectionOf(bare, "policies") + SectionOf(bare, "frontier") + SectionOf(bare, "pages"), text), 0u) << text;
  }
}

TEST(RoutingHtmlTest, DrawsTheSweepsAndMarksWhatWasChosen) {
  const std::string body = Body(FullRouting());
  for (const char* id : {"sweep-0-wide", "sweep-0-narrow", "sweep-1-wide", "sweep-1-narrow"}) {
    const std::string drawing = Drawing(body, id);
    EXPECT_EQ(Times(drawing, "<polyline class=\"curve\""), 1u) << id;
    EXPECT_EQ(Times(drawing, "<polygon class=\"ours open\""), 1u) << id;
    EXPECT_TRUE(Has(drawing, ">chosen: ")) << id;
  }
  EXPECT_EQ(Times(Drawing(body, "sweep-0-wide"), "<circle class=\"ours\""), 6u);
  EXPECT_TRUE(Has(Drawing(body, "sweep-0-wide"), "cache bonus 0.5\nloss +0.20\u00A0%, hit rate 52.5\u00A0%"));
  EXPECT_TRUE(Has(Drawing(body, "sweep-1-wide"), "alpha 0.25, chosen\nloss +0.13\u00A0%, variation of load 0.458"));
  EXPECT_TRUE(Has(Drawing(body, "sweep-0-wide"), ">hit rate, %<"));
  EXPECT_TRUE(Has(Drawing(body, "sweep-1-wide"), ">variation of load<"));
  // The model's own router was measured on the held-out text, so it stands in that drawing alone.
  EXPECT_EQ(Times(Drawing(body, "sweep-0-wide"), "<polygon class=\"base\""), 1u);
  EXPECT_EQ(Times(Drawing(body, "sweep-1-wide"), "<polygon class=\"base\""), 0u);
  EXPECT_EQ(Times(Drawing(body, "sweep-0-wide"), "<line class=\"reference\""), 1u);  // max_loss
  EXPECT_EQ(Times(SectionOf(body, "frontier"), "Measured on the tuning text, not on the held-out text"), 1u);

  RoutingReport report = FullRouting();
  for (RoutingSweep& sweep : report.sweeps) sweep.text = "held-out text";
  report.settings.bonus_was_chosen = false;
  EXPECT_EQ(Times(SectionOf(Body(report), "frontier"), "not on the held-out text"), 0u);
  EXPECT_EQ(Times(Body(report), "<line class=\"reference\""), 0u);
}

TEST(RoutingHtmlTest, OnePointAndEqualPointsHaveTheirDrawing) {
  RoutingReport report = FullRouting();
  report.sweeps[0].points.resize(1);
  for (RoutingPoint& point : report.sweeps[1].points) point = {1, 0, 0, 0, 0, 0, false};
  const std::string html = ToHtml(report);
  EXPECT_TRUE(HasNumbersOnly(html));
  EXPECT_EQ(Times(Drawing(html, "sweep-0-wide"), "<circle class=\"ours\""), 1u);
  EXPECT_EQ(Times(Drawing(html, "sweep-1-wide"), "<circle class=\"ours\""), 5u);
}

TEST(RoutingHtmlTest, MapsTheLoadsOfBothRouters) {
  RoutingReport report = RoutingOf(4, 2, 1);
  report.layers[0].model_tokens = {400, 0, 100, 300};
  report.layers[0].game_tokens = {200, 200, 200, 200};
  const std::string body = Body(report);
  const std::string model = Drawing(body, "load-model-wide"), game = Drawing(body, "load-game-wide");
  EXPECT_TRUE(Has(model, "layer 0, expert 3\n300 tokens, 1.50 of an even share"));
  EXPECT_EQ(Times(model, "<rect class=\"b1\""), 1u);
  EXPECT_TRUE(Has(model, "class=\"mid in b1t\""));
  EXPECT_EQ(Times(game, "<rect class=\"b5\""), 4u);
  EXPECT_EQ(Times(Drawing(body, "load-model-narrow"), "tokens"), Times("Darker, is more tokens", "tokens"));  // no tooltips on a phone
  EXPECT_TRUE(Has(SectionOf(body, "load"), "<td class=\"n\">0 (2.00)</td>"));
  EXPECT_TRUE(Has(SectionOf(body, "load"), "<td class=\"n\">0.79</td><td class=\"n\">0.00</td>"));  // sqrt(1 + 1 + 0.25 + 0.25) / 2
}

TEST(RoutingHtmlTest, MapsWhoMeetsWhom) {
  RoutingReport report = RoutingOf(3, 2, 1);
  RoutedLayer& layer = report.layers[0];
  layer.model_tokens = {200, 100, 100};
  layer.model_together = {0, 100, 100, 100, 0, 0, 100, 0, 0};
  layer.game_tokens = {100, 100, 100};
  layer.game_together = {0, 50, 50, 50, 0, 50, 50, 50, 0};
  std::string drawing = Drawing(Body(report), "pairs-0-wide");
  // Products of the loads 2:2:1, 200 meetings: 80, 80 and 40 are expected.
  EXPECT_TRUE(Has(drawing, "the model’s own router, experts 0 and 1\n100 tokens, 1.25 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "the model’s own router, experts 1 and 2\n0 tokens, 0.00 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "the game, experts 1 and 2\n50 tokens, 1.00 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "layer 0: 33\u00A0% of the pairs changed"));
  EXPECT_EQ(Times(drawing, "<rect "), 6u);  // nothing on the diagonal
  layer.game_tokens = {100, 100, 0};
  layer.game_together = {0, 50, 0, 50, 0, 0, 0, 0, 0};
  drawing = Drawing(Body(report), "pairs-0-wide");
  EXPECT_EQ(Times(drawing, "<rect "), 4u);  // whom nobody uses meets nobody, which says nothing
}

TEST(RoutingHtmlTest, ShowsTheTellingLayersAndSaysHowManyAreLeftOut) {
  RoutingReport report = RoutingOf(4, 2, 7);
  for (RoutedLayer& layer : report.layers) layer.game_tokens = layer.model_tokens, layer.game_together = layer.model_together;
  for (const int l : {6, 3}) {
    std::vector<uint64_t>& together = report.layers[l].game_together;
    together[1] = together[4] = 9 * together[1] + 100;
  }
  const std::string pairs = SectionOf(Body(report), "pairs");
  EXPECT_TRUE(Has(pairs, "Shown are the 4 layers whose pairs changed most; 3 others are left out."));
  for (const int l : {0, 1, 3, 6}) EXPECT_EQ(Times(pairs, ">layer " + std::to_string(l) + ": "), 2u) << l;  // wide and narrow
  EXPECT_EQ(Times(SectionOf(Body(RoutingOf(4, 2, 4)), "pairs"), "left out"), 0u);
  EXPECT_TRUE(Has(SectionOf(Body(RoutingOf(70, 2, 1)), "pairs"), "Of each layer the 64 most used experts; 6 others are left out."));
}

TEST(RoutingHtmlTest, DrawsTheConvergence) {
  const std::string body = Body(FullRouting());
  EXPECT_EQ(Times(Drawing(body, "potential-wide"), "<circle"), 12u);
  EXPECT_EQ(Times(Drawing(body, "cohesion-narrow"), "<circle"), 12u);
  EXPECT_EQ(Times(Drawing(body, "moved-wide"), "<circle"), 11u);
  EXPECT_TRUE(Has(Drawing(body, "moved-wide"), "round 1: 31.00 tokens that moved, %"));
  EXPECT_TRUE(Has(SectionOf(body, "convergence"), "It took 4.4 rounds on average, at most 11. 382 of 384 batches ended at a Nash equilibrium"));
  RoutingReport report = FullRouting();
  report.convergence.cohesion.clear();  // a router without centres
  EXPECT_EQ(Drawing(Body(report), "cohesion-wide"), "");
  EXPECT_NE(Drawing(Body(report), "moved-wide"), "");
}

TEST(RoutingHtmlTest, ListsTheTermsWithWhatTheyCount) {
  const std::string terms = SectionOf(Body(FullRouting()), "terms");
  EXPECT_TRUE(Has(terms, "balance</th><td class=\"n\">+ 0.01</td><td class=\"n\">1.18</td><td class=\"n\">1.07</td>"));
  EXPECT_TRUE(Has(terms, "cached</th><td class=\"n\">− 0.02</td>"));  // wanted, so it counts against the loss
  EXPECT_TRUE(Has(terms, "total</th><td class=\"n\"></td><td class=\"n\">3.221</td><td class=\"n\">3.228</td>"));
}

TEST(RoutingHtmlTest, TellsWhyPagesWereNotMeasured) {
  const std::string pages = SectionOf(Body(BareRouting()), "pages");
  EXPECT_TRUE(Has(pages, "title=\"not measured: this system has no mincore\""));
  EXPECT_TRUE(Has(pages, "pages resident were not measured: this system has no mincore"));
  EXPECT_EQ(Times(SectionOf(Body(FullRouting()), "pages"), "not measured"), 0u);
}

TEST(RoutingHtmlTest, ShowsTheSettings) {
  const std::string settings = SectionOf(Body(FullRouting()), "settings");
  for (const std::string& text : {std::string(">gate-squared<"), std::string(">0.25<"), std::string("above 1.25"), std::string(">off<"),
                                  "chosen on the tuning text, for a loss of at most " + SignedPercent(0.01), std::string(">256<"), std::string(">7<"),
                                  Percent(0.25) + " of all experts", std::string(">lru<")}) {
    EXPECT_TRUE(Has(settings, text));
  }
  RoutingReport report = FullRouting();
  report.settings.bonus_was_chosen = false;
  EXPECT_TRUE(Has(SectionOf(Body(report), "settings"), "as given"));
  report.settings.expert_bytes = 0;
  EXPECT_EQ(Times(SectionOf(Body(report), "settings"), "of all experts"), 0u);
}

TEST(RoutingHtmlTest, HostileTextStaysText) {
  const std::string evil = "</title></style><script>alert('x')</script>\" onload=\"alert(1)\" & \xFF";
  RoutingReport report = FullRouting();
  report.pages->orders[0].resident.reset();
  report.routers.push_back(report.routers[0]);
  for (std::string* text : {&report.engine, &report.model_name, &report.architecture, &report.text, &report.settings.similarity,
                            &report.settings.policy, &report.routers[2].name, &report.sweeps[0].parameter, &report.sweeps[0].text,
                            &report.policies[0].policy, &report.pages->file, &report.pages->router, &report.pages->orders[0].order,
                            &report.pages->not_measured, &report.notes[0]}) {
    *text = evil;
  }
  const std::string html = ToHtml(report);
  EXPECT_EQ(Unbalanced(html), "");
  EXPECT_TRUE(IsSelfContained(html));
  EXPECT_EQ(Times(html, "\" onload"), 0u);
  EXPECT_EQ(Times(html, "</title></style>"), 0u);
  EXPECT_GE(Times(html, "&lt;script&gt;"), 15u);
  EXPECT_THAT(ToJson(report).dump(), HasSubstr("\xEF\xBF\xBD"));
}

TEST(RoutingHtmlTest, NumbersThatAreNoneDoNotReachThePage) {
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(), -1, 0, std::numeric_limits<double>::max(),
                        std::numeric_limits<double>::denorm_min()};
  for (const double v : bad) {
    for (const size_t step : {1, 2}) {  // all of them, or every other one
      RoutingReport r = FullRouting();
      r.seconds = v;
      r.settings = {"s", v, v, v, v, v, v, true, v, 7, 256, "lru", 1, 2, {v, v, v, v, v, v}};
      for (size_t i = 0; i < r.routers.size(); i += step) {
        RouterRow& row = r.routers[i];
        row = {row.name, v, v, v, v, v, v, v, v, v, 3, 4, 2, {v, v, v, v, v, v, v}};
      }
      for (size_t i = 0; i < r.layers.size(); i += step) r.layers[i].model_hit_rate = r.layers[i].game_hit_rate = v;
      for (std::vector<double>* series : {&r.convergence.potential, &r.convergence.cohesion, &r.convergence.moved}) {
        for (size_t i = 0; i < series->size(); i += step) (*series)[i] = v;
      }
      for (RoutingSweep& sweep : r.sweeps) {
        for (size_t i = 0; i < sweep.points.size(); i += step) sweep.points[i] = {v, v, v, v, v, v, i == 0};
      }
      for (size_t i = 0; i < r.policies.size(); i += step) r.policies[i] = {r.policies[i].policy, v, v, v, v};
      for (size_t i = 0; i < r.pages->orders.size(); i += step) r.pages->orders[i] = {r.pages->orders[i].order, v, v, v};
      const std::string html = ToHtml(r);
      EXPECT_EQ(Unbalanced(html), "") << v;
      EXPECT_TRUE(HasNumbersOnly(html)) << v;
      EXPECT_LT(html.size(), 400000u) << v;
    }
  }
}

TEST(RoutingHtmlTest, CountsOfAHostileFileCostNothing) {
  RoutingReport report = FullRouting();
  report.layers[0].layer = std::numeric_limits<int>::min();
  report.layers[1].model_tokens[0] = report.layers[1].model_together[1] = std::numeric_limits<uint64_t>::max();
  report.layers[2].model_tokens.assign(8, 0);
  report.layers[3].game_together.assign(64, 0);
  report.layers[4].model_together.resize(63);  // not what the header promises
  const std::string html = ToHtml(report);
  EXPECT_EQ(Unbalanced(html), "");
  EXPECT_TRUE(HasNumbersOnly(html));
}

TEST(RoutingHtmlTest, AnyNumberOfExpertsAndLayersHasItsPage) {
  const struct {
    int experts, layers;
    size_t most_bytes;
  } kModels[] = {{1, 1, 80000}, {2, 1, 80000}, {8, 32, 400000}, {64, 16, 600000}, {128, 48, 1000000}, {256, 48, 1200000}, {300, 2, 600000}};
  for (const auto& model : kModels) {
    const std::string html = ToHtml(RoutingOf(model.experts, std::min(2, model.experts), model.layers));
    EXPECT_EQ(Unbalanced(html), "") << model.experts;
    EXPECT_LT(html.size(), model.most_bytes) << model.experts << " experts, " << model.layers << " layers";
    EXPECT_EQ(Drawing(html, "load-game-narrow").empty(), model.experts > 256) << model.experts;
    EXPECT_EQ(SectionOf(html, "pairs").empty(), model.experts == 1) << model.experts;
  }
  EXPECT_TRUE(Has(ToHtml(RoutingOf(300, 2, 2)), "The maps are left out: 2 layers of 300 experts"));
  EXPECT_TRUE(Has(ToHtml(RoutingOf(2, 2, 129)), "The maps are left out: 129 layers of 2 experts"));
}

}  // namespace
}  // namespace nashswarm::report
