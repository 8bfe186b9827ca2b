#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/report/numbers.h"
#include "core/report/report.h"
#include "core/report/svg_chart.h"
#include "tests/unit/report/page_checks.h"
#include "tests/unit/report/sample_report.h"

namespace nashswarm::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Body(const Report& report) { return BodyOf(ToHtml(report)); }

std::vector<Report> Samples() { return {FullReport(), MinimalReport(), DeepReport(126), DeepReport(1), Report{}}; }

TEST(ReportHtmlTest, IsWellFormedAndSelfContained) {
  for (const Report& report : Samples()) {
    const std::string html = ToHtml(report);
    EXPECT_EQ(Unbalanced(html), "");
    EXPECT_TRUE(IsSelfContained(html));
  }
}

TEST(ReportHtmlTest, SameReportSameBytes) {
  for (const Report& report : Samples()) EXPECT_EQ(ToHtml(report), ToHtml(Report(report)));
}

TEST(ReportHtmlTest, HasEverySectionInTheOrderOfAReader) {
  const std::string body = Body(FullReport());
  size_t last = 0;
  for (const char* id : {"<h1>gpt2", "id=\"headline\"", "id=\"frontier\"", "id=\"bits\"", "id=\"price-path\"", "id=\"errors\"",
                         "id=\"trials\"", "id=\"search\"", "id=\"again\"", "id=\"texts\"", "id=\"costs\"", "id=\"warnings\"", "<footer>"}) {
    const size_t at = body.find(id);
    ASSERT_NE(at, std::string::npos) << id;
    EXPECT_GT(at, last) << id;
    last = at;
  }
}

TEST(ReportHtmlTest, ShowsTheNumbersOfTheHeadline) {
  const std::string body = Body(FullReport());
  for (const std::string& text : {std::string("54,430,912"), Bytes(54430912), std::string("3.499"), Percent(0.89065), SignedPercent(0.0491),
                                  std::string("0.0473"), std::string("0.00082"), Percent(0.8934), std::string("8,184 tokens")}) {
    EXPECT_TRUE(Has(body, text));
  }
  EXPECT_TRUE(Has(body, "mean KL predicted 0.0418, measured 0.0473 ± 0.00082 nats"));
  const std::string headline = body.substr(0, body.find("</table>"));
  EXPECT_EQ(Times(headline, "<tr class=\"ours\">"), 1u);
  EXPECT_EQ(Times(headline, ">not measured</span>"), 4u);  // the four of the one row that was not
}

TEST(ReportHtmlTest, ShowsTheSearchAndWhatItWasMeasuredOn) {
  Report report = FullReport();
  const std::string body = Body(report);
  EXPECT_TRUE(Has(body, "Measured on 32 windows of the calibration text (a text), 16384 tokens, which nothing else was fitted to"));
  EXPECT_TRUE(Has(body, "step 3, best response in context: 0.04650 nats, not kept"));
  EXPECT_TRUE(Has(body, "<tr class=\"ours\"><th scope=\"row\">both: the plan kept</th>"));
  const size_t at = body.find("aria-labelledby=\"search-wide-t");
  ASSERT_NE(at, std::string::npos);
  const std::string drawing = body.substr(at, body.find("</svg>", at) - at);
  EXPECT_EQ(Times(drawing, "<polyline class=\"curve\""), 1u);
  EXPECT_EQ(Times(drawing, "<circle class=\"ours\""), 3u);
  EXPECT_EQ(Times(drawing, "<polygon class=\"base\""), 1u);  // one was measured and not kept, one round measured nothing

  report.search->ablation.clear();
  EXPECT_EQ(Times(Body(report), "What each part is worth"), 0u);
  EXPECT_TRUE(Has(Body(report), "id=\"search\""));
  report.search.reset();
  EXPECT_EQ(Times(Body(report), "id=\"search\""), 0u);
}

