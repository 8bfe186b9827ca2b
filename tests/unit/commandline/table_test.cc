#include "base/commandline/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/commandline/wrap.h"

namespace nashswarm::commandline {
namespace {

TEST(TableTest, WhatFitsIsPaddedToItsWidestCells) {
  EXPECT_EQ(RenderTable({{"NAME"}, {"SIZE", true}}, {{"a", "10"}, {"longer", "5"}}, false, 80), "NAME    SIZE\na         10\nlonger     5\n");
  EXPECT_EQ(RenderTable({{""}, {""}}, {{"x", "y"}}, true, 80), "x  y\n") << "no titles, no line for them";
  EXPECT_EQ(RenderTable({{"A"}}, {{"\xc3\xa9"}}, true, 80), "\x1b[1mA\x1b[0m\n\xc3\xa9\n");
}

TEST(TableTest, LongNamesGoOnInTheNextLineWithNothingLost) {
  const std::string name = "model.layers.31.mlp.experts.127.down_proj.weight";
  const std::string text = RenderTable({{"tensor"}, {"shape"}, {"bytes", true}}, {{name, "4096 x 14336", "123456"}}, false, 50);
  EXPECT_EQ(WidestLine(text), 50u);
  EXPECT_EQ(text,
            "tensor                        shape          bytes\n"
            "model.layers.31.mlp.experts.  4096 x 14336  123456\n"
            "127.down_proj.weight\n");
}

TEST(TableTest, SentencesWrapAtSpacesAndPathsInTheLastColumnStayWhole) {
  EXPECT_EQ(RenderTable({{""}, {""}}, {{"plan", "at the target; proved the best plan"}, {"file", "/a/very/long/path/to/a/model.gguf"}}, false, 30),
            "plan  at the target; proved\n"
            "      the best plan\n"
            "file  /a/very/long/path/to/a/model.gguf\n");
}

TEST(TableTest, TitlesOfSeveralWordsWrapBeforeColumnsOfTextDo) {
  EXPECT_EQ(RenderTable({{"NAME"}, {"OF FP32 SAVED", true}}, {{"a name", "86.0 %"}}, false, 15),
            "NAME        OF\n"
            "          FP32\n"
            "         SAVED\n"
            "a name  86.0 %\n");
}

}  // namespace
}  // namespace nashswarm::commandline
