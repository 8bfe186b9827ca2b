#include "core/report/frontier_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>

namespace nashswarm::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

FrontierChart Sample() {
  FrontierChart chart{"gpt2", "nsq", 1'000'000, true, {}, {}};
  chart.predicted = {{250'000, 2, 1}, {375'000, 3, 0.1}, {500'000, 4, 0.01}};
  chart.measured = {{249'000, 0.8, 0.05}, {499'000, 0.02, 0}};
  return chart;
}

// The y coordinates of the small marks of the predicted curve.
std::vector<double> PredictedHeights(const std::string& svg) {
  static const std::regex kMark(R"re(<circle class="predicted" cx="[0-9.]+" cy="([0-9.]+)" r="2.5"><title>)re");
  std::vector<double> heights;
  for (std::sregex_iterator mark(svg.begin(), svg.end(), kMark), end; mark != end; ++mark) heights.push_back(std::stod((*mark)[1]));
  return heights;
}

size_t Times(const std::string& text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

TEST(FrontierSvgTest, StandsAlone) {
  const std::string svg = ToSvg(Sample());
  EXPECT_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"880\" height=\"500\""));
  EXPECT_THAT(svg, HasSubstr("<style>"));
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_EQ(Times(svg, "://"), 1u) << "nothing to fetch: the name of the format alone";
  for (const char* no : {"<script", "href", "url(", "@import", "var(", "nan", "inf\""}) EXPECT_THAT(svg, Not(HasSubstr(no)));
}

TEST(FrontierSvgTest, SaysInWordsWhatItShows) {
  const std::string svg = ToSvg(Sample());
  EXPECT_THAT(svg, HasSubstr(">Size against loss: gpt2 as nsq</title>"));
  EXPECT_THAT(svg, HasSubstr("nats a token) against the size of the file, on a logarithmic axis."));
  EXPECT_THAT(svg, HasSubstr("Predicted 0.100 at 375\u00A0KB, 3.00 bits per weight."));
  EXPECT_THAT(svg, HasSubstr("Measured 0.800 at 249\u00A0KB, 1.99 bits per weight."));
}

TEST(FrontierSvgTest, EqualFactorsOfLossAreEqualSteps) {
  const std::vector<double> heights = PredictedHeights(ToSvg(Sample()));
  ASSERT_EQ(heights.size(), 3u);
  EXPECT_GT(heights[1] - heights[0], 50) << "a lower loss is lower on the page";
  EXPECT_NEAR(heights[1] - heights[0], heights[2] - heights[1], 0.2);
}

TEST(FrontierSvgTest, MeasuredFilesAreMarkedAndLabelled) {
  const std::string svg = ToSvg(Sample());
  EXPECT_EQ(Times(svg, "<polygon class=\"measured\""), 3u) << "two files and the legend";
  EXPECT_EQ(Times(svg, "class=\"whisker\""), 1u) << "one has a standard error";
  EXPECT_THAT(svg, HasSubstr(">0.800</text>"));
  FrontierChart relative = Sample();
  relative.loss_is_kl = false;
  EXPECT_THAT(ToSvg(relative), Not(HasSubstr("class=\"measured\""))) << "they have no common axis";
  EXPECT_THAT(ToSvg(relative), HasSubstr("relative squared error"));
}

TEST(FrontierSvgTest, AFileWithoutLossIsCountedNotDrawn) {
  FrontierChart chart = Sample();
  chart.predicted.push_back({2'000'000, 16, 0});
  chart.predicted.push_back({2'000'000, 16, std::numeric_limits<double>::quiet_NaN()});
  const std::string svg = ToSvg(chart);
  EXPECT_EQ(PredictedHeights(svg).size(), 3u);
  EXPECT_THAT(svg, HasSubstr("2 points without loss not drawn."));
}

TEST(FrontierSvgTest, OneOrNoPointIsStillAPicture) {
  FrontierChart chart = Sample();
  chart.measured.clear();
  chart.predicted.resize(1);
  EXPECT_EQ(PredictedHeights(ToSvg(chart)).size(), 1u);
  chart.predicted.clear();
  EXPECT_THAT(ToSvg(chart), HasSubstr("There is no loss to draw."));
}

TEST(FrontierSvgTest, ANameIsTextAndNothingElse) {
  FrontierChart chart = Sample();
  chart.model = "<script>&\"x";
  EXPECT_THAT(ToSvg(chart), HasSubstr("Size against loss: &lt;script&gt;&amp;&quot;x as nsq"));
  EXPECT_THAT(ToSvg(chart), Not(HasSubstr("<script")));
}

}  // namespace
}  // namespace nashswarm::report