TEST(ReportHtmlTest, ShowsWhoIsUsedAndWhatThatGotInBits) {
  Report report = FullReport();
  EXPECT_EQ(SectionOf(Body(report), "experts"), "");
  report.experts = ExpertsReport{2, {{0, {300, 100, 0}, {4.5, 3.25, 2}}, {1, {100, 100, 100}, {3, 3}}}};
  const std::string experts = SectionOf(Body(report), "experts");
  EXPECT_TRUE(Has(experts, "A token uses 2 of 3 experts"));
  EXPECT_TRUE(Has(experts, "layer 0, expert 0\n300 tokens, 2.25 of an even share\n4.50 bits per weight"));
  EXPECT_TRUE(Has(experts, "layer 1, expert 2\n100 tokens, 1.00 of an even share</title>"));
  EXPECT_EQ(Times(experts, "<rect class=\"b1\""), 3u);  // wide, narrow, and in the legend
  EXPECT_TRUE(Has(experts, ">0</th><td class=\"n\">0.94</td><td class=\"n\">0 (2.25)</td>"
                           "<td class=\"n\">2 (0.00)</td><td class=\"n\">1</td>"
                           "<td class=\"n\">4.50</td><td class=\"n\">2.00</td>"));
  report.experts->layers[1].tokens.pop_back();  // no map without as many experts in every layer
  EXPECT_EQ(Times(SectionOf(Body(report), "experts"), "<svg class=\"chart"), 0u);
}

TEST(ReportHtmlTest, FallbacksComeFirst) {
  Report report = DeepReport(2);
  EXPECT_LT(Body(report).find("id=\"warnings\""), Body(report).find("id=\"headline\""));
  report.warnings = {"something else"};
  EXPECT_GT(Body(report).find("id=\"warnings\""), Body(report).find("id=\"headline\""));
  EXPECT_TRUE(Has(Body(report), "href=\"#warnings\""));  // but the top says that there is one
  report.warnings.clear();
  EXPECT_EQ(Times(Body(report), "warnings"), 0u) << "warnings";
}

TEST(ReportHtmlTest, WhatWasNotMeasuredIsNoZero) {
  const std::string body = Body(MinimalReport());
  EXPECT_TRUE(Has(body, "No text was given, so loss was not measured: <code>--calibrate FILE</code> or <code>--calibrate self</code>"));
  for (const char* word : {"perplexity", "Perplexity", "KL", "same top", "likely", "nats", "id=\"frontier\"", "id=\"price-path\"", "id=\"trials\"", "id=\"search\"",
                           "id=\"texts\"", "id=\"costs\"", "id=\"warnings\"", "0\u00A0B<"}) {
    EXPECT_EQ(Times(body, word), 0u) << word;
  }
}

TEST(ReportHtmlTest, AnEmptyReportSaysNothing) {
  const std::string body = Body(Report{});
  EXPECT_EQ(Times(body, "<section"), 0u) << "<section";
  EXPECT_EQ(Times(body, "<svg"), 0u) << "<svg";
  EXPECT_EQ(Times(body, ">0"), 0u) << ">0";
}

TEST(ReportHtmlTest, LossesOfAnotherUnitAreNotDrawnTogether) {
  Report report = FullReport();
  EXPECT_TRUE(Has(Body(report), "measured: baseline"));
  report.loss_is_kl = false;
  EXPECT_EQ(Times(Body(report), "measured: baseline"), 0u) << "measured: baseline";
  EXPECT_EQ(Times(Body(report), "mean KL predicted"), 0u) << "mean KL predicted";
  EXPECT_TRUE(Has(Body(report), "weighted error, this plan = 1"));
  report.loss_is_kl = true;
  for (Row& row : report.headline) row.quality.reset();
  report.trials.clear();
  EXPECT_TRUE(Has(Body(report), "loss (predicted mean KL, nats)"));
}

TEST(ReportHtmlTest, HostileTextStaysText) {
  const std::string evil = "</title></style><script>alert('x')</script>\" onload=\"alert(1)\" & \xFF";
  Report report = FullReport();
  for (std::string* text : {&report.engine, &report.model_name, &report.architecture, &report.source_digest, &report.target,
                            &report.plan_summary, &report.plan_in_words, &report.made, &report.cpu, &report.command, &report.artifact->name,
                            &report.artifact->sha256, &report.headline[1].note, &report.headline[1].name, &report.tensors[0].name, &report.tensors[0].format,
                            &report.tensors[1].role, &report.tensors[3].role, &report.tensors[3].name, &report.tensors[3].format,
                            &report.texts[0].purpose, &report.texts[0].source, &report.texts[0].sha256, &report.texts[0].note,
                            &report.costs[0].stage, &report.warnings[0], &report.search->text, &report.search->trace[0].step,
                            &report.search->ablation[0].name}) {
    *text = evil;
  }
  const std::string html = ToHtml(report);
  EXPECT_EQ(Unbalanced(html), "");
  EXPECT_EQ(Times(html, "<script"), 0u) << "<script";
  EXPECT_EQ(Times(html, "\" onload"), 0u) << "\" onload";
  EXPECT_EQ(Times(html, "</title></style>"), 0u);
  EXPECT_GE(Times(html, "&lt;script&gt;"), 22u);
}

