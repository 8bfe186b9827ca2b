#include "core/tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/tokenizer/normalizer.h"
#include "core/tokenizer/regex.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kLlama3Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> Pieces(const Json& json, std::string_view text) {
  const auto pre = PreTokenizer::Parse(json, "test");
  EXPECT_TRUE(pre.ok()) << pre.status();
  if (!pre.ok()) return {};
  TextArena arena;
  std::vector<Piece> pieces;
  pre->Split(text, /*first=*/true, &arena, &pieces);
  std::vector<std::string> out;
  for (const Piece& piece : pieces) out.emplace_back(piece.text);
  return out;
}

Json Split(const std::string& pattern, const std::string& behavior = "Isolated", bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", behavior}, {"invert", invert}};
}

Json Sequence(std::vector<Json> parts) { return {{"type", "Sequence"}, {"pretokenizers", parts}}; }

TEST(PreTokenizerTest, Gpt2) {
  const Json json = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  EXPECT_THAT(Pieces(json, "Hello, they'll 12 3x  \n y"),
              ElementsAre("Hello", ",", " they", "'ll", " 12", " 3", "x", "  \n", " y"));
  EXPECT_THAT(Pieces(json, "it'S"), ElementsAre("it", "'", "S"));
  EXPECT_THAT(Pieces(json, ""), IsEmpty());
}

TEST(PreTokenizerTest, SpaceBeforeAText) {
  const Json json = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  EXPECT_THAT(Pieces(json, "a b"), ElementsAre(" a", " b"));
  EXPECT_THAT(Pieces(json, " a"), ElementsAre(" a"));
}

TEST(PreTokenizerTest, Llama3AndQwen2DifferInDigits) {
  EXPECT_THAT(Pieces(Split(kLlama3Pattern), "I'LL pay\t12345!\r\n\n  x"),
              ElementsAre("I", "'LL", " pay", "\t", "123", "45", "!\r\n\n", " ", " x"));
  EXPECT_THAT(Pieces(Split(kQwen2Pattern), "a123"), ElementsAre("a", "1", "2", "3"));
}

TEST(PreTokenizerTest, DigitsAloneOrTogether) {
  const auto digits = [](bool individual) {
    return Sequence({{{"type", "Digits"}, {"individual_digits", individual}}, {{"type", "ByteLevel"}, {"add_prefix_space", false}}});
  };
  EXPECT_THAT(Pieces(digits(true), "a 12b"), ElementsAre("a", " ", "1", "2", "b"));
  EXPECT_THAT(Pieces(digits(false), "a 12b"), ElementsAre("a", " ", "12", "b"));
}

// Expected: what the tokenizers library (0.23.3) documents for "the-final--countdown" split at "-".
TEST(PreTokenizerTest, Behaviors) {
  constexpr char kText[] = "the-final--countdown";
  EXPECT_THAT(Pieces(Split("-", "Removed"), kText), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(Pieces(Split("-", "Isolated"), kText), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(Pieces(Split("-", "MergedWithPrevious"), kText), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(Pieces(Split("-", "MergedWithNext"), kText), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(Pieces(Split("-", "Contiguous"), kText), ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(Pieces(Split("[a-z]", "Removed", /*invert=*/true), "a-b"), ElementsAre("a", "b"));
}

TEST(PreTokenizerTest, MetaspaceMarksSpaces) {
  const auto metaspace = [](const char* scheme, bool split) {
    return Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}, {"split", split}};
  };
  EXPECT_THAT(Pieces(metaspace("always", true), "a  b"), ElementsAre("_a", "_", "_b"));
  EXPECT_THAT(Pieces(metaspace("never", true), "a b"), ElementsAre("a", "_b"));
  EXPECT_THAT(Pieces(metaspace("always", false), " a b"), ElementsAre("_a_b"));
  const Json first = Sequence({Split("-", "Removed"), metaspace("first", true)});
  EXPECT_THAT(Pieces(first, "a-b"), ElementsAre("_a", "b"));
}

TEST(PreTokenizerTest, BytesAreSpeltOutOnlyWhenSomethingFollows) {
  const Json byte_level = {{"type", "ByteLevel"}, {"use_regex", false}};
  EXPECT_TRUE(PreTokenizer::Parse(byte_level, "test")->byte_level());
  EXPECT_THAT(Pieces(byte_level, "a b"), ElementsAre("a b"));
  const Json followed = Sequence({byte_level, Split("b")});
  EXPECT_FALSE(PreTokenizer::Parse(followed, "test")->byte_level());
  EXPECT_THAT(Pieces(followed, "a b"), ElementsAre("a\u0120", "b"));
}

TEST(PreTokenizerTest, ErrorsNameThePart) {
  const auto error = [](const Json& json) { return PreTokenizer::Parse(json, "tokenizer.json: pre_tokenizer").status(); };
  EXPECT_EQ(ReasonOf(error({{"type", "Telepathy"}})), "TOKENIZER_UNKNOWN");
  EXPECT_THAT(std::string(error({{"type", "Telepathy"}}).message()), HasSubstr("tokenizer.json: pre_tokenizer"));
  EXPECT_EQ(ReasonOf(error(Split("(unclosed"))), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error(Split("-", "Sideways"))), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"type", "Split"}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"type", "Metaspace"}, {"replacement", ""}})), "TOKENIZER_INVALID");
}

