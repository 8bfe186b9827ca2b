#include "client/cli/sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

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

TEST(Sizes, ParsesIncreases) {
  EXPECT_DOUBLE_EQ(*ParseIncrease("2%"), 0.02);
  EXPECT_DOUBLE_EQ(*ParseIncrease("2 %"), 0.02);
  EXPECT_DOUBLE_EQ(*ParseIncrease("0.02"), 0.02);
  EXPECT_DOUBLE_EQ(*ParseIncrease("1"), 1);
  EXPECT_DOUBLE_EQ(*ParseIncrease("1000%"), 10);
  for (const char* text : {"", "0", "-1", "0%", "2x", "1001%", "nan", "two"}) {
    EXPECT_EQ(ExitCodeOf(ParseIncrease(text).status()), kExitUsage) << text;
  }
  EXPECT_THAT(HintOf(ParseIncrease("2").status()), testing::HasSubstr("2%")) << "a forgotten percent sign";
}

TEST(Sizes, ParsesDivergences) {
  EXPECT_DOUBLE_EQ(*ParseDivergence("0.01"), 0.01);
  EXPECT_DOUBLE_EQ(*ParseDivergence("1e-3"), 0.001);
  for (const char* text : {"", "0", "-1", "101", "1%", "inf"}) {
    EXPECT_EQ(ExitCodeOf(ParseDivergence(text).status()), kExitUsage) << text;
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
  EXPECT_EQ(FormatChange(0.02134), "+2.13 %");
  EXPECT_EQ(FormatChange(-0.001), "-0.10 %");
  EXPECT_EQ(FormatSignificant(12.5, 4), "12.50");
  EXPECT_EQ(FormatSignificant(1234.4, 4), "1234");
  EXPECT_EQ(FormatSignificant(0.020304, 3), "0.0203");
  EXPECT_EQ(FormatSignificant(0.00004123, 2), "4.1e-05");
  EXPECT_EQ(FormatSignificant(0.00008123, 1), "8e-05");
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

TEST(Target, QualityNeedsATextToMeasureOn) {
  for (TargetFlags flags : {TargetFlags{.max_ppl_increase = "2%"}, TargetFlags{.max_kl = "0.01"}}) {
    const absl::Status none = BuildSpec(flags).status();
    EXPECT_EQ(ExitCodeOf(none), kExitUsage);
    EXPECT_THAT(HintOf(none), testing::HasSubstr("--evaluate FILE"));
    flags.imatrix = "im.gguf";
    EXPECT_EQ(ExitCodeOf(BuildSpec(flags).status()), kExitUsage) << "an importance matrix is no text";
    flags.imatrix.clear();
    flags.calibrate = "self";
    EXPECT_TRUE(BuildSpec(flags)->calibration().self());
    flags.calibrate.clear();
    flags.evaluate = "test.txt";
    EXPECT_EQ(BuildSpec(flags)->evaluation().text(), "test.txt");
  }
  EXPECT_DOUBLE_EQ(BuildSpec({.max_ppl_increase = "2%", .calibrate = "self"})->max_ppl_increase(), 0.02);
  EXPECT_DOUBLE_EQ(BuildSpec({.max_kl = "0.5", .calibrate = "self"})->max_kl(), 0.5);
  EXPECT_EQ(ExitCodeOf(BuildSpec({.bits_per_weight = "4", .max_kl = "0.5", .calibrate = "self"}).status()), kExitUsage);
}

TEST(Target, SaysWhatIsAskedOfCalibrationAndEvaluation) {
  const auto plain = BuildSpec({.bits_per_weight = "4"});
  EXPECT_FALSE(plain->has_calibration() || plain->has_evaluation());
  const auto text = BuildSpec({.bits_per_weight = "4", .calibrate = "train.txt", .evaluate = "test.txt",
                               .calibration_tokens = 9000, .evaluation_tokens = 800, .evaluation_context = 64});
  EXPECT_EQ(text->calibration().text(), "train.txt");
  EXPECT_EQ(text->calibration().tokens(), 9000);
  EXPECT_EQ(text->evaluation().text(), "test.txt");
  EXPECT_EQ(text->evaluation().tokens(), 800);
  EXPECT_EQ(text->evaluation().context(), 64);
  EXPECT_EQ(BuildSpec({.bits_per_weight = "4", .imatrix = "im.gguf"})->calibration().imatrix(), "im.gguf");
  // How to measure on the held-out part of the calibration text.
  const auto held_out = BuildSpec({.bits_per_weight = "4", .calibrate = "self", .evaluation_context = 64});
  EXPECT_EQ(held_out->evaluation().text(), "");
  EXPECT_EQ(held_out->evaluation().context(), 64);
  for (const TargetFlags& bad :
       {TargetFlags{.bits_per_weight = "4", .calibrate = "a", .imatrix = "b"},
        TargetFlags{.bits_per_weight = "4", .calibration_tokens = 5},
        TargetFlags{.bits_per_weight = "4", .imatrix = "b", .calibration_tokens = 5},
        TargetFlags{.bits_per_weight = "4", .evaluation_tokens = 5},
        TargetFlags{.bits_per_weight = "4", .imatrix = "b", .evaluation_context = 64},
        TargetFlags{.bits_per_weight = "4", .evaluate = "a", .evaluation_context = 7},
        TargetFlags{.bits_per_weight = "4", .evaluate = "a", .evaluation_context = (1 << 20) + 1}}) {
    EXPECT_EQ(ExitCodeOf(BuildSpec(bad).status()), kExitUsage);
  }
}

TEST(Target, SaysWhatIsAskedOfASearch) {
  EXPECT_FALSE(BuildSpec({.bits_per_weight = "4", .calibrate = "self"})->has_search()) << "none";
  const auto both = BuildSpec(
      {.bits_per_weight = "4", .calibrate = "self", .context_rounds = 2, .swarm = 100, .swarm_seconds = 1.5});
  EXPECT_EQ(both->search().context_rounds(), 2);
  EXPECT_EQ(both->search().swarm_evaluations(), 100);
  EXPECT_DOUBLE_EQ(both->search().swarm_seconds(), 1.5);
  EXPECT_FALSE(both->search().off());
}

TEST(Target, RefusesASearchThatCannotBe) {
  const absl::Status no_text = BuildSpec({.bits_per_weight = "4", .context_rounds = 1}).status();
  EXPECT_EQ(ExitCodeOf(no_text), kExitUsage);
  EXPECT_THAT(HintOf(no_text), testing::HasSubstr("--calibrate self"));
  for (const TargetFlags& bad :
       {TargetFlags{.bits_per_weight = "4", .imatrix = "im.gguf", .swarm = 5},
        TargetFlags{.bits_per_weight = "4", .evaluate = "test.txt", .swarm = 5},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .context_rounds = 17},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .context_rounds = -1},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .swarm = 100001},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .swarm = -1},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .swarm = 1, .swarm_seconds = 86401},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .swarm = 1, .swarm_seconds = std::nan("")},
        TargetFlags{.bits_per_weight = "4", .calibrate = "self", .swarm_seconds = 5}}) {
    EXPECT_EQ(ExitCodeOf(BuildSpec(bad).status()), kExitUsage);
    EXPECT_NE(HintOf(BuildSpec(bad).status()), "");
  }
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
