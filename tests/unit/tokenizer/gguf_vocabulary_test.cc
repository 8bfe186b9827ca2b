#include "core/tokenizer/gguf_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <map>

#include "core/base/file.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::WriteTestFile;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kByteLevel[] = R"({
  "added_tokens": [{"id": 3, "content": "<|end|>", "special": true}, {"id": 4, "content": "<tool>", "special": false}],
  "pre_tokenizer": {"type": "ByteLevel", "use_regex": true}, "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})";

// BPE of SentencePiece's pieces, with a space before a text.
constexpr char kPieces[] = R"({
  "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                 {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
            "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "a": 3, "b": 4, "ab": 5, "ba": 6}, "merges": ["b a", "a b"]}})";

absl::StatusOr<Vocabulary> Read(const std::string& directory, const Json& config, uint64_t rows, bool allow_mismatch = false) {
  NS_ASSIGN_OR_RETURN(const Directory open, OpenDirectory(directory, config));
  NS_ASSIGN_OR_RETURN(const Description description, DescribeTokenizer(open));
  return MakeVocabulary(description, open, rows, {.allow_mismatch = allow_mismatch});
}

// The fields of a message of the wire format of protocol buffers, as tokenizer.model is one.
std::string Varint(uint64_t value) {
  std::string out;
  for (; value > 127; value >>= 7) out.push_back(static_cast<char>((value & 127) | 128));
  return out + static_cast<char>(value);
}
std::string Bytes(int field, const std::string& bytes) { return Varint(field << 3 | 2) + Varint(bytes.size()) + bytes; }
std::string Number(int field, uint64_t value) { return Varint(field << 3) + Varint(value); }

struct TestPiece {
  std::string text;
  float score;
  int kind;
};

std::string SentencePieceModel(const std::vector<TestPiece>& pieces, int model = 2) {
  std::string out;
  for (const TestPiece& piece : pieces) {
    std::string score(4, '\0');
    std::memcpy(score.data(), &piece.score, 4);
    out += Bytes(1, Bytes(1, piece.text) + Varint(2 << 3 | 5) + score + Number(3, piece.kind));
  }
  const std::string trainer = Number(3, model) + Number(4, pieces.size()) + Number(35, 1);
  const std::string normalizer = Bytes(1, "identity") + Number(3, 1) + Number(4, 0) + Number(5, 1);
  return out + Bytes(2, trainer) + Bytes(3, normalizer);
}

// <unk> <s> </s>, the bytes, "▁", "a", "b", then `more`.
std::vector<TestPiece> PiecesWith(const std::vector<TestPiece>& more) {
  std::vector<TestPiece> pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  for (int b = 0; b < 256; ++b) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", b);
    pieces.push_back({text, 0, 6});
  }
  pieces.insert(pieces.end(), {{"▁", -1, 1}, {"a", -2, 1}, {"b", -3, 1}});
  pieces.insert(pieces.end(), more.begin(), more.end());
  return pieces;
}

TEST(GgufVocabularyTest, ByteLevelBpe) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  WriteTestFile(dir.path() + "/tokenizer_config.json", R"({"eos_token": {"content": "<|end|>"}, "chat_template": "{{x}}"})");
  const auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->pre, "gpt-2");
  EXPECT_THAT(vocabulary->tokens, ElementsAre("a", "b", "ab", "<|end|>", "<tool>", "[PAD5]"));
  EXPECT_THAT(vocabulary->types, ElementsAre(TokenType::kNormal, TokenType::kNormal, TokenType::kNormal, TokenType::kControl,
                                             TokenType::kUserDefined, TokenType::kUnused));
  EXPECT_THAT(vocabulary->merges, ElementsAre("a b"));
  EXPECT_EQ(vocabulary->ends.eos, 3);
  EXPECT_EQ(vocabulary->ends.bos, -1);
  ASSERT_EQ(vocabulary->templates.size(), 1u);
  EXPECT_EQ(vocabulary->templates[0].text, "{{x}}");
}