TEST(ReportHtmlTest, NumbersThatAreNoneDoNotReachThePage) {
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(), -1, 0, std::numeric_limits<double>::max(),
                        std::numeric_limits<double>::denorm_min()};
  for (const double value : bad) {
    for (const size_t step : {1, 2}) {  // all of them, or every other one
      Report report = FullReport();
      for (size_t i = 0; i < report.headline.size(); i += step) {
        Row& row = report.headline[i];
        row.bits_per_weight = row.ratio_fp32 = row.ratio_source = value;
        row.quality = Quality{value, value, value, value, value, value, value, 3};
        row.predicted_loss = value;
      }
      for (size_t i = 0; i < report.frontier.size(); i += step) report.frontier[i].bits_per_weight = report.frontier[i].predicted_loss = value;
      for (size_t i = 0; i < report.price_path.size(); i += step) report.price_path[i].price = report.price_path[i].loss = value;
      for (size_t i = 0; i < report.tensors.size(); i += step) {
        TensorRow& t = report.tensors[i];
        t.bits_per_weight = t.relative_error = t.predicted_loss = value;
      }
      for (Trial& t : report.trials) t.predicted_loss = t.mean_kl = t.perplexity = t.perplexity_change = t.bits_per_weight = value;
      for (SearchStep& s : report.search->trace) s.tried_kl = s.mean_kl = value;
      for (SearchVariant& v : report.search->ablation) v.mean_kl = v.bits_per_weight = value;
      for (StageCost& c : report.costs) c.seconds = value;
      report.chosen_predicted_loss = value;
      const std::string html = ToHtml(report);
      EXPECT_EQ(Unbalanced(html), "") << value;
      EXPECT_TRUE(HasNumbersOnly(html)) << value;
      EXPECT_THAT(ToJson(report).dump(), Not(HasSubstr("null")));
    }
  }
}

TEST(ReportHtmlTest, AnyNumberOfLayersHasAMapThatCanBeRead) {
  for (const int layers : {1, 2, 12, 32, 33, 80, 126, 512, 4096}) {
    const std::string map = SectionOf(Body(DeepReport(layers)), "bits");
    const size_t together = (layers + 31) / 32, rows = (layers + together - 1) / together;
    // Seven roles a row and two tensors outside, each with its number, wide and narrow.
    EXPECT_EQ(Times(map, "class=\"mid in "), 2u * (7 * rows + 2)) << layers;
    EXPECT_EQ(Times(map, "-wide-t\">Bits per weight by layer and role"), 1u);
    EXPECT_EQ(Times(map, "Neighbouring layers share a row"), together > 1 ? 1u : 0u) << layers;
  }
  const std::string map = SectionOf(Body(DeepReport(80)), "bits");
  EXPECT_TRUE(Has(map, ">0–2</text>"));
  EXPECT_TRUE(Has(map, ">78–79</text>"));
  EXPECT_TRUE(Has(map, "3 tensors\n"));
  EXPECT_TRUE(Has(Body(DeepReport(4097)), "The map is left out: 4,097 layers"));
}

TEST(ReportHtmlTest, QualityLeadsAndHasItsErrors) {
  const Report report = FullReport();
  const std::string body = Body(report), tiles = body.substr(0, body.find("</dl>"));
  EXPECT_LT(tiles.find("Mean KL divergence"), tiles.find("Same most likely token"));
  EXPECT_LT(tiles.find("Same most likely token"), tiles.find("<dt>Perplexity"));
  EXPECT_TRUE(Has(tiles, "±\u00A00.00082 nats a token"));
  EXPECT_TRUE(Has(tiles, "of 8,184 predictions"));
  EXPECT_TRUE(Has(tiles, "±\u00A0" + Percent(0.0031, 2) + " against the checkpoint"));
  Report small = FullReport();
  small.headline[4].quality->perplexity_change = 0.005;
  EXPECT_TRUE(Has(Body(small), "no change to be seen"));
}

