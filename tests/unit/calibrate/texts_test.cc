#include "core/calibrate/texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nashswarm::calibrate {
namespace {

using ::testing::HasSubstr;

TEST(TextsTest, OneTextIsSplitWithoutLossAtALinesEnd) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "line " + std::to_string(i) + " of a text about nothing\n";
  const Texts texts = Split(text);
  EXPECT_EQ(texts.calibration + texts.evaluation, text);
  EXPECT_EQ(texts.calibration.back(), '\n');
  EXPECT_NEAR(static_cast<double>(texts.evaluation.size()) / static_cast<double>(text.size()), 0.2, 0.01);
  EXPECT_THAT(texts.note, HasSubstr(std::to_string(texts.evaluation.size())));
}

TEST(TextsTest, ATextWithoutLinesIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 101; ++i) text += "\xE4\xB8\xAD";
  const Texts texts = Split(text);
  EXPECT_EQ(texts.calibration.size() % 3, 0u);
  EXPECT_EQ(texts.calibration + texts.evaluation, text);
}

TEST(TextsTest, LinesOfTheEvaluationTextDoNotCalibrate) {
  const std::string shared = "This line of forty bytes or more is in both.", own = "This one is in the calibration text only, thanks.";
  const Texts texts = Part("Short\n  " + shared + " \n" + own + "\n", "Short\n" + shared + "\n");
  EXPECT_EQ(texts.calibration, "Short\n" + own + "\n");
  EXPECT_EQ(texts.evaluation, "Short\n" + shared + "\n");
  EXPECT_THAT(texts.note, HasSubstr("1 line of"));
}

TEST(TextsTest, TextsWithNothingInCommonStayAsTheyAre) {
  const Texts texts = Part("The quick brown fox jumps over the lazy dog.\n", "Sphinx of black quartz, judge my vow, please!\n");
  EXPECT_EQ(texts.calibration, "The quick brown fox jumps over the lazy dog.\n");
  EXPECT_EQ(texts.note, "");
}

TEST(TextsTest, TheSameTextTwiceIsSplit) {
  const std::string text(1000, 'a');
  const Texts texts = Part(text, text);
  EXPECT_EQ(texts.calibration.size() + texts.evaluation.size(), text.size());
  EXPECT_FALSE(texts.evaluation.empty());
}

}  // namespace
}  // namespace nashswarm::calibrate