TEST(GgufVocabularyTest, AnUnknownPatternIsRefusedUnlessItIsAllowedToDiffer) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", "something else"}}}, {"behavior", "Isolated"}},
                                              {{"type", "ByteLevel"}, {"use_regex", false}}}}};
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  const auto refused = Read(dir.path(), Json::object(), 6);
  EXPECT_EQ(ReasonOf(refused.status()), "PRE_TOKENIZER_UNKNOWN");
  EXPECT_THAT(HintOf(refused.status()), HasSubstr("--allow-tokenizer-mismatch"));
  const auto allowed = Read(dir.path(), Json::object(), 6, /*allow_mismatch=*/true);
  NS_ASSERT_OK(allowed.status());
  EXPECT_EQ(allowed->pre, "default");
  EXPECT_TRUE(allowed->differs_anywhere);
  EXPECT_THAT(allowed->warnings, Contains(HasSubstr("something else")));
}

TEST(GgufVocabularyTest, TokensThatOnlyAddedTokensJsonKnows) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  WriteTestFile(dir.path() + "/merges.txt", "#version: 0.2\na b\r\n");
  WriteTestFile(dir.path() + "/added_tokens.json", R"({"<|im_end|>": 3, "<think>": 4})");
  const auto vocabulary = Read(dir.path(), Json{{"eos_token_id", 3}, {"bos_token_id", Json::array({3, 1})}}, 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->merges, ElementsAre("a b"));
  EXPECT_THAT(vocabulary->tokens, ElementsAre("a", "b", "ab", "<|im_end|>", "<think>", "[PAD5]"));
  EXPECT_EQ(vocabulary->types[3], TokenType::kControl);
  EXPECT_EQ(vocabulary->types[4], TokenType::kUserDefined);
  EXPECT_EQ(vocabulary->ends.eos, 3);
  EXPECT_EQ(vocabulary->ends.bos, 3);
}

TEST(GgufVocabularyTest, QwenByVocabJsonIsCutAsQwen) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  WriteTestFile(dir.path() + "/merges.txt", "a b\n");
  WriteTestFile(dir.path() + "/tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>",
    "added_tokens_decoder": {"3": {"content": "<|im_end|>", "special": true}}})");
  const auto vocabulary = Read(dir.path(), Json::object(), 4);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->pre, "qwen2");
  EXPECT_EQ(vocabulary->types[3], TokenType::kControl);
  EXPECT_EQ(vocabulary->ends.eos, 3);
  EXPECT_EQ(JsonString(vocabulary->unsaid_normalizer["normalizers"][0], "type"), "NFC");
}

TEST(GgufVocabularyTest, KindsOfSentencePiecePiecesAndAddedTokens) {
  const auto dir = MakeTemporaryDirectory();
  const std::vector<TestPiece> pieces = PiecesWith({{"<start_of_turn>", 0, 4}, {"<b>", 0, 4}, {"▁▁", 0, 4}, {"[INST]", 0, 3}, {"<old>", 0, 5}});
  const auto n = static_cast<int>(pieces.size());
  WriteTestFile(dir.path() + "/tokenizer.model", SentencePieceModel(pieces));
  WriteTestFile(dir.path() + "/tokenizer_config.json",
                absl::StrCat(R"({"added_tokens_decoder": {")", n - 5, R"(": {"content": "<start_of_turn>", "special": true}}})"));
  WriteTestFile(dir.path() + "/added_tokens.json", absl::StrCat(R"({"<|im_start|>": )", n, "}"));
  const auto vocabulary = Read(dir.path(), Json::object(), n + 1);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "llama");
  const auto type = [&](int id) { return vocabulary->types[id]; };
  EXPECT_EQ(type(0), TokenType::kUnknown);
  EXPECT_EQ(type(1), TokenType::kControl);
  EXPECT_EQ(type(3), TokenType::kByte);
  EXPECT_EQ(type(n - 6), TokenType::kNormal);
  EXPECT_EQ(type(n - 5), TokenType::kControl);      // user-defined in the model, special by added_tokens_decoder
  EXPECT_EQ(type(n - 4), TokenType::kUserDefined);
  EXPECT_EQ(type(n - 3), TokenType::kUserDefined);
  EXPECT_EQ(vocabulary->tokens[n - 3], "  ");       // llama.cpp looks for it in the text itself
  EXPECT_EQ(type(n - 2), TokenType::kControl);
  EXPECT_EQ(type(n - 1), TokenType::kUnused);
  EXPECT_EQ(vocabulary->tokens[n], "<|im_start|>");
  EXPECT_EQ(type(n), TokenType::kControl);
  EXPECT_EQ(vocabulary->ends.bos, 1);
  EXPECT_EQ(vocabulary->ends.eos, 2);
  EXPECT_TRUE(vocabulary->add_space_prefix);
}

