#include "core/tokenizer/text.h"

#include <gtest/gtest.h>

namespace nashswarm::tokenizer {
namespace {

const std::string kBad = "\xef\xbf\xbd";

TEST(TextTest, EveryMaximalInvalidPartBecomesOneReplacement) {
  // Expected by The Unicode Standard, table 3-8 and its neighbours.
  EXPECT_EQ(ReplaceInvalidUtf8("\xff"), kBad);
  EXPECT_EQ(ReplaceInvalidUtf8("a\xc3"), "a" + kBad);
  EXPECT_EQ(ReplaceInvalidUtf8("\xc0\xaf\xc1"), kBad + kBad + kBad);
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x82("), kBad + "(");
  EXPECT_EQ(ReplaceInvalidUtf8("\xf0\x9f\x98 x"), kBad + " x");
  EXPECT_EQ(ReplaceInvalidUtf8("\xed\xa0\x80"), kBad + kBad + kBad);  // a surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xf4\x90\x80\x80"), kBad + kBad + kBad + kBad);  // behind U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xe0\x80\x80"), kBad + kBad + kBad);  // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("caf\xc3\xa9 \xf0\x9f\x98\x80"), "caf\xc3\xa9 \xf0\x9f\x98\x80");
}

TEST(TextTest, ValidPrefixEndsWhereTheFirstFaultIs) {
  EXPECT_EQ(ValidUtf8Prefix("0123456789abcdef\xff"), 16u);
  EXPECT_EQ(ValidUtf8Prefix("1234567\xe2\x82\xac"), 10u);
  EXPECT_EQ(ValidUtf8Prefix("1234567\xe2\x82"), 7u);
}

TEST(TextTest, ByteAlphabetIsGpt2s) {
  EXPECT_EQ(ByteAlphabet()['A'], "A");
  EXPECT_EQ(ByteAlphabet()[' '], "\u0120");
  EXPECT_EQ(ByteAlphabet()['\n'], "\u010a");
  EXPECT_EQ(ByteAlphabet()[0], "\u0100");
  EXPECT_EQ(ByteAlphabet()[0x7f], "\u0121");
  EXPECT_EQ(ByteAlphabet()[0xad], "\u0143");  // the soft hyphen, the last of the 68
  EXPECT_EQ(ByteAlphabet()[0xff], "\u00ff");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string raw(1, static_cast<char>(byte));
    EXPECT_EQ(FromByteAlphabet(ToByteAlphabet(raw)), raw);
  }
  EXPECT_EQ(FromByteAlphabet("a b"), std::nullopt);
}

TEST(TextTest, CharactersComeApartAndTogether) {
  for (const uint32_t c : {0x00u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string text = "x";
    AppendChar(c, &text);
    EXPECT_EQ(LastChar(text), c);
    EXPECT_EQ(LastCharLength(text), text.size() - 1);
    size_t position = 1;
    EXPECT_EQ(NextChar(text, &position), c);
    EXPECT_EQ(position, text.size());
  }
}

TEST(TextTest, ByteTokens) {
  EXPECT_EQ(ByteOfToken("<0x0A>"), 10);
  EXPECT_EQ(ByteOfToken("<0xFF>"), 255);
  EXPECT_EQ(ByteOfToken("<0xfg>"), -1);
  EXPECT_EQ(ByteOfToken("<0x0A"), -1);
  EXPECT_EQ(TokenOfByte(0xa7), "<0xA7>");
}

TEST(TextTest, WordsAndSpaces) {
  for (const uint32_t c : {0x41u, 0x5fu, 0x30u, 0xe9u, 0x4e2du, 0x301u, 0x24b6u, 0x200du}) EXPECT_TRUE(IsWordCharacter(c)) << c;
  for (const uint32_t c : {0x20u, 0x2du, 0xbdu, 0x1f600u}) EXPECT_FALSE(IsWordCharacter(c)) << c;
  for (const uint32_t c : {0x20u, 0x09u, 0x85u, 0xa0u, 0x2028u, 0x3000u}) EXPECT_TRUE(IsWhiteSpace(c)) << c;
  for (const uint32_t c : {0x180eu, 0x200bu, 0x1cu, 0x41u}) EXPECT_FALSE(IsWhiteSpace(c)) << c;
}

}  // namespace
}  // namespace nashswarm::tokenizer
