#include "core/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/tokenizer/gguf_vocabulary.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Files = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<std::unique_ptr<Tokenizer>> Open(const Files& files, const Json& config = Json::object()) {
  const auto dir = MakeTemporaryDirectory();
  for (const auto& [name, content] : files) WriteTestFile(dir.path() + "/" + name, content);
  return OpenTokenizer(dir.path(), config);
}

constexpr char kByteLevel[] = R"({
  "added_tokens": [{"id": 7, "content": "<|end|>", "special": true}, {"id": 8, "content": "<tool>", "special": false}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġa": 4, "Ã": 5, "©": 6},
            "merges": [["a", "b"], "Ġ a"]}})";

TEST(TokenizerTest, ByteLevel) {
  const auto tokenizer = Open({{"tokenizer.json", kByteLevel}});
  NS_ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  // " ab": "a b" ranks before "Ġ a".
  EXPECT_THAT(t.Encode("ab ab a<|end|>b<tool>\xc3\xa9"), ElementsAre(2, 3, 2, 4, 7, 1, 8, 5, 6));
  EXPECT_EQ(t.Decode({2, 3, 2, 4, 7, 1, 8, 5, 6, 99, -1}), "ab ab ab<tool>\xc3\xa9");
  EXPECT_EQ(t.size(), 9u);
  EXPECT_EQ(t.bos(), -1);
  EXPECT_EQ(t.eos(), -1);
  EXPECT_FALSE(t.add_bos());
  EXPECT_THAT(t.Encode(""), IsEmpty());
}

TEST(TokenizerTest, PiecesWithByteFallback) {
  const auto tokenizer = Open({{"tokenizer.json", R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
                     {"id": 9, "content": "<n>", "special": true, "normalized": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                   {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
              "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "a": 3, "b": 4, "▁": 5, "▁a": 6, "ab": 7, "▁ab": 8},
              "merges": ["▁ a", "a b", "▁a b"]}})"}});
  NS_ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_THAT(t.Encode("ab ab\nxyb"), ElementsAre(8, 8, 2, 0, 4));
  EXPECT_THAT(t.Encode("a<s>b"), ElementsAre(6, 1, 5, 4));  // every stretch is normalized by itself
  // A token with "normalized" is looked for in the normalized text, as "▁<n>".
  EXPECT_THAT(t.Encode("a <n>"), ElementsAre(6, 9));
  EXPECT_THAT(t.Encode("a<n>"), ElementsAre(6, 0));
  EXPECT_EQ(t.Decode({1, 8, 8, 2, 4}), "ab ab\nb");
  EXPECT_EQ(t.bos(), 1);
  EXPECT_TRUE(t.add_bos());
}

TEST(TokenizerTest, FilesBesideIt) {
  const auto tokenizer = Open({{"tokenizer.json", kByteLevel},
                               {"tokenizer_config.json", R"({"bos_token": {"content": "b"}, "add_bos_token": true,
                                 "added_tokens_decoder": {"9": {"content": "<new>", "special": false}}})"},
                               {"special_tokens_map.json", R"({"bos_token": "a", "eos_token": "<|end|>"})"}},
                              Json{{"bos_token_id", 3}, {"eos_token_id", Json::array({5, 6})}});
  NS_ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_EQ(t.bos(), 1);
  EXPECT_EQ(t.eos(), 7);
  EXPECT_TRUE(t.add_bos());
  EXPECT_EQ(t.size(), 10u);
  EXPECT_THAT(t.Encode("ab<new>"), ElementsAre(0, 1, 9));  // bos was made special, so no merge takes it
  EXPECT_EQ(t.Decode({0, 1, 9}), "a<new>");
}

TEST(TokenizerTest, ConfigNamesTheEndsWhenNothingElseDoes) {
  const auto tokenizer = Open({{"tokenizer.json", kByteLevel}}, Json{{"bos_token_id", 3}, {"eos_token_id", Json::array({5, 6})}});
  NS_ASSERT_OK(tokenizer.status());
  EXPECT_EQ((*tokenizer)->bos(), 3);
  EXPECT_EQ((*tokenizer)->eos(), 5);
  EXPECT_FALSE((*tokenizer)->add_bos());
}

TEST(TokenizerTest, VocabWithMerges) {
  const auto tokenizer = Open({{"vocab.json", R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3, "Ġ": 4})"},
                               {"merges.txt", "#version: 0.2\na b\r\n"}});
  NS_ASSERT_OK(tokenizer.status());
  EXPECT_THAT((*tokenizer)->Encode("ab<|endoftext|> b"), ElementsAre(2, 3, 4, 1));
}