// Written back from a GGUF by others: the model's texts have marks in place of spaces, so such a piece never occurs in one.
TEST(GgufVocabularyTest, APieceWithASpaceInItIsNotLookedForInATextByLlamaEither) {
  const auto dir = MakeTemporaryDirectory();
  const std::vector<TestPiece> pieces = PiecesWith({{"  ", 0, 4}});
  WriteTestFile(dir.path() + "/tokenizer.model", SentencePieceModel(pieces));
  const auto vocabulary = Read(dir.path(), Json::object(), pieces.size());
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->types.back(), TokenType::kNormal);
  const auto own = OpenTokenizer(dir.path(), Json::object());
  NS_ASSERT_OK(own.status());
  checkpoint::GgufFile file;
  AppendMetadata(*vocabulary, &file.metadata);
  const auto gguf = OpenTokenizer(file);
  NS_ASSERT_OK(gguf.status());
  EXPECT_EQ((*gguf)->Encode("a  b"), (*own)->Encode("a  b"));
}

TEST(GgufVocabularyTest, ASentencePieceModelThatIsNoBpeIsRefused) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.model", SentencePieceModel(PiecesWith({}), /*model=*/1));
  const auto refused = Read(dir.path(), Json::object(), 300);
  EXPECT_EQ(ReasonOf(refused.status()), "TOKENIZER_UNKNOWN");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("unigram"));
  EXPECT_TRUE(Read(dir.path(), Json::object(), 300, /*allow_mismatch=*/true).ok());
}

TEST(GgufVocabularyTest, ATiktokenFileBesideTokenizerJsonIsNotLookedAt) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.model", "IQ== 0\nIg== 1\nIw== 2\n");
  EXPECT_THAT(std::string(Read(dir.path(), Json::object(), 6).status().message()), HasSubstr("tiktoken"));
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  NS_EXPECT_OK(Read(dir.path(), Json::object(), 6).status());
}

TEST(GgufVocabularyTest, AddedTokensOfTokenizerJsonReachASentencePieceModel) {
  const auto dir = MakeTemporaryDirectory();
  const std::vector<TestPiece> pieces = PiecesWith({{"<unused0>", 0, 4}});
  const auto n = static_cast<int>(pieces.size());
  WriteTestFile(dir.path() + "/tokenizer.model", SentencePieceModel(pieces));
  // Its model is not read here, its added tokens are; one takes the place of a piece, as fine-tuned models do it.
  WriteTestFile(dir.path() + "/tokenizer.json",
                absl::StrCat(R"({"model": {"type": "Unigram", "vocab": []}, "added_tokens": [{"id": )", n - 1,
                             R"(, "content": "<tool_call>", "special": false}, {"id": )", n, R"(, "content": "<|eot|>", "special": true}]})"));
  const auto vocabulary = Read(dir.path(), Json::object(), n + 1);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->tokens[n - 1], "<tool_call>");
  EXPECT_EQ(vocabulary->types[n - 1], TokenType::kUserDefined);
  EXPECT_EQ(vocabulary->tokens[n], "<|eot|>");
  EXPECT_EQ(vocabulary->types[n], TokenType::kControl);
}

TEST(GgufVocabularyTest, ATokenizerJsonWithAPartThatIsNotReadGivesWayToTokenizerModel) {
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder"}) {
    const auto dir = MakeTemporaryDirectory();
    Json json = Json::parse(kPieces);
    json[part] = {{"type", "Precompiled"}};
    WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
    EXPECT_EQ(ReasonOf(OpenTokenizer(dir.path(), Json::object()).status()), "TOKENIZER_UNKNOWN") << part;
    const std::vector<TestPiece> pieces = PiecesWith({});
    WriteTestFile(dir.path() + "/tokenizer.model", SentencePieceModel(pieces));
    NS_EXPECT_OK(OpenTokenizer(dir.path(), Json::object()).status());
    const auto vocabulary = Read(dir.path(), Json::object(), pieces.size());
    NS_ASSERT_OK(vocabulary.status());
    EXPECT_EQ(vocabulary->tokens.back(), "b") << part;  // of tokenizer.model
  }
}

