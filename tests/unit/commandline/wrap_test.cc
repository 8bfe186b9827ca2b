#include "base/commandline/wrap.h"

#include <gtest/gtest.h>

namespace nashswarm::commandline {
namespace {

TEST(WrapTest, BreaksBetweenWordsAndCountsCharacters) {
  EXPECT_EQ(Wrap("one two three", 7), "one two\nthree");
  EXPECT_EQ(Wrap("aa bb cc", 5, 0, 2), "aa bb\n  cc");
  EXPECT_EQ(Wrap("aa bb", 5, 4, 1), "aa\n bb") << "what stands before the text counts";
  EXPECT_EQ(Wrap("a word-longer-than-a-line b", 6), "a\nword-longer-than-a-line\nb");
  EXPECT_EQ(Wrap("incomprehensibilities yes", 5), "incomprehensibilities\nyes");
  EXPECT_EQ(Wrap("±± ±±", 5), "±± ±±");
  EXPECT_EQ(Wrap("", 5), "");
}

TEST(WrapTest, WidthsAreOfCharacters) {
  EXPECT_EQ(Columns("±…a"), 3u);
  EXPECT_EQ(WidestLine("a\n±±\n"), 2u);
}

TEST(WrapTest, WhatIsShortenedKeepsBothEnds) {
  EXPECT_EQ(Shorten("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(Shorten("abcdefghi", 5), "ab…hi");
  EXPECT_EQ(Shorten("±±±±±±", 5), "±±…±±");
}

}  // namespace
}  // namespace nashswarm::commandline