// On a narrow screen the heads of columns are gone: each cell says what it is.
TEST(ReportHtmlTest, CellsHaveTheirNamesForNarrowScreens) {
  const std::string html = ToHtml(FullReport());
  EXPECT_TRUE(Has(html, "<td class=\"n\" data-l=\"mean KL\">"));
  EXPECT_EQ(Times(html, "<td class=\"n\">"), 0u);
  EXPECT_EQ(Times(html, "<td>"), 0u);
  EXPECT_TRUE(Has(html, "td::before{content:attr(data-l)"));
}

TEST(ReportHtmlTest, FewTokensAreFlagged) {
  Report report = FullReport();
  EXPECT_EQ(Times(Body(report), "The evaluation text is short"), 0u);
  report.headline[4].quality->tokens = kFewTokens - 1;
  EXPECT_TRUE(Has(Body(report), "The evaluation text is short: only 999 tokens were scored"));
  report.headline[4].quality->tokens = 8184;
  report.headline[4].quality->mean_kl_stderr = 0.005;  // over a tenth of 0.0473
  EXPECT_TRUE(Has(Body(report), "the error of the mean KL is over a tenth of it"));
}

// A broken model's perplexity was once shown as +17,234,082,581 %, and its point squeezed all others into a corner.
TEST(ReportHtmlTest, ABrokenBaselineHasNoAbsurdNumberAndNoPlaceInTheChart) {
  const std::string body = Body(FullReport());
  EXPECT_TRUE(Has(body, "over ×1,000"));
  EXPECT_EQ(Times(body, ",000,000\u00A0%"), 0u);
  const std::string frontier = SectionOf(body, "frontier");
  EXPECT_EQ(Times(frontier, "groups of 128"), 0u);
  EXPECT_TRUE(Has(frontier, ">groups of 32, 4 bits</text>"));
  EXPECT_TRUE(Has(frontier, "What lost nearly everything is in the table alone."));
}

TEST(ReportHtmlTest, TheChartEndsWhereItsMarksDo) {
  Report report = FullReport();
  report.frontier.push_back({497774208, 32, 1e-12});
  const std::string frontier = SectionOf(Body(report), "frontier");
  EXPECT_EQ(Times(frontier, "predicted 1.00×10⁻¹²"), 0u);
  EXPECT_TRUE(Has(frontier, "points of the frontier beyond these sizes and losses not drawn"));
}

TEST(ReportHtmlTest, SaysHowToMakeAndRunIt) {
  const std::string again = SectionOf(Body(FullReport()), "again");
  for (const char* text : {"nashswarm compress CHECKPOINT -o OUT --bpw 3.5", "54,430,912", "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
                           "2026-11-30 17:05 UTC, on AMD EPYC 9B14, by nashswarm 0.1.0", "for keys and values of 1,024 tokens",
                           "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"}) {
    EXPECT_TRUE(Has(again, text)) << text;
  }
  Report nsq = FullReport();
  nsq.memory->weight_bytes *= 4;
  EXPECT_TRUE(Has(SectionOf(Body(nsq), "again"), "of weights, unpacked to the checkpoint&#39;s precision") ||
              Has(SectionOf(Body(nsq), "again"), "of weights, unpacked to the checkpoint's precision"));
}

TEST(ReportHtmlTest, WithoutATextThePresetIsPredicted) {
  Report report = MinimalReport();
  report.headline.insert(report.headline.begin(), {"llama.cpp Q3_K_M", "its types, our encoders", false, 160000, 4.09, 0.87, 0.74, 0.3, std::nullopt});
  report.headline[1].predicted_loss = 0.2;
  const std::string headline = SectionOf(Body(report), "headline");
  EXPECT_TRUE(Has(headline, "weighted error, predicted"));
  EXPECT_TRUE(Has(headline, "×\u00A01.50"));
}

TEST(PlanInWordsTest, NamesWhatWasKeptAndWhatWasBroughtDown) {
  const auto tensor = [](const char* role, int layer, uint64_t weights, double bits) {
    return TensorRow{role, role, layer, weights, "nsq", bits, 0.1, 0.1, false};
  };
  EXPECT_EQ(PlanInWords({}), "");
  EXPECT_EQ(PlanInWords({tensor("query", 0, 100, 4.5), tensor("ffn_up", 0, 100, 4.5)}), "Gave every kind of matrix about 4.5 bits a weight.");
  EXPECT_EQ(PlanInWords({tensor("token_embedding", -1, 100, 6.02), tensor("ffn_up", 0, 100, 2.41), tensor("ffn_down", 0, 100, 2.6),
                         tensor("value", 0, 1, 16)}),  // too few weights to tell of
            "Kept the token embedding at 6.0 bits; brought the FFN's up-projections down to 2.4 bits and the FFN's down-projections down to 2.6 (on average 3.7 a weight).");
  std::vector<TensorRow> layers;
  for (int l = 0; l < 4; ++l) layers.push_back(tensor("ffn_up", l, 100, 2 + l));
  EXPECT_EQ(PlanInWords(layers), "Gave every kind of matrix about 3.5 bits a weight. By layer: from 2.0 bits in layer 0 to 5.0 in layer 3.");
}