TEST(GgufVocabularyTest, PiecesWithMergesGetScoresInMergeOrder) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kPieces);
  WriteTestFile(dir.path() + "/special_tokens_map.json", R"({"bos_token": "<s>"})");
  const auto vocabulary = Read(dir.path(), Json::object(), 7);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "llama");
  EXPECT_TRUE(vocabulary->add_space_prefix);
  EXPECT_TRUE(vocabulary->ends.add_bos);
  EXPECT_EQ(vocabulary->ends.unknown, 0);
  EXPECT_EQ(vocabulary->types[0], TokenType::kUnknown);
  EXPECT_EQ(vocabulary->types[1], TokenType::kControl);
  EXPECT_EQ(vocabulary->types[2], TokenType::kByte);
  EXPECT_GT(vocabulary->scores[6], vocabulary->scores[5]);  // "b a" merges first
  EXPECT_GT(vocabulary->scores[5], vocabulary->scores[3]);  // letters last
  EXPECT_TRUE(vocabulary->merges.empty());
  EXPECT_TRUE(vocabulary->unsaid_normalizer.is_null());
}

TEST(GgufVocabularyTest, ANormalizerThatGgufCannotSayIsTold) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["normalizer"] = {{"type", "Lowercase"}};
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  const auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->warnings, Contains(HasSubstr("Lowercase")));
  EXPECT_FALSE(vocabulary->differs_anywhere);  // texts in lower case must agree
}

TEST(GgufVocabularyTest, ASpaceBeforeATextOfBytesIsTold) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["pre_tokenizer"]["add_prefix_space"] = true;
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  const auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->warnings, Contains(HasSubstr("a space before every text")));
}

TEST(GgufVocabularyTest, AnAddedTokenBeyondTheRowsIsLeftOut) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  const auto vocabulary = Read(dir.path(), Json::object(), 4);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->tokens, ElementsAre("a", "b", "ab", "<|end|>"));
  EXPECT_THAT(vocabulary->warnings, Contains(HasSubstr("<tool> (4)")));
  // A text could produce this one.
  EXPECT_EQ(ReasonOf(Read(dir.path(), Json::object(), 2).status()), "VOCABULARY_TOO_LARGE");
}

TEST(GgufVocabularyTest, EveryEndTokenIsNamed) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["added_tokens"] = Json::array();
  const std::vector<std::string> names = {"<eos>", "<end_of_turn>", "<|eom_id|>", "<stop>", "<halt>", "<|fim_prefix|>"};
  for (size_t i = 0; i < names.size(); ++i) json["added_tokens"].push_back({{"id", 3 + i}, {"content", names[i]}, {"special", true}});
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  WriteTestFile(dir.path() + "/tokenizer_config.json", R"({"eos_token": "<eos>"})");
  WriteTestFile(dir.path() + "/generation_config.json", R"({"eos_token_id": [3, 4]})");
  auto vocabulary = Read(dir.path(), Json{{"eos_token_id", 3}}, 9);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->ends.eos, 3);
  EXPECT_THAT(vocabulary->roles, ElementsAre(Pair("eot", 4), Pair("fim_pre", 8)));
  EXPECT_THAT(vocabulary->warnings, IsEmpty());

  WriteTestFile(dir.path() + "/generation_config.json", R"({"eos_token_id": [3, 6, 5, 4, 7]})");
  vocabulary = Read(dir.path(), Json::object(), 9);
  NS_ASSERT_OK(vocabulary.status());
  // llama.cpp has three places: <stop> and <halt> it would not know by their text, and there is none for them.
  EXPECT_THAT(vocabulary->roles, ElementsAre(Pair("eom", 5), Pair("eot", 4), Pair("fim_pre", 8)));
  EXPECT_THAT(vocabulary->warnings, Contains(HasSubstr("<stop> (6)")));
}

