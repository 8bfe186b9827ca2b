#include "client/cli/sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/digest.h"
#include "client/cli/errors.h"
#include "client/cli/target.h"

namespace nashswarm::cli {
namespace {

TEST(Sizes, ParsesDecimalAndBinaryUnits) {
  EXPECT_EQ(*ParseSize("50MB"), 50'000'000);
  EXPECT_EQ(*ParseSize("50MiB"), 52'428'800);
  EXPECT_EQ(*ParseSize("1.5GB"), 1'500'000'000);
  EXPECT_EQ(*ParseSize("1.5 gb"), 1'500'000'000);
  EXPECT_EQ(*ParseSize("800k"), 800'000);
  EXPECT_EQ(*ParseSize("2TiB"), int64_t{2} << 40);
  EXPECT_EQ(*ParseSize("12345"), 12345);
  EXPECT_EQ(*ParseSize("7B"), 7);
}

TEST(Sizes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MB", "-5MB", "0", "0.5", "5XB", "nan", "inf", "1e400", "9e30", "5MB5"}) {
    const auto size = ParseSize(text);
    EXPECT_FALSE(size.ok()) << text;
    EXPECT_EQ(ExitCodeOf(size.status()), kExitUsage) << text;
    EXPECT_NE(HintOf(size.status()), "") << text;
  }
}

TEST(Sizes, ParsesRatios) {
  EXPECT_DOUBLE_EQ(*ParseRatio("0.9"), 0.9);
  EXPECT_DOUBLE_EQ(*ParseRatio("90%"), 0.9);
  EXPECT_DOUBLE_EQ(*ParseRatio("10x"), 0.9);
  EXPECT_DOUBLE_EQ(*ParseRatio("4X"), 0.75);
  EXPECT_DOUBLE_EQ(*ParseRatio("87.5 %"), 0.875);
  for (const char* text : {"", "0", "1", "1.2", "-0.5", "100%", "0%", "1x", "0x", "-2x", "0.5x", "9 MB", "x"}) {
    EXPECT_EQ(ExitCodeOf(ParseRatio(text).status()), kExitUsage) << text;
  }
}

TEST(Sizes, ParsesBitsPerWeight) {
  EXPECT_DOUBLE_EQ(*ParseBitsPerWeight("4.5"), 4.5);
  for (const char* text : {"", "0", "-1", "33", "4.5b", "four"}) EXPECT_FALSE(ParseBitsPerWeight(text).ok()) << text;
}

TEST(Sizes, FormatsForPeople) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.00 kB");
  EXPECT_EQ(FormatBytes(23'419'312), "23.4 MB");
  EXPECT_EQ(FormatBytes(999'999), "1.00 MB");
  EXPECT_EQ(FormatCount(5'840'000), "5.84 M");
  EXPECT_EQ(FormatCount(12), "12");
  EXPECT_EQ(FormatDuration(3.24), "3.2 s");
  EXPECT_EQ(FormatDuration(9.97), "10 s");
  EXPECT_EQ(FormatDuration(65), "1m 05s");
  EXPECT_EQ(FormatDuration(7380), "2h 03m");
  EXPECT_EQ(FormatPercent(0.8712), "87.1 %");
}

TEST(Digest, MatchesPublishedVectors) {
  EXPECT_EQ(ToHex(Sha256Of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(Target, NeedsExactlyOne) {
  EXPECT_EQ(ExitCodeOf(BuildSpec({}).status()), kExitUsage);
  EXPECT_EQ(ExitCodeOf(BuildSpec({.bits_per_weight = "4", .size = "5MB"}).status()), kExitUsage);
  EXPECT_DOUBLE_EQ(BuildSpec({.bits_per_weight = "4.5"})->bits_per_weight(), 4.5);
  EXPECT_EQ(BuildSpec({.size = "5MB"})->size_bytes(), 5'000'000);
  EXPECT_DOUBLE_EQ(BuildSpec({.ratio = "10x"})->ratio(), 0.9);
}

TEST(Target, SplitsRulesAtTheLastEqualSign) {
  const auto spec = BuildSpec({.bits_per_weight = "4", .rules = {".*wte.*=Q8_0", "a=b=keep"}});
  ASSERT_TRUE(spec.ok());
  ASSERT_EQ(spec->rules_size(), 2);
  EXPECT_EQ(spec->rules(0).pattern(), ".*wte.*");
  EXPECT_EQ(spec->rules(0).format(), "Q8_0");
  EXPECT_EQ(spec->rules(1).pattern(), "a=b");
  for (const char* rule : {"noformat", "=Q8_0", "pattern="}) {
    EXPECT_EQ(ExitCodeOf(BuildSpec({.bits_per_weight = "4", .rules = {rule}}).status()), kExitUsage) << rule;
  }
}

}  // namespace
}  // namespace nashswarm::cli