TEST(TokenizerTest, ErrorsNameTheFile) {
  const auto error = [](const Files& files) { return Open(files).status(); };
  EXPECT_EQ(ReasonOf(error({})), "TOKENIZER_NOT_FOUND");
  EXPECT_EQ(error({}).code(), absl::StatusCode::kNotFound);
  const auto changed = [&](const char* from, const char* to) {
    std::string text = kByteLevel;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return error({{"tokenizer.json", text.replace(at, std::string(from).size(), to)}});
  };
  for (const auto& [from, to, says] : std::vector<std::array<const char*, 3>>{
           {"\"model\"", "\"modal\"", "has no model"},
           {"\"b\": 1", "\"b\": 0", "same id 0"},
           {"\"b\": 1", "\"b\": -1", "id -1"},
           {"\"b\": 1", "\"b\": 99999999999", "id 99999999999"},
           {"\"b\": 1", "\"b\": \"1\"", "no integer"},
           {"\"id\": 7", "\"id\": 1", "same id 1"},
           {"[\"a\", \"b\"]", "[\"a\"]", "merge 0"},
           {"[\"a\", \"b\"]", "\"ab\"", "merge 0"},
           {"[\"a\", \"b\"]", "[\"a\", \"z\"]", "'z'"},
           {"\"ByteLevel\", \"add_prefix_space\": false", "\"Split\", \"pattern\": {\"Regex\": \"[\"}", "regular expression"}}) {
    const absl::Status status = changed(from, to);
    EXPECT_EQ(ReasonOf(status), "TOKENIZER_INVALID") << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("tokenizer.json"), HasSubstr(says)));
    EXPECT_NE(HintOf(status), "");
  }
  EXPECT_EQ(ReasonOf(changed("\"BPE\"", "\"WordPiece\"")), "TOKENIZER_UNKNOWN");
  EXPECT_EQ(ReasonOf(error({{"tokenizer.json", "{"}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"tokenizer.json", "null"}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"tokenizer.json", std::string(1000, '[')}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"tokenizer.json", kByteLevel}, {"tokenizer_config.json", "{]"}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"vocab.json", R"({"a": 0})"}, {"merges.txt", "a\n"}})), "TOKENIZER_INVALID");
  EXPECT_EQ(ReasonOf(error({{"tokenizer.model", "version https://git-lfs.github.com/spec/v1\n"}})), "TOKENIZER_INVALID");
}

// Ids by tokenizers 0.23.3 (Tokenizer.from_file, add_special_tokens=False).
TEST(TokenizerTest, BundledCheckpoint) {
  const auto tokenizer = OpenTokenizer(TestData("gpt2-wiki-6m"), Json::object());
  NS_ASSERT_OK(tokenizer.status());
  const std::string text = "The 2nd café didn't\tcost €5,\r\n\n   it'LL be 😀\u200d中!<|endoftext|> x<|endoftext|>";
  EXPECT_THAT((*tokenizer)->Encode(text),
              ElementsAre(470, 358, 265, 276, 1979, 1217, 1831, 783, 9, 99, 510, 32, 1112, 53, 44, 13, 478, 32, 32, 356, 39, 76,
                          76, 359, 32, 240, 159, 152, 128, 429, 141, 228, 184, 173, 33, 4095, 32, 120, 4095));
  EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode(text)), "The 2nd café didn't\tcost €5,\r\n\n   it'LL be 😀\u200d中! x");
  EXPECT_EQ((*tokenizer)->bos(), 4095);
  EXPECT_EQ((*tokenizer)->size(), 4096u);
  EXPECT_FALSE((*tokenizer)->add_bos());
}

TEST(TokenizerTest, EveryByteComesBack) {
  const auto tokenizer = OpenTokenizer(TestData("gpt2-wiki-6m"), Json::object());
  NS_ASSERT_OK(tokenizer.status());
  std::string ascii;
  for (int c = 0; c < 128; ++c) ascii += static_cast<char>(c);
  EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode(ascii)), ascii);
  EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode("a\xff")), "a\xef\xbf\xbd");
}

std::string SharedModel(const std::string& name) { return TestData("../../../shared/models/" + name); }

// Ids by tokenizers 0.23.3.
TEST(TokenizerTest, TinyStories) {
  const std::string path = SharedModel("tinystories-656k-llama");
  if (!PathExists(path)) GTEST_SKIP() << path << " is not on this machine";
  const auto tokenizer = OpenTokenizer(path, Json::object());
  NS_ASSERT_OK(tokenizer.status());
  const auto ids = (*tokenizer)->Encode("Once upon  a time,\n<|end_story|> she said: \"café €!\" <|end_story|>");
  EXPECT_THAT(ids, ElementsAre(80, 147, 201, 189, 391, 104, 230, 57, 8, 3, 208, 183, 209, 210, 80, 242, 174, 1608, 5, 295, 58, 0,
                               80, 0, 4, 5, 2));
  EXPECT_EQ((*tokenizer)->bos(), 1);
  EXPECT_EQ((*tokenizer)->eos(), 2);
  EXPECT_TRUE((*tokenizer)->add_bos());
}

// Ids by sentencepiece 0.2.3; behind special tokens worked out from those.
TEST(TokenizerTest, Stories260K) {
  const std::string path = SharedModel("stories260K/hf");
  if (!PathExists(path)) GTEST_SKIP() << path << " is not on this machine";
  const auto tokenizer = OpenTokenizer(path, Json::object());
  NS_ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  const std::vector<int32_t> ids = {403, 407, 12, 412, 378, 432, 13, 419, 260, 336, 467, 313, 429, 412, 431, 485, 410, 503, 436};
  EXPECT_EQ(t.Encode(" Once  upon\ta time,\nshe said: \"café €\" "), ids);
  EXPECT_EQ(t.Decode(ids), "Once upon\ta time,\nshe said: \"café €\"");
  // "▁H", "i", then "▁there" with a space of its own and "you" without one.
  EXPECT_THAT(t.Encode("Hi<s> there</s>you"), ElementsAre(320, 417, 1, 383, 2, 422, 277));
  EXPECT_EQ(t.bos(), 1);
  EXPECT_TRUE(t.add_bos());
  EXPECT_EQ(t.size(), 512u);
}

}  // namespace
}  // namespace nashswarm::tokenizer