TEST(GgufVocabularyTest, ChatTemplatesByName) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  WriteTestFile(dir.path() + "/tokenizer_config.json", R"({"eos_token": "<|end|>", "chat_template":
    [{"name": "tool-use", "template": "{{tools}}"}, {"name": "default", "template": "{{x}}"}]})");
  auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  std::vector<checkpoint::GgufMetadata> metadata;
  AppendMetadata(*vocabulary, &metadata);
  std::map<std::string, checkpoint::GgufValue> values;
  for (const auto& entry : metadata) values.emplace(entry.key, entry.value);
  EXPECT_EQ(std::get<std::string>(values.at("tokenizer.chat_template").data), "{{x}}");
  EXPECT_EQ(std::get<std::string>(values.at("tokenizer.chat_template.tool_use").data), "{{tools}}");
  EXPECT_THAT(std::get<std::vector<std::string>>(values.at("tokenizer.chat_templates").data), ElementsAre("tool_use"));

  // The files of their own come first, as in transformers.
  WriteTestFile(dir.path() + "/chat_template.jinja", "{{file}}");
  NS_ASSERT_OK(MakeDirectories(dir.path() + "/additional_chat_templates"));
  WriteTestFile(dir.path() + "/additional_chat_templates/rag.jinja", "{{rag}}");
  vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  ASSERT_EQ(vocabulary->templates.size(), 2u);
  EXPECT_EQ(vocabulary->templates[0].text, "{{file}}");
  EXPECT_EQ(vocabulary->templates[1].name, "rag");
}

TEST(GgufVocabularyTest, ChatTemplatesOfOneNameAreOneKey) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/tokenizer.json", kByteLevel);
  NS_ASSERT_OK(MakeDirectories(dir.path() + "/additional_chat_templates"));
  WriteTestFile(dir.path() + "/chat_template.jinja", "{{file}}");
  WriteTestFile(dir.path() + "/additional_chat_templates/default.jinja", "{{default}}");
  WriteTestFile(dir.path() + "/additional_chat_templates/rag-v1.jinja", "{{dash}}");
  WriteTestFile(dir.path() + "/additional_chat_templates/rag_v1.jinja", "{{line}}");
  const auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_THAT(vocabulary->warnings, Contains(HasSubstr("'rag-v1', 'rag_v1'")));
  std::vector<checkpoint::GgufMetadata> metadata;
  AppendMetadata(*vocabulary, &metadata);
  std::map<std::string, checkpoint::GgufValue> values;
  for (const auto& entry : metadata) EXPECT_TRUE(values.emplace(entry.key, entry.value).second) << entry.key;
  EXPECT_EQ(std::get<std::string>(values.at("tokenizer.chat_template").data), "{{default}}");  // as transformers takes it
  EXPECT_EQ(std::get<std::string>(values.at("tokenizer.chat_template.rag_v1").data), "{{dash}}");
  EXPECT_THAT(std::get<std::vector<std::string>>(values.at("tokenizer.chat_templates").data), ElementsAre("rag_v1"));

  // A list in tokenizer_config.json, too.
  const auto list = MakeTemporaryDirectory();
  WriteTestFile(list.path() + "/tokenizer.json", kByteLevel);
  WriteTestFile(list.path() + "/tokenizer_config.json", R"({"chat_template":
    [{"name": "default", "template": "{{a}}"}, {"name": "default", "template": "{{b}}"}]})");
  const auto listed = Read(list.path(), Json::object(), 6);
  NS_ASSERT_OK(listed.status());
  ASSERT_EQ(listed->templates.size(), 1u);
  EXPECT_EQ(listed->templates[0].text, "{{b}}");
}

TEST(GgufVocabularyTest, ATokenizerWithoutMergesIsRead) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["model"]["merges"] = Json::array();
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  const auto vocabulary = Read(dir.path(), Json::object(), 6);
  NS_ASSERT_OK(vocabulary.status());
  checkpoint::GgufFile file;
  AppendMetadata(*vocabulary, &file.metadata);
  NS_EXPECT_OK(OpenTokenizer(file).status());
}