TEST(ReportHtmlTest, LayersOfAHostileFileCostNothing) {
  Report report = MinimalReport();
  report.tensors[0].layer = std::numeric_limits<int>::max();
  report.tensors[1].layer = std::numeric_limits<int>::min();
  EXPECT_LT(ToHtml(report).size(), 100000u);
}

TEST(ReportHtmlTest, ExpertsShareACell) {
  Report report = MinimalReport();
  report.tensors = {{"experts.0.down", "ffn_down", 0, 300, "Q4_K", 4, 0.01, 0.1, false},
                    {"experts.1.down", "ffn_down", 0, 100, "Q8_0", 8, 0.02, 0.1, false}};
  EXPECT_TRUE(Has(Body(report), "2 tensors\nmixed, 5.00 bits per weight, 4.00 to 8.00\nlargest relative error 0.0200"));  // (3 * 4 + 8) / 4
}

TEST(ReportHtmlTest, NamesTheWorstFive) {
  Report report = MinimalReport();
  report.tensors.clear();
  for (int i = 0; i < 7; ++i) {
    report.tensors.push_back({"t" + std::to_string(i), "ffn_up", i, 100, "Q4_K", 4.5, 0.01 * (i + 1), 1.0 * (7 - i), false});
  }
  const std::string body = Body(report);
  EXPECT_TRUE(Has(body, "<li><span class=\"tensor\">t6</span> <span class=\"value\">Q4_K, 0.0700</span></li>\n"
                              "<li><span class=\"tensor\">t5</span>"));
  EXPECT_TRUE(Has(body, "<li><span class=\"tensor\">t0</span> <span class=\"value\">Q4_K, " + Percent(0.25) + "</span></li>"));
  EXPECT_EQ(Times(body, "<li><span class=\"tensor\">t1</span> <span class=\"value\">Q4_K, 0.0200"), 0u) << "<li><span class=\"tensor\">t1</span> <span class=\"value\">Q4_K, 0.0200";  // the sixth
}

TEST(AxisTest, TickLabelsThatWouldTouchAreLeftOut) {
  const Layout layout = {.narrow = false, .width = 400};
  Svg svg("x", layout, 300, "t", "d");
  Range range;
  range.Add(0);
  range.Add(100);
  DrawXAxis(svg, {0, 0, 400, 250}, Scale::Linear(range, 0, 0, 400), {{10, "first"}, {12, "second"}, {50, "third"}, {100, "a last one"}}, "name");
  const std::string drawn = svg.ToString();
  EXPECT_TRUE(Has(drawn, ">first<"));
  EXPECT_EQ(Times(drawn, ">second<"), 0u);
  EXPECT_TRUE(Has(drawn, ">third<"));
  EXPECT_TRUE(Has(drawn, "x=\"361.6\" y=\"267\">a last one<"));  // 400 - 10 * 0.64 * 12 / 2: moved inside
}

TEST(LabelPlacerTest, LabelsDoNotTouch) {
  const Layout layout = {.narrow = false, .width = 400};
  Svg svg("x", layout, 300, "t", "d");
  LabelPlacer labels({0, 0, 400, 300});
  labels.Block({200, 150}, 7);
  ASSERT_TRUE(labels.Place(svg, {200, 150}, "first", "label"));
  ASSERT_TRUE(labels.Place(svg, {200, 150}, "second", "label"));
  EXPECT_THAT(svg.ToString(), HasSubstr("x=\"209\" y=\"154\">first"));                   // to the right
  EXPECT_THAT(svg.ToString(), HasSubstr("class=\"end label\" x=\"191\" y=\"154\">second"));  // to the left
  EXPECT_FALSE(labels.Place(svg, {200, 150}, std::string(200, 'w'), "label"));          // wider than the frame
}

}  // namespace
}  // namespace nashswarm::report
