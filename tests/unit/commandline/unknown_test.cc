#include "base/commandline/unknown.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

namespace nashswarm::commandline {
namespace {

using ::testing::HasSubstr;

TEST(UnknownTest, TheNearestIsTheOneWithTheFewestLettersToChange) {
  const std::vector<std::string> commands = {"compress", "completion", "pull", "push", "jobs"};
  EXPECT_EQ(Nearest("compres", commands), "compress");
  EXPECT_EQ(Nearest("copmress", commands), "compress");
  EXPECT_EQ(Nearest("job", commands), "jobs");
  EXPECT_EQ(Nearest("pul", commands), "pull");
  EXPECT_EQ(Nearest("serve", commands), "");
  EXPECT_EQ(Nearest("", commands), "");
}

class TreeTest : public ::testing::Test {
 protected:
  TreeTest() : root_("", "tool") {
    root_.add_flag("--json");
    root_.add_option("--server", server_);
    CLI::App* compress = root_.add_subcommand("compress", "");
    compress->add_option("DIR", directory_);
    compress->add_option("-o,--output", out_);
    compress->add_option("--bpw", bits_);
    root_.add_subcommand("jobs", "")->add_subcommand("list", "");
    root_.add_subcommand("eval", "")->prefix_command();
  }
  std::string Said(const std::vector<std::string>& arguments) {
    const auto unknown = FindUnknown(root_, arguments);
    return unknown ? unknown->message + "; " + unknown->hint : "";
  }

  CLI::App root_;
  std::string server_, directory_, out_, bits_;
};

TEST_F(TreeTest, UnknownCommandsAndOptionsAreNamedWithWhatMayBeMeant) {
  EXPECT_EQ(Said({"compres", "d"}), "tool has no command 'compres'; did you mean compress? tool --help lists all");
  EXPECT_EQ(Said({"--server", "host", "compress", "d", "--bwp", "4"}),
            "tool compress has no option '--bwp'; did you mean --bpw? tool compress --help lists all");
  EXPECT_EQ(Said({"jobs", "lst"}), "tool jobs has no command 'lst'; did you mean list? tool jobs --help lists all");
  EXPECT_EQ(Said({"compress", "d", "--frobnicate=1"}), "tool compress has no option '--frobnicate'; tool compress --help lists them");
}

TEST_F(TreeTest, WhatIsKnownIsLeftToTheParser) {
  EXPECT_EQ(Said({"compress", "compres", "-o", "--bwp", "--bpw=4", "--json", "-oX"}), "") << "values are no options";
  EXPECT_EQ(Said({"eval", "--anything", "x"}), "") << "handed over";
  EXPECT_EQ(Said({"compress", "--", "--bwp"}), "");
  EXPECT_EQ(Said({}), "");
}

}  // namespace
}  // namespace nashswarm::commandline