std::vector<std::string> Matches(const std::string& pattern, std::string_view text) {
  const auto regex = Regex::Compile(pattern, "test");
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<Range> ranges;
  if (regex.ok()) regex->FindAll(text, &ranges);
  std::vector<std::string> out;
  for (const Range& range : ranges) out.emplace_back(text.substr(range.begin, range.end - range.begin));
  return out;
}

TEST(RegexTest, ClassesAreOnigurumas) {
  EXPECT_THAT(Matches("\\s", "a\u180e\u0085\u3000b"), ElementsAre("\u0085", "\u3000"));
  EXPECT_THAT(Matches("[^\\s]+", "a\u180e\u0085b"), ElementsAre("a\u180e", "b"));
  EXPECT_THAT(Matches("\\w+", "e\u0301_1\u00bd \u2153"), ElementsAre("e\u0301_1\u00bd"));
  EXPECT_THAT(Matches("(?i:'s)", "'S '\u017f"), ElementsAre("'S", "'\u017f"));
  EXPECT_THAT(Matches("\\p{Han}+", "a\u4e2d\u30fcb"), ElementsAre("\u4e2d"));  // U+30FC has Han among its extensions
  EXPECT_THAT(Matches("x*", "axxb"), ElementsAre("xx"));                        // no empty matches
}

TEST(RegexTest, AnExponentialPatternStopsMatching) {
  EXPECT_THAT(Matches("(a|aa)+$", std::string(60, 'a') + "b"), IsEmpty());
}

std::string Normalized(const Json& json, std::string_view text) {
  const auto normalizer = Normalizer::Parse(json, "test");
  EXPECT_TRUE(normalizer.ok()) << normalizer.status();
  TextArena arena;
  return std::string(normalizer->Apply(text, &arena));
}

TEST(NormalizerTest, EachKind) {
  EXPECT_EQ(Normalized(nullptr, "e\u0301"), "e\u0301");
  EXPECT_EQ(Normalized({{"type", "NFC"}}, std::string("e\u0301\0x", 5)), std::string("\u00e9\0x", 4));
  EXPECT_EQ(Normalized({{"type", "NFC"}}, "\u212b\ufb01"), "\u00c5\ufb01");
  EXPECT_EQ(Normalized({{"type", "NFD"}}, "\u00e9"), "e\u0301");
  EXPECT_EQ(Normalized({{"type", "NFKC"}}, "\ufb01\u00bd"), "fi1\u20442");
  EXPECT_EQ(Normalized({{"type", "Lowercase"}}, "\u00c9A\u0130"), "\u00e9ai\u0307");
  EXPECT_EQ(Normalized({{"type", "Strip"}}, "\u3000 a b \u00a0"), "a b");
  EXPECT_EQ(Normalized({{"type", "Prepend"}, {"prepend", "_"}}, "a"), "_a");
  EXPECT_EQ(Normalized({{"type", "Prepend"}, {"prepend", "_"}}, ""), "");
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", "aa"}}}, {"content", "b"}};
  const Json squeeze = {{"type", "Replace"}, {"pattern", {{"Regex", " +"}}}, {"content", "_"}};
  EXPECT_EQ(Normalized({{"type", "Sequence"}, {"normalizers", {replace, squeeze}}}, "aaa  aa"), "ba_b");
  EXPECT_EQ(ReasonOf(Normalizer::Parse({{"type", "Rot13"}}, "test").status()), "TOKENIZER_UNKNOWN");
}

}  // namespace
}  // namespace nashswarm::tokenizer
