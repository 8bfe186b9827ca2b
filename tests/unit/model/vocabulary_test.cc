#include "core/model/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::model {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;

constexpr char kByteLevel[] = R"({
  "added_tokens": [{"id": 3, "content": "<|end|>", "special": true}, {"id": 4, "content": "<tool>", "special": false}],
  "pre_tokenizer": {"type": "ByteLevel", "use_regex": true}, "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})";

TEST(VocabularyTest, ByteLevelBpe) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  WriteTestFile(dir.path() + "/tokenizer_config.json", R"({"eos_token": {"content": "<|end|>"}, "chat_template": "{{x}}"})");
  const auto vocabulary = ReadVocabulary(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->pre, "gpt-2");
  EXPECT_THAT(vocabulary->tokens, ElementsAre("a", "b", "ab", "<|end|>", "<tool>", "[PAD5]"));
  EXPECT_THAT(vocabulary->types, ElementsAre(TokenType::kNormal, TokenType::kNormal, TokenType::kNormal, TokenType::kControl,
                                             TokenType::kUserDefined, TokenType::kUnused));
  EXPECT_THAT(vocabulary->merges, ElementsAre("a b"));
  EXPECT_EQ(vocabulary->eos, 3);
  EXPECT_EQ(vocabulary->bos, -1);
  EXPECT_EQ(vocabulary->chat_template, "{{x}}");
}

TEST(VocabularyTest, PreTokenizersByTheirPattern) {
  const auto pre_of = [](const std::string& pattern) {
    const auto dir = MakeTemporaryDirectory();
    Json json = Json::parse(kByteLevel);
    json["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}}, {{"type", "ByteLevel"}}}}};
    WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
    const auto vocabulary = ReadVocabulary(dir.path(), Json::object(), 6);
    EXPECT_TRUE(vocabulary.ok());
    EXPECT_EQ(vocabulary->warnings.empty(), vocabulary->pre != "default");
    return vocabulary->pre;
  };
  const std::string tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  EXPECT_EQ(pre_of(head + R"(\p{N}{1,3})" + tail), "llama-bpe");
  EXPECT_EQ(pre_of(head + R"(\p{N})" + tail), "qwen2");
  EXPECT_EQ(pre_of("something else"), "default");
}

TEST(VocabularyTest, VocabJsonWithMergesTxt) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/vocab.json", R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})");
  WriteTestFile(dir.path() + "/merges.txt", "#version: 0.2\na b\r\n");
  const auto vocabulary = ReadVocabulary(dir.path(), Json{{"eos_token_id", 3}, {"bos_token_id", Json::array({3, 1})}}, 4);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->merges, ElementsAre("a b"));
  EXPECT_EQ(vocabulary->types[3], TokenType::kControl);
  EXPECT_EQ(vocabulary->eos, 3);
  EXPECT_EQ(vocabulary->bos, 3);
}

TEST(VocabularyTest, PiecesWithMergesGetScoresInMergeOrder) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}]},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
              "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "a": 3, "b": 4, "ab": 5, "ba": 6}, "merges": ["b a", "a b"]}})");
  WriteTestFile(dir.path() + "/special_tokens_map.json", R"({"bos_token": "<s>"})");
  const auto vocabulary = ReadVocabulary(dir.path(), Json::object(), 7);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "llama");
  EXPECT_TRUE(vocabulary->add_space_prefix);
  EXPECT_TRUE(vocabulary->add_bos);
  EXPECT_EQ(vocabulary->unknown, 0);
  EXPECT_EQ(vocabulary->types[0], TokenType::kUnknown);
  EXPECT_EQ(vocabulary->types[1], TokenType::kControl);
  EXPECT_EQ(vocabulary->types[2], TokenType::kByte);
  EXPECT_GT(vocabulary->scores[6], vocabulary->scores[5]);  // "b a" merges first
  EXPECT_GT(vocabulary->scores[5], vocabulary->scores[3]);  // letters last
  EXPECT_TRUE(vocabulary->merges.empty());
}

TEST(VocabularyTest, ErrorsNameTheTrouble) {
  const auto dir = MakeTemporaryDirectory();
  EXPECT_EQ(ReasonOf(ReadVocabulary(dir.path(), Json::object(), 6).status()), "TOKENIZER_NOT_FOUND");
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  EXPECT_EQ(ReasonOf(ReadVocabulary(dir.path(), Json::object(), 4).status()), "VOCABULARY_TOO_LARGE");
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})");
  EXPECT_EQ(ReasonOf(ReadVocabulary(dir.path(), Json::object(), 6).status()), "TOKENIZER_UNKNOWN");
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": "x"}}})");
  EXPECT_EQ(ReasonOf(ReadVocabulary(dir.path(), Json::object(), 6).status()), "TOKENIZER_INVALID");
  WriteTestFile(dir.path() + "/tokenizer.model", "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_EQ(ReasonOf(ReadVocabulary(dir.path(), Json::object(), 6).status()), "TOKENIZER_INVALID");
}

TEST(VocabularyTest, BundledCheckpoint) {
  const auto vocabulary = ReadVocabulary(TestData("gpt2-wiki-6m"), Json::object(), 4096);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->tokens[4095], "<|endoftext|>");
  EXPECT_EQ(vocabulary->types[4095], TokenType::kControl);
  EXPECT_EQ(vocabulary->eos, 4095);
  EXPECT_GT(vocabulary->merges.size(), 3000u);
}

}  // namespace
}  // namespace nashswarm::model
