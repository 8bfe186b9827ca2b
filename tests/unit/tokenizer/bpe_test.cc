#include "core/tokenizer/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/base/status.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/scored_merges.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Bpe Make(const Bpe::Vocabulary& vocabulary, const std::vector<Bpe::Merge>& merges, Bpe::Options options = {}) {
  auto bpe = Bpe::Create(vocabulary, merges, options, "test");
  EXPECT_TRUE(bpe.ok()) << bpe.status();
  return *std::move(bpe);
}

std::vector<int32_t> Ids(const Bpe& bpe, std::string_view piece) {
  Bpe::Cache cache;
  std::vector<int32_t> once, twice;
  bpe.Encode(piece, &cache, &once);
  bpe.Encode(piece, &cache, &twice);  // from the cache
  EXPECT_EQ(once, twice);
  return once;
}

const Bpe::Vocabulary kLetters = {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"bc", 4}, {"abc", 5}, {"aa", 6}};

TEST(BpeTest, TheLowestRankGoesFirst) {
  EXPECT_THAT(Ids(Make(kLetters, {{"b", "c"}, {"a", "b"}}), "abc"), ElementsAre(0, 4));
  EXPECT_THAT(Ids(Make(kLetters, {{"a", "b"}, {"b", "c"}}), "abc"), ElementsAre(3, 2));
  EXPECT_THAT(Ids(Make(kLetters, {{"b", "c"}, {"a", "bc"}}), "abcab"), ElementsAre(5, 0, 1));
  EXPECT_THAT(Ids(Make(kLetters, {{"a", "a"}}), "aaaaa"), ElementsAre(6, 6, 0));  // from the left
}

TEST(BpeTest, IgnoreMergesTakesWholePieces) {
  EXPECT_THAT(Ids(Make(kLetters, {{"a", "b"}}, {.ignore_merges = true}), "abc"), ElementsAre(5));
  EXPECT_THAT(Ids(Make(kLetters, {{"a", "b"}}), "abc"), ElementsAre(3, 2));
}

TEST(BpeTest, UnknownCharacters) {
  EXPECT_THAT(Ids(Make(kLetters, {}), "axxb"), ElementsAre(0, 1));
  EXPECT_THAT(Ids(Make(kLetters, {}, {.unknown = 9}), "ax\u00e9b"), ElementsAre(0, 9, 9, 1));
  EXPECT_THAT(Ids(Make(kLetters, {}, {.fuse_unknown = true, .unknown = 9}), "ax\u00e9bx"), ElementsAre(0, 9, 1, 9));
}