TEST(GgufVocabularyTest, NoTwoTokensHaveOneText) {
  const auto dir = MakeTemporaryDirectory();
  Json json = Json::parse(kByteLevel);
  json["model"]["vocab"]["[PAD5]"] = 6;
  WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
  const auto vocabulary = Read(dir.path(), Json::object(), 7);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->tokens[6], "[PAD5]");
  EXPECT_NE(vocabulary->tokens[5], "[PAD5]");
}

// What takes a moment when every token is looked up, and minutes when all are gone through for each.
class ManyAddedTokensTest : public ::testing::Test {
 protected:
  static constexpr int kMany = 200'000;
  // Of the processor's time: whatever else the machine does.
  ~ManyAddedTokensTest() override { EXPECT_LT(static_cast<double>(std::clock() - begin_) / CLOCKS_PER_SEC, 40); }
  const TemporaryDirectory dir_ = MakeTemporaryDirectory();
  const std::clock_t begin_ = std::clock();
};

TEST_F(ManyAddedTokensTest, OfABpe) {
  Json json = Json::parse(kByteLevel), config;
  json["model"]["ignore_merges"] = true;  // so that tokens that no merge makes are counted, of which added ones are none
  for (int i = 3; i < kMany; ++i) json["model"]["vocab"][absl::StrCat("w", i)] = i;
  json["added_tokens"] = Json::array();
  for (int i = 0; i < kMany; ++i) config["added_tokens_decoder"][absl::StrCat(kMany + i)] = {{"content", absl::StrCat("<|", i, "|>")}, {"special", true}};
  WriteTestFile(dir_.path() + "/tokenizer.json", json.dump());
  WriteTestFile(dir_.path() + "/tokenizer_config.json", config.dump());
  const auto vocabulary = Read(dir_.path(), Json::object(), 2 * kMany);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->tokens.back(), absl::StrCat("<|", kMany - 1, "|>"));
  EXPECT_EQ(vocabulary->types.back(), TokenType::kControl);
}

TEST_F(ManyAddedTokensTest, OfASentencePieceModel) {
  std::vector<TestPiece> more;
  for (int i = 0; i < kMany; ++i) more.push_back({absl::StrCat("<c", i, ">"), 0, 3});
  const std::vector<TestPiece> pieces = PiecesWith(more);
  Json added;
  for (int i = 0; i < kMany; ++i) added[absl::StrCat("<|", i, "|>")] = pieces.size() + i;
  WriteTestFile(dir_.path() + "/tokenizer.model", SentencePieceModel(pieces));
  WriteTestFile(dir_.path() + "/added_tokens.json", added.dump());
  const auto vocabulary = Read(dir_.path(), Json::object(), pieces.size() + kMany);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->types[pieces.size() - 1], TokenType::kControl);
  EXPECT_EQ(vocabulary->tokens.back(), absl::StrCat("<|", kMany - 1, "|>"));
}

TEST(GgufVocabularyTest, ErrorsNameTheTrouble) {
  const auto dir = MakeTemporaryDirectory();
  EXPECT_EQ(ReasonOf(Read(dir.path(), Json::object(), 6).status()), "TOKENIZER_NOT_FOUND");
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})");
  EXPECT_EQ(ReasonOf(Read(dir.path(), Json::object(), 6).status()), "TOKENIZER_UNKNOWN");
  WriteTestFile(dir.path() + "/tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": "x"}}})");
  EXPECT_EQ(ReasonOf(Read(dir.path(), Json::object(), 6).status()), "TOKENIZER_INVALID");
}

TEST(GgufVocabularyTest, BundledCheckpoint) {
  const auto vocabulary = Read(TestData("gpt2-wiki-6m"), Json::object(), 4096);
  NS_ASSERT_OK(vocabulary.status());
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->tokens[4095], "<|endoftext|>");
  EXPECT_EQ(vocabulary->types[4095], TokenType::kControl);
  EXPECT_EQ(vocabulary->ends.eos, 4095);
  EXPECT_GT(vocabulary->merges.size(), 3000u);
  EXPECT_THAT(vocabulary->warnings, IsEmpty());
}

}  // namespace
}  // namespace nashswarm::tokenizer
