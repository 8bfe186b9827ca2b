#include <gtest/gtest.h>

#include "core/report/numbers.h"
#include "core/report/routing_report.h"
#include "tests/unit/report/page_checks.h"
#include "tests/unit/report/sample_routing.h"

namespace nashswarm::report {
namespace {

std::string Body(const RoutingReport& report) { return BodyOf(ToHtml(report)); }

TEST(RoutingSectionsTest, SaysInASentenceWhatTheGameDid) {
  EXPECT_TRUE(
      Has(Body(FullRouting()),
          "The game raised the loss by 0.62\u00A0% (from 3.210 to 3.230 nats a token), found experts in the cache "
          "1.94 times as often (66.4\u00A0% of those asked for instead of 34.2\u00A0%) and spread the load more "
          "evenly (a variation of 0.40 instead of 0.62)."));
  RoutingReport report = FullRouting();
  report.routers[1].nll_change = -0.002;
  report.routers[1].load_variation = 0.9;
  report.routers[0].hit_rate = 0;
  EXPECT_TRUE(Has(Body(report), "The game lowered the loss by 0.20\u00A0% "));
  EXPECT_TRUE(
      Has(Body(report), "found 66.4\u00A0% of the experts in the cache, where the model’s own router found none"));
  EXPECT_TRUE(Has(Body(report), "spread the load less evenly (a variation of 0.90 instead of 0.62)"));
  report = FullRouting();
  report.routers[1] = report.routers[0];
  report.routers[1].name = "game";
  EXPECT_TRUE(
      Has(Body(report),
          "The game kept the loss at 3.210 nats a token, found experts in the cache as often as the model’s own router "
          "(34.2\u00A0%) and spread the load as evenly as the model’s own router (a variation of 0.62)."));
  report.scored = 0;  // no losses then
  EXPECT_TRUE(Has(Body(report), "The game found experts in the cache as often"));
  report.routers.pop_back();
  EXPECT_EQ(Times(Body(report), "The game found"), 0u);
}

TEST(RoutingSectionsTest, ComparesTheRouters) {
  const std::string routers = SectionOf(Body(FullRouting()), "routers");
  for (const std::string& text :
       {std::string("3.210"), std::string("0.021"), std::string("3.230"), SignedPercent(0.00617), std::string("24.79"),
        std::string("0.618"), Percent(0.3421), Bytes(11034625), std::string("4.4"), std::string("at most 11"),
        std::string("382"), std::string("of 384"), Percent(0.8612), std::string("16,352 tokens")}) {
    EXPECT_TRUE(Has(routers, text));
  }
  EXPECT_EQ(Times(routers, "<tr class=\"ours\">"), 1u);
  EXPECT_EQ(Times(routers, "no rounds are played"),
            2u);  // by the model's own router, as a tooltip and for screen readers
}

TEST(RoutingSectionsTest, DrawsTheSweepsAndMarksWhatWasChosen) {
  const std::string body = Body(FullRouting());
  for (const char* id : {"sweep-0-wide", "sweep-0-narrow", "sweep-1-wide", "sweep-1-narrow"}) {
    const std::string drawing = DrawingOf(body, id);
    EXPECT_EQ(Times(drawing, "<polyline class=\"curve\""), 1u) << id;
    EXPECT_EQ(Times(drawing, "<polygon class=\"ours open\""), 1u) << id;
    EXPECT_TRUE(Has(drawing, ">chosen: ")) << id;
  }
  EXPECT_EQ(Times(DrawingOf(body, "sweep-0-wide"), "<circle class=\"ours\""), 6u);
  EXPECT_TRUE(Has(DrawingOf(body, "sweep-0-wide"), "cache bonus 0.5\nloss +0.20\u00A0%, hit rate 52.5\u00A0%"));
  EXPECT_TRUE(Has(DrawingOf(body, "sweep-1-wide"), "alpha 0.25, chosen\nloss +0.13\u00A0%, variation of load 0.458"));
  EXPECT_TRUE(Has(DrawingOf(body, "sweep-0-wide"), ">hit rate, %<"));
  EXPECT_TRUE(Has(DrawingOf(body, "sweep-1-wide"), ">variation of load<"));
  // The model's own router was measured on the held-out text, so it stands in that drawing alone.
  EXPECT_EQ(Times(DrawingOf(body, "sweep-0-wide"), "<polygon class=\"base\""), 1u);
  EXPECT_EQ(Times(DrawingOf(body, "sweep-1-wide"), "<polygon class=\"base\""), 0u);
  EXPECT_EQ(Times(DrawingOf(body, "sweep-0-wide"), "<line class=\"reference\""), 1u);  // max_loss
  EXPECT_EQ(Times(SectionOf(body, "frontier"), "Measured on the tuning text, not on the held-out text"), 1u);

  RoutingReport report = FullRouting();
  for (RoutingSweep& sweep : report.sweeps) sweep.text = "held-out text";
  report.settings.bonus_was_chosen = false;
  EXPECT_EQ(Times(SectionOf(Body(report), "frontier"), "not on the held-out text"), 0u);
  EXPECT_EQ(Times(Body(report), "<line class=\"reference\""), 0u);
}

TEST(RoutingSectionsTest, OnePointAndEqualPointsHaveTheirDrawing) {
  RoutingReport report = FullRouting();
  report.sweeps[0].points.resize(1);
  for (RoutingPoint& point : report.sweeps[1].points) point = {1, 0, 0, 0, 0, 0, false};
  const std::string html = ToHtml(report);
  EXPECT_TRUE(HasNumbersOnly(html));
  EXPECT_EQ(Times(DrawingOf(html, "sweep-0-wide"), "<circle class=\"ours\""), 1u);
  EXPECT_EQ(Times(DrawingOf(html, "sweep-1-wide"), "<circle class=\"ours\""), 5u);
}

TEST(RoutingSectionsTest, MapsTheLoadsOfBothRouters) {
  RoutingReport report = RoutingOf(4, 2, 1);
  report.layers[0].model_tokens = {400, 0, 100, 300};
  report.layers[0].game_tokens = {200, 200, 200, 200};
  const std::string body = Body(report);
  const std::string model = DrawingOf(body, "load-model-wide"), game = DrawingOf(body, "load-game-wide");
  EXPECT_TRUE(Has(model, "layer 0, expert 3\n300 tokens, 1.50 of an even share"));
  EXPECT_EQ(Times(model, "<rect class=\"b1\""), 1u);
  EXPECT_TRUE(Has(model, "class=\"mid in b1t\""));
  EXPECT_EQ(Times(game, "<rect class=\"b5\""), 4u);
  EXPECT_EQ(Times(DrawingOf(body, "load-model-narrow"), "tokens"),
            Times("Darker, is more tokens", "tokens"));  // no tooltips on a phone
  EXPECT_TRUE(Has(SectionOf(body, "load"), "<td class=\"n\">0 (2.00)</td>"));
  EXPECT_TRUE(Has(SectionOf(body, "load"),
                  "<td class=\"n\">0.79</td><td class=\"n\">0.00</td>"));  // sqrt(1 + 1 + 0.25 + 0.25) / 2
}

TEST(RoutingSectionsTest, MapsWhoMeetsWhom) {
  RoutingReport report = RoutingOf(3, 2, 1);
  RoutedLayer& layer = report.layers[0];
  layer.model_tokens = {200, 100, 100};
  layer.model_together = {0, 100, 100, 100, 0, 0, 100, 0, 0};
  layer.game_tokens = {100, 100, 100};
  layer.game_together = {0, 50, 50, 50, 0, 50, 50, 50, 0};
  std::string drawing = DrawingOf(Body(report), "pairs-0-wide");
  // Products of the loads 2:2:1, 200 meetings: 80, 80 and 40 are expected.
  EXPECT_TRUE(Has(drawing, "the model’s own router, experts 0 and 1\n100 tokens, 1.25 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "the model’s own router, experts 1 and 2\n0 tokens, 0.00 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "the game, experts 1 and 2\n50 tokens, 1.00 of what their loads explain"));
  EXPECT_TRUE(Has(drawing, "layer 0: 33\u00A0% of the pairs changed"));
  EXPECT_EQ(Times(drawing, "<rect "), 6u);  // nothing on the diagonal
  layer.game_tokens = {100, 100, 0};
  layer.game_together = {0, 50, 0, 50, 0, 0, 0, 0, 0};
  drawing = DrawingOf(Body(report), "pairs-0-wide");
  EXPECT_EQ(Times(drawing, "<rect "), 4u);  // whom nobody uses meets nobody, which says nothing
}

TEST(RoutingSectionsTest, ShowsTheTellingLayersAndSaysHowManyAreLeftOut) {
  RoutingReport report = RoutingOf(4, 2, 9);
  for (RoutedLayer& layer : report.layers) {
    layer.game_tokens = layer.model_tokens, layer.game_together = layer.model_together;
  }
  for (const int l : {8, 3}) {
    std::vector<uint64_t>& together = report.layers[l].game_together;
    together[1] = together[4] = 9 * together[1] + 100;
  }
  const std::string pairs = SectionOf(Body(report), "pairs");
  EXPECT_TRUE(Has(pairs, "Shown are the 6 layers whose pairs changed most; 3 others are left out."));
  for (const int l : {0, 1, 2, 3, 4, 8})
    EXPECT_EQ(Times(pairs, ">layer " + std::to_string(l) + ": "), 2u) << l;  // wide and narrow
  EXPECT_EQ(Times(SectionOf(Body(RoutingOf(4, 2, 6)), "pairs"), "left out"), 0u);
  EXPECT_TRUE(Has(SectionOf(Body(RoutingOf(70, 2, 1)), "pairs"),
                  "Of each layer the 64 most used experts; 6 others are left out."));
}

TEST(RoutingSectionsTest, DrawsTheConvergence) {
  const std::string body = Body(FullRouting());
  EXPECT_EQ(Times(DrawingOf(body, "potential-wide"), "<circle"), 12u);
  EXPECT_EQ(Times(DrawingOf(body, "cohesion-narrow"), "<circle"), 12u);
  EXPECT_EQ(Times(DrawingOf(body, "moved-wide"), "<circle"), 11u);
  EXPECT_TRUE(Has(DrawingOf(body, "moved-wide"), "round 1: 31.00 tokens that moved, %"));
  EXPECT_TRUE(Has(SectionOf(body, "convergence"),
                  "It took 4.4 rounds on average, at most 11. 382 of 384 batches ended at a Nash equilibrium"));
  RoutingReport report = FullRouting();
  report.convergence.cohesion.clear();  // a router without centres
  EXPECT_EQ(DrawingOf(Body(report), "cohesion-wide"), "");
  EXPECT_NE(DrawingOf(Body(report), "moved-wide"), "");
}

TEST(RoutingSectionsTest, ListsTheTermsWithWhatTheyCount) {
  const std::string terms = SectionOf(Body(FullRouting()), "terms");
  EXPECT_TRUE(Has(terms,
                  "1 when either is even</span></th><td class=\"n\">+ 0.01</td><td class=\"n\">1.18</td><td "
                  "class=\"n\">1.07</td>"));
  EXPECT_TRUE(Has(
      terms,
      "experts in the cache; 0 to 1</span></th><td class=\"n\">− 0.02</td>"));  // wanted, so it counts against the loss
  EXPECT_TRUE(
      Has(terms, "nats a token</span></th><td class=\"n\"></td><td class=\"n\">3.221</td><td class=\"n\">3.228</td>"));
}

TEST(RoutingSectionsTest, ComparesTheCachesAndMarksWhatWasPlayed) {
  RoutingReport report = FullRouting();
  const std::string policies = SectionOf(Body(report), "policies");
  EXPECT_TRUE(Has(policies, "<tr class=\"ours\"><th scope=\"row\">lru<"));
  EXPECT_EQ(Times(policies, "<tr class=\"ours\">"), 1u);
  for (const double rate : {0.3614, 0.6120, 0.3502, 0.6044}) EXPECT_TRUE(Has(policies, Percent(rate)));
  EXPECT_TRUE(Has(policies, "with the policy that is marked"));
  report.settings.policy = "another";
  EXPECT_EQ(Times(SectionOf(Body(report), "policies"), "marked"), 0u);
}

TEST(RoutingSectionsTest, TellsWhatTheFiguresRestOn) {
  const std::string body = Body(FullRouting());
  for (const std::string& text :
       {std::string("wiki.test.txt"), Bytes(1290590), std::string(">16,384<"), std::string(">16,352<"),
        std::string(">4,096<"), std::string(">512<"), Seconds(412.6)}) {
    EXPECT_TRUE(Has(SectionOf(body, "text"), text));
  }
  EXPECT_EQ(Times(SectionOf(body, "notes"), "<li>"), 2u);
  EXPECT_TRUE(Has(body, "nashswarm 0.1.0; schema nashswarm.routing/1."));
}

TEST(RoutingSectionsTest, TellsWhyPagesWereNotMeasured) {
  const std::string pages = SectionOf(Body(BareRouting()), "pages");
  EXPECT_TRUE(Has(pages, "title=\"not measured: this system has no mincore\""));
  EXPECT_TRUE(Has(pages, "pages faulted in and read were not measured: this system has no mincore"));
  EXPECT_EQ(Times(SectionOf(Body(FullRouting()), "pages"), "not measured"), 0u);
}

TEST(RoutingSectionsTest, ShowsTheSettings) {
  const std::string settings = SectionOf(Body(FullRouting()), "settings");
  for (const std::string& text :
       {std::string(">gate-squared<"), std::string(">0.25<"), std::string("above 1.25"), std::string(">off<"),
        "chosen on the tuning text, for a loss of at most " + SignedPercent(0.01), std::string(">256<"),
        std::string(">7<"), Percent(0.25) + " of all experts", std::string(">lru<")}) {
    EXPECT_TRUE(Has(settings, text));
  }
  RoutingReport report = FullRouting();
  report.settings.bonus_was_chosen = false;
  EXPECT_TRUE(Has(SectionOf(Body(report), "settings"), "as given"));
  report.settings.expert_bytes = 0;
  EXPECT_EQ(Times(SectionOf(Body(report), "settings"), "of all experts"), 0u);
}

}  // namespace
}  // namespace nashswarm::report