TEST(BpeTest, ByteFallbackNeedsAllBytesOfACharacter) {
  const Bpe::Vocabulary vocabulary = {{"a", 0}, {"<0xC3>", 1}, {"<0xA9>", 2}, {"<0x0A>", 3}};
  const Bpe bpe = Make(vocabulary, {}, {.byte_fallback = true, .unknown = 9});
  EXPECT_THAT(Ids(bpe, "a\u00e9\n"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Ids(bpe, "\u00e8"), ElementsAre(9));
}

TEST(BpeTest, BytesOfTheAlphabet) {
  const Bpe::Vocabulary vocabulary = {{"\u0120", 0}, {"a", 1}, {"\u0120a", 2}, {"\u00ff", 3}, {"a b", 4}};
  const Bpe bpe = Make(vocabulary, {{"\u0120", "a"}}, {.byte_level = true});
  EXPECT_THAT(Ids(bpe, " a\xff"), ElementsAre(2, 3));
}

TEST(BpeTest, MergesMustNameTokens) {
  for (const Bpe::Merge& merge : {Bpe::Merge("a", "x"), Bpe::Merge("x", "a"), Bpe::Merge("c", "a")}) {
    const auto bpe = Bpe::Create(kLetters, {merge}, {}, "tokenizer.json");
    EXPECT_EQ(ReasonOf(bpe.status()), "TOKENIZER_INVALID");
    EXPECT_THAT(std::string(bpe.status().message()), HasSubstr("tokenizer.json: merge 0"));
  }
}

// The definition, without heap, cuts or caches.
std::vector<std::string> Naive(const std::vector<Bpe::Merge>& merges, const std::string& text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  for (;;) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto rank = static_cast<size_t>(std::find(merges.begin(), merges.end(), Bpe::Merge(symbols[i], symbols[i + 1])) - merges.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == merges.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

TEST(BpeTest, AgreesWithTheDefinitionOnRandomMerges) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    Bpe::Vocabulary vocabulary;
    std::vector<std::string> tokens;
    const auto add = [&](const std::string& text) {
      if (vocabulary.emplace(text, static_cast<int32_t>(tokens.size())).second) tokens.push_back(text);
    };
    for (const char c : {'a', 'b', 'c', 'd', 'e', 'f', 'g', ' '}) add(std::string(1, c));
    std::vector<Bpe::Merge> merges;
    for (int i = 0; i < 30; ++i) {
      const Bpe::Merge merge(tokens[random() % tokens.size()], tokens[random() % tokens.size()]);
      if (std::find(merges.begin(), merges.end(), merge) != merges.end()) continue;
      merges.push_back(merge);
      add(merge.first + merge.second);
    }
    const Bpe bpe = Make(vocabulary, merges);
    for (const size_t length : {1u, 5u, 63u, 64u, 65u, 300u}) {
      std::string text;
      while (text.size() < length) text += "abcdefg "[random() % 8];
      std::vector<std::string> got;
      for (const int32_t id : Ids(bpe, text)) got.push_back(tokens[id]);
      EXPECT_EQ(got, Naive(merges, text)) << text;
    }
  }
}

TEST(ScoredMergesTest, TheHighestScoreGoesFirst) {
  const ScoredMerges merges({{"a", {0, -9}}, {"b", {1, -9}}, {"c", {2, -9}}, {"ab", {3, -2}}, {"bc", {4, -1}}, {"abc", {5, -3}},
                             {"<0xC3>", {6, 0}}, {"<0xA9>", {7, 0}}}, 8);
  const auto ids = [&](std::string_view text) {
    std::vector<int32_t> out;
    merges.Encode(text, &out);
    return out;
  };
  EXPECT_THAT(ids("abc"), ElementsAre(5));       // bc, then abc
  EXPECT_THAT(ids("abbc"), ElementsAre(3, 4));
  EXPECT_THAT(ids("\u00e9\u00e8"), ElementsAre(6, 7, 6, 8));
  EXPECT_THAT(ids(""), IsEmpty());
  // Where the order shows: nothing joins the halves afterwards. Of equals, the leftmost.
  const ScoredMerges halves({{"a", {0, -9}}, {"b", {1, -9}}, {"c", {2, -9}}, {"ab", {3, -2}}, {"bc", {4, -1}}, {"aa", {5, -1}}}, -1);
  std::vector<int32_t> out;
  halves.Encode("abcaaa", &out);
  EXPECT_THAT(out, ElementsAre(0, 4, 5, 0));
}

std::vector<std::pair<std::string, int32_t>> Parts(std::vector<AddedToken> tokens, std::string_view text) {
  std::vector<TextPart> parts;
  AddedTokenSplitter(std::move(tokens)).Split(text, &parts);
  std::vector<std::pair<std::string, int32_t>> out;
  for (const TextPart& part : parts) out.emplace_back(part.text, part.id);
  return out;
}

using Found = std::pair<std::string, int32_t>;

TEST(AddedTokensTest, TheLongestWins) {
  EXPECT_THAT(Parts({{.content = "<a", .id = 1}, {.content = "<a>", .id = 2}}, "x<a><a y"),
              ElementsAre(Found("x", -1), Found("<a>", 2), Found("<a", 1), Found(" y", -1)));
  EXPECT_THAT(Parts({}, "x"), ElementsAre(Found("x", -1)));
  EXPECT_THAT(Parts({{.content = "a", .id = 1}}, ""), IsEmpty());
}

TEST(AddedTokensTest, SpacesGoWithTheToken) {
  const AddedToken both{.content = "<m>", .id = 1, .lstrip = true, .rstrip = true};
  EXPECT_THAT(Parts({both}, "a \t<m>\u3000b"), ElementsAre(Found("a", -1), Found(" \t<m>\u3000", 1), Found("b", -1)));
  EXPECT_THAT(Parts({both}, "<m> <m>"), ElementsAre(Found("<m> ", 1), Found("<m>", 1)));
}

TEST(AddedTokensTest, SingleWordsStandAlone) {
  const AddedToken word{.content = "cat", .id = 1, .single_word = true};
  EXPECT_THAT(Parts({word}, "cat cats \u00e9cat-"),
              ElementsAre(Found("cat", 1), Found(" cats \u00e9cat-", -1)));
}

}  // namespace
}  // namespace nashswarm::tokenizer
