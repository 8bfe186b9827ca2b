#include "core/report/routing_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/report/page_checks.h"
#include "tests/unit/report/sample_routing.h"

namespace nashswarm::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Body(const RoutingReport& report) { return BodyOf(ToHtml(report)); }

std::vector<RoutingReport> Samples() {
  return {FullRouting(),  RoutingOf(64, 8, 16), RoutingOf(200, 4, 3), RoutingOf(2, 1, 1),
          LargeRouting(), BareRouting(),        RoutingReport{}};
}

std::vector<std::string> KeysOf(const OrderedJson& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

TEST(RoutingJsonTest, KeysAreTheMembersInTheirOrder) {
  const OrderedJson json = ToJson(FullRouting());
  EXPECT_THAT(KeysOf(json),
              ElementsAre("schema", "engine", "model_name", "architecture", "experts", "used", "text", "text_bytes",
                          "tokens", "scored", "context", "tuning_tokens", "settings", "routers", "layers",
                          "convergence", "sweeps", "policies", "pages", "seconds", "notes"));
  EXPECT_THAT(KeysOf(json["settings"]), ElementsAre("similarity", "alpha", "separation", "threshold", "alignment",
                                                    "cohesion", "cache_bonus", "bonus_was_chosen", "max_loss", "group",
                                                    "batch", "policy", "cache_bytes", "expert_bytes", "lambdas"));
  EXPECT_THAT(KeysOf(json["routers"][0]), ElementsAre("name", "mean_nll", "mean_nll_stderr", "nll_change", "perplexity",
                                                      "same_choices", "load_variation", "hit_rate", "bytes_per_token",
                                                      "rounds", "most_rounds", "batches", "nash_batches", "terms"));
  EXPECT_THAT(KeysOf(json["routers"][1]["terms"]),
              ElementsAre("balance", "cached", "separation", "alignment", "cohesion", "nash", "total"));
}

TEST(RoutingJsonTest, EveryKeyHoldsItsOwnMember) {
  RoutingReport r;
  r.engine = "e", r.model_name = "m", r.architecture = "a", r.experts = 1, r.used = 2, r.text = "t", r.text_bytes = 3,
  r.tokens = 4;
  r.scored = 5, r.context = 6, r.tuning_tokens = 7;
  r.settings = {"s", 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, true, 7.5, 8, 9, "p", 10, 11, {12.5, 13.5, 14.5, 15.5, 16.5, 17.5}};
  r.routers = {
      {"n", 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10, 11, 12, {1.25, 2.25, 3.25, 4.25, 5.25, 6.25, 7.25}}};
  r.layers = {{1, {2, 3}, {4, 5}, {0, 6, 6, 0}, {0, 7, 7, 0}, 8.5, 9.5}};
  r.convergence = {{1.5}, {2.5}, {3.5}};
  r.sweeps = {{"sp", "st", {{1.5, 2.5, 3.5, 4.5, 5.5, 6.5, true}}}};
  r.policies = {{"pp", 1.5, 2.5, 3.5, 4.5}};
  r.pages = PagesReport{"pf", 1, 2, "pr", {{"po", 3.5, 4.5, 6.5, 5.5}}, "pn"};
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
              "orders": [{"order": "po", "touched": 3.5, "runs": 4.5, "faulted": 6.5, "resident": 5.5}], "not_measured": "pn"},
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
  EXPECT_THAT(json.dump(), Not(HasSubstr("null")));
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
  for (const char* id : {"<h1>tiny-mixtral", "id=\"routers\"", "id=\"frontier\"", "id=\"load\"", "id=\"pairs\"",
                         "id=\"convergence\"", "id=\"terms\"", "id=\"policies\"", "id=\"pages\"", "id=\"settings\"",
                         "id=\"notes\"", "id=\"text\"", "<footer>"}) {
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
      {"frontier",
       [](RoutingReport& r) {
         for (RoutingSweep& s : r.sweeps) s.points.clear();
       }},
      {"load", [](RoutingReport& r) { r.layers.clear(); }},
      {"load",
       [](RoutingReport& r) {
         for (RoutedLayer& l : r.layers) l.game_tokens.clear();
       }},
      {"pairs",
       [](RoutingReport& r) {
         for (RoutedLayer& l : r.layers) l.model_together.clear(), l.game_together.clear();
       }},
      {"convergence", [](RoutingReport& r) { r.convergence = {}; }},
      {"terms",
       [](RoutingReport& r) {
         for (RouterRow& row : r.routers) row.terms = {};
       }},
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
    EXPECT_EQ(Times(SectionOf(bare, "routers") + SectionOf(bare, "policies") + SectionOf(bare, "frontier") +
                        SectionOf(bare, "pages"),
                    text),
              0u)
        << text;
  }
}

TEST(RoutingHtmlTest, HostileTextStaysText) {
  const std::string evil = "</title></style><script>alert('x')</script>\" onload=\"alert(1)\" & \xFF";
  RoutingReport report = FullRouting();
  report.pages->orders[0].resident.reset();
  report.routers.push_back(report.routers[0]);
  for (std::string* text :
       {&report.engine, &report.model_name, &report.architecture, &report.text, &report.settings.similarity,
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
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(),
                        std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(),
                        -1,
                        0,
                        std::numeric_limits<double>::max(),
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
      for (size_t i = 0; i < r.pages->orders.size(); i += step) {
        r.pages->orders[i] = {r.pages->orders[i].order, v, v, v};
      }
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
  } kModels[] = {{1, 1, 80000},      {2, 1, 80000},      {8, 32, 400000}, {64, 16, 600000},
                 {128, 48, 1000000}, {256, 48, 1200000}, {300, 2, 600000}};
  for (const auto& model : kModels) {
    const std::string html = ToHtml(RoutingOf(model.experts, std::min(2, model.experts), model.layers));
    EXPECT_EQ(Unbalanced(html), "") << model.experts;
    EXPECT_LT(html.size(), model.most_bytes) << model.experts << " experts, " << model.layers << " layers";
    EXPECT_EQ(DrawingOf(html, "load-game-narrow").empty(), model.experts > 256) << model.experts;
    EXPECT_EQ(SectionOf(html, "pairs").empty(), model.experts == 1) << model.experts;
  }
  EXPECT_TRUE(Has(ToHtml(RoutingOf(300, 2, 2)), "The maps are left out: 2 layers of 300 experts"));
  EXPECT_TRUE(Has(ToHtml(RoutingOf(2, 2, 129)), "The maps are left out: 129 layers of 2 experts"));
}

}  // namespace
}  // namespace nashswarm::report
