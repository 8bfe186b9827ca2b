#include "client/cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "client/cli/output.h"

namespace nashswarm::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

TEST(RenderBar, ShowsStagePercentRateTimeLeftAndTensor) {
  const ProgressState state = {
      .stage = "encode", .done = 500'000, .total = 2'000'000, .unit = "weights", .detail = "h.0.attn"};
  EXPECT_EQ(RenderBar(state, 100'000, 200, false),
            "encode    [######..................]  25%  100 k weights/s  15 s left  h.0.attn");
}

TEST(RenderBar, NeverIsWiderThanTheTerminal) {
  const ProgressState state = {
      .stage = "upload", .done = 1, .total = 2, .unit = kBytes, .detail = std::string(300, 'x')};
  for (const int width : {0, 5, 20, 79}) EXPECT_LE(RenderBar(state, 1e6, width, false).size(), size_t(width));
}

TEST(RenderBar, ColorsTheBarAlone) {
  const ProgressState state = {.stage = "upload", .done = 2, .total = 2};
  EXPECT_THAT(RenderBar(state, 0, 79, true), HasSubstr("\x1b[36m[########################]\x1b[0m 100%"));
  EXPECT_THAT(RenderBar(state, 0, 79, false), Not(HasSubstr("\x1b")));
}

TEST(RenderBar, KeepsControlCharactersOfNamesOffTheTerminal) {
  EXPECT_THAT(RenderBar({.stage = "encode", .done = 1, .total = 2, .detail = "a\x1b[2Jb"}, 0, 79, false),
              HasSubstr("a?[2Jb"));
}

TEST(RenderLine, SaysTheSameInWords) {
  const ProgressState state = {
      .stage = "upload", .done = 5'000'000, .total = 10'000'000, .unit = kBytes, .detail = "model.safetensors"};
  EXPECT_EQ(RenderLine(state, 1e6), "upload: 50%, 5.00 MB of 10.0 MB, 1.00 MB/s, 5.0 s left, model.safetensors");
  EXPECT_EQ(RenderLine({.stage = "queued"}, 0), "queued");
  EXPECT_EQ(RenderLine({.stage = "solve", .eta_seconds = 90}, 0), "solve: 1m 30s left");
}

TEST(RateMeter, LooksAtTheLastTenSeconds) {
  RateMeter meter;
  const RateMeter::Time start{};
  EXPECT_EQ(meter.Rate(), 0);
  meter.Add(start, 0);
  meter.Add(start + seconds(1), 100);
  EXPECT_DOUBLE_EQ(meter.Rate(), 100);
  for (int i = 2; i <= 30; ++i) meter.Add(start + seconds(i), 100 + (i - 1) * 10);
  EXPECT_NEAR(meter.Rate(), 10, 1e-9);
  meter.Add(start + seconds(31), 0);  // started over
  EXPECT_EQ(meter.Rate(), 0);
}

struct Recorded {
  explicit Recorded(Progress::Style style) : progress(out, style, false, 80, [this] { return now; }) {}
  std::chrono::steady_clock::time_point now{seconds(1000)};
  std::ostringstream out;
  Progress progress;
};

TEST(Progress, PrintsALineEveryTenSecondsAndAtEachStage) {
  Recorded r(Progress::Style::kLines);
  for (int i = 0; i < 25; ++i) {
    r.progress.Update({.stage = "measure", .done = i, .total = 100, .unit = "weights"});
    r.now += seconds(1);
  }
  r.progress.Update({.stage = "solve", .unit = "weights"});
  std::istringstream lines(r.out.str());
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  ASSERT_EQ(all.size(), 4u) << r.out.str();
  EXPECT_THAT(all[1], HasSubstr("measure: 10%"));
  EXPECT_THAT(all[2], HasSubstr("measure: 20%"));
  EXPECT_EQ(all[3], "solve");
}

TEST(Progress, ASilentStreamStillGetsItsLine) {
  Recorded r(Progress::Style::kLines);
  r.progress.Update({.stage = "encode", .done = 1, .total = 4});
  r.now += seconds(11);
  r.progress.Tick();
  EXPECT_EQ(r.out.str(), "encode: 25%, 1 B of 4 B\nencode: 25%, 1 B of 4 B\n");
}

TEST(Progress, DrawsABarAtMostTenTimesASecondAndClearsIt) {
  Recorded r(Progress::Style::kBar);
  for (int i = 0; i < 100; ++i) {
    r.progress.Update({.stage = "upload", .done = i, .total = 100});
    r.now += milliseconds(10);
  }
  const std::string drawn = r.out.str();
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), '\r'), 10);
  r.progress.Note("warning: row length 64");
  r.progress.Done();
  EXPECT_EQ(r.out.str().substr(drawn.size()), "\r\x1b[Kwarning: row length 64\n");
}

TEST(Progress, NoneMeansNothing) {
  Recorded r(Progress::Style::kNone);
  r.progress.Update({.stage = "upload", .done = 1, .total = 2});
  r.progress.Note("x");
  r.progress.Done();
  EXPECT_EQ(r.out.str(), "");
}

TEST(Table, PadsToTheWidestCell) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}});
  table.AddRow({"a", "1 B"});
  table.AddRow({"größe", "10.0 MB"});
  EXPECT_EQ(table.Render(false), "NAME      SIZE\na          1 B\ngröße  10.0 MB\n");
}

TEST(Output, JsonOutlivesBytesThatAreNotText) { EXPECT_THAT(ToText({{"name", "a\xff"}}), HasSubstr("a\xEF\xBF\xBD")); }

}  // namespace
}  // namespace nashswarm::cli
