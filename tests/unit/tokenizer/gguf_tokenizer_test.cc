#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/tokenizer/gguf_vocabulary.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::nashswarm::testing::TestData;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using checkpoint::GgufFile;

GgufFile FileOf(const Vocabulary& vocabulary) {
  GgufFile file;
  AppendMetadata(vocabulary, &file.metadata);
  return file;
}

std::vector<TokenType> Types(std::string_view letters) {
  std::vector<TokenType> out;
  for (const char c : letters) {
    out.push_back(c == 'c' ? TokenType::kControl : c == 'u' ? TokenType::kUserDefined : c == 'b' ? TokenType::kByte
                  : c == '?' ? TokenType::kUnknown : TokenType::kNormal);
  }
  return out;
}

Vocabulary Bytes() {
  Vocabulary v;
  v.model = "gpt2";
  v.pre = "gpt-2";
  v.tokens = {"a", "b", "1", "2", "ab", "12", "Ġ", "<c>", "<u>", "<c><u>", "aab"};
  v.types = Types("nnnnnnncuun");
  v.merges = {"a b", "1 2"};
  v.ends.eos = 7;
  return v;
}

std::vector<int32_t> Ids(const Vocabulary& vocabulary, std::string_view text) {
  const auto tokenizer = OpenTokenizer(FileOf(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? (*tokenizer)->Encode(text) : std::vector<int32_t>();
}

TEST(GgufTokenizerTest, ByteLevel) {
  EXPECT_THAT(Ids(Bytes(), "ab 12<c>a<u>"), ElementsAre(4, 6, 5, 7, 0, 8));
  EXPECT_THAT(Ids(Bytes(), "<c><u><c>"), ElementsAre(9, 7));  // the longest first
  const auto tokenizer = OpenTokenizer(FileOf(Bytes()));
  EXPECT_EQ((*tokenizer)->Decode({4, 6, 7, 8}), "ab <u>");  // control tokens are left out, the user's are text
  EXPECT_EQ((*tokenizer)->eos(), 7);
  EXPECT_EQ((*tokenizer)->bos(), -1);
  EXPECT_FALSE((*tokenizer)->add_bos());
}

TEST(GgufTokenizerTest, PreTokenizersByName) {
  Vocabulary v = Bytes();
  v.pre = "smollm";  // digits alone
  EXPECT_THAT(Ids(v, "12"), ElementsAre(2, 3));
  v.pre = "qwen2";
  EXPECT_THAT(Ids(v, "12"), ElementsAre(2, 3));
  v.pre = "llama-bpe";  // whole tokens before merges
  EXPECT_THAT(Ids(v, "12aab"), ElementsAre(5, 10));
  v.pre = "gpt-2";
  EXPECT_THAT(Ids(v, "12aab"), ElementsAre(5, 0, 4));
  v.pre = "telepathic";
  const absl::Status status = OpenTokenizer(FileOf(v)).status();
  EXPECT_EQ(ReasonOf(status), "TOKENIZER_UNKNOWN");
  EXPECT_THAT(std::string(status.message()), HasSubstr("telepathic"));
  EXPECT_THAT(HintOf(status), HasSubstr("llama-bpe"));
}

Vocabulary Pieces() {
  Vocabulary v;
  v.model = "llama";
  v.pre = "default";
  v.tokens = {"<unk>", "<s>", "</s>", "<0x0A>", "\u2581", "a", "b", "\u2581a", "ab", "\u2581ab", "<u>"};
  v.types = Types("?ccbnnnnnnu");
  v.scores = {0, 0, 0, 0, -9, -9, -9, -2, -1, -3, 0};
  v.ends.bos = 1;
  v.ends.eos = 2;
  v.ends.unknown = 0;
  v.ends.add_bos = true;
  v.add_space_prefix = true;
  return v;
}

TEST(GgufTokenizerTest, SentencePiece) {
  EXPECT_THAT(Ids(Pieces(), "ab a\nb"), ElementsAre(9, 7, 3, 6));
  EXPECT_THAT(Ids(Pieces(), "x"), ElementsAre(4, 0));
  // A space before the text and behind every special token.
  EXPECT_THAT(Ids(Pieces(), "a<s>a<u>b"), ElementsAre(7, 1, 7, 10, 4, 6));
  Vocabulary bare = Pieces();
  bare.add_space_prefix = false;
  EXPECT_THAT(Ids(bare, "ab a<s>a"), ElementsAre(8, 7, 1, 5));
  const auto tokenizer = OpenTokenizer(FileOf(Pieces()));
  EXPECT_EQ((*tokenizer)->Decode({1, 9, 7, 3, 6}), "ab a\nb");
  EXPECT_EQ((*tokenizer)->bos(), 1);
  EXPECT_EQ((*tokenizer)->eos(), 2);
  EXPECT_TRUE((*tokenizer)->add_bos());
}

TEST(GgufTokenizerTest, ControlLookingTokensAreControlTokens) {
  Vocabulary v = Bytes();
  v.tokens[8] = "<|im_end|>";
  v.types[8] = TokenType::kNormal;
  EXPECT_THAT(Ids(v, "a<|im_end|>"), ElementsAre(0, 8));
}

TEST(GgufTokenizerTest, BrokenMetadata) {
  const auto reason = [](const Vocabulary& v) { return ReasonOf(OpenTokenizer(FileOf(v)).status()); };
  EXPECT_EQ(ReasonOf(OpenTokenizer(GgufFile()).status()), "TOKENIZER_NOT_FOUND");
  Vocabulary v = Bytes();
  v.model = "rwkv";
  EXPECT_EQ(reason(v), "TOKENIZER_UNKNOWN");
  v = Bytes();
  v.tokens[1] = "a";
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");  // two ids for a token
  v = Bytes();
  v.merges = {"a z"};
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");
  v = Bytes();
  v.merges = {"ab"};
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");
  v = Bytes();
  v.types.resize(2);
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");
  v = Bytes();
  v.tokens[0] = "\xff";
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");
  v = Pieces();
  v.scores.resize(3);
  EXPECT_EQ(reason(v), "TOKENIZER_INVALID");
  v = Pieces();
  v.ends.bos = 1000;
  EXPECT_EQ((*OpenTokenizer(FileOf(v)))->bos(), 1);  // the format's default
}

TEST(GgufTokenizerTest, AsTheCheckpointItWasMadeFrom) {
  const auto directory = OpenDirectory(TestData("gpt2-wiki-6m"), Json::object());
  NS_ASSERT_OK(directory.status());
  const auto description = DescribeTokenizer(*directory);
  NS_ASSERT_OK(description.status());
  const auto vocabulary = MakeVocabulary(*description, *directory, 4096, {});
  NS_ASSERT_OK(vocabulary.status());
  const auto direct = OpenTokenizer(TestData("gpt2-wiki-6m"), Json::object());
  NS_ASSERT_OK(direct.status());
  const std::string text = "The 2nd café didn't\tcost €5,\r\n\n   it'LL be 😀\u200d中!<|endoftext|> x";
  EXPECT_EQ(Ids(*vocabulary, text), (*direct)->Encode(text));
}

}  // namespace
}  // namespace nashswarm::tokenizer
