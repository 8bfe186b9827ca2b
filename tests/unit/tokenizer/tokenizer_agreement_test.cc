#include "core/tokenizer/tokenizer_agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TokenizerAgreementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto directory = OpenDirectory(testing::TestData("gpt2-wiki-6m"), Json::object());
    NS_ASSERT_OK(directory.status());
    auto description = DescribeTokenizer(*directory);
    NS_ASSERT_OK(description.status());
    description_ = *std::move(description);
    auto vocabulary = MakeVocabulary(description_, *directory, 4096, {});
    NS_ASSERT_OK(vocabulary.status());
    vocabulary_ = *std::move(vocabulary);
  }

  absl::Status Check(const Vocabulary& written, std::string_view text = "", bool allow_mismatch = false) {
    checkpoint::GgufFile file;
    AppendMetadata(written, &file.metadata);
    NS_ASSIGN_OR_RETURN(const auto own, MakeTokenizer(description_));
    NS_ASSIGN_OR_RETURN(const auto gguf, OpenTokenizer(file));
    warnings_.clear();
    return CheckAgreement(description_, *own, *gguf, written, text, allow_mismatch, &warnings_);
  }

  Description description_;
  Vocabulary vocabulary_;
  std::vector<std::string> warnings_;
};

TEST_F(TokenizerAgreementTest, WhatWasWrittenAgrees) {
  NS_EXPECT_OK(Check(vocabulary_, "Any text,\n with 12345 digits <|endoftext|> in it.\n"));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(TokenizerAgreementTest, AnotherPreTokenizerIsAnError) {
  vocabulary_.pre = "qwen2";
  const absl::Status status = Check(vocabulary_);
  EXPECT_EQ(ReasonOf(status), "TOKENIZER_MISMATCH");
  EXPECT_THAT(HintOf(status), HasSubstr("--allow-tokenizer-mismatch"));
  NS_EXPECT_OK(Check(vocabulary_, "", /*allow_mismatch=*/true));
  EXPECT_THAT(warnings_, Contains(HasSubstr("otherwise than the model's tokenizer")));
}

TEST_F(TokenizerAgreementTest, ASpecialTokenThatIsTextIsAnError) {
  vocabulary_.types[4095] = TokenType::kNormal;
  vocabulary_.tokens[4095] = "<|was_special|>";  // llama.cpp would know <|endoftext|> by its text
  EXPECT_EQ(ReasonOf(Check(vocabulary_)), "TOKENIZER_MISMATCH");
}

TEST_F(TokenizerAgreementTest, OnlyTheTextShowsIt) {
  // A token of the bundled vocabulary that the nasty texts do not need.
  const int32_t id = description_.Find("ĠChristmas") >= 0 ? description_.Find("ĠChristmas") : description_.Find("Ġperiod");
  ASSERT_GE(id, 0);
  const std::string word = vocabulary_.tokens[id].substr(2);
  vocabulary_.merges.erase(std::remove_if(vocabulary_.merges.begin(), vocabulary_.merges.end(), [&](const std::string& merge) {
    std::string joined = merge;
    joined.erase(merge.find(' ', 1), 1);
    return joined == vocabulary_.tokens[id];
  }), vocabulary_.merges.end());
  NS_EXPECT_OK(Check(vocabulary_));
  EXPECT_EQ(ReasonOf(Check(vocabulary_, absl::StrCat("In a ", word, " of time\n"))), "TOKENIZER_MISMATCH");
}

TEST_F(TokenizerAgreementTest, WhatTheVocabularyForeseesIsAWarning) {
  vocabulary_.pre = "qwen2";
  vocabulary_.differs_anywhere = true;
  NS_EXPECT_OK(Check(vocabulary_));
  EXPECT_THAT(warnings_, Contains(HasSubstr("texts tried")));
}

TEST_F(TokenizerAgreementTest, ANormalizerThatCannotBeSaidIsLeftOutOfTheComparison) {
  description_.normalizer = {{"type", "Lowercase"}};
  EXPECT_EQ(ReasonOf(Check(vocabulary_)), "TOKENIZER_MISMATCH");
  vocabulary_.unsaid_normalizer = description_.normalizer;
  NS_EXPECT_OK(Check(vocabulary_));
}

// llama.cpp puts a space behind every special token; Metaspace puts none where the text has one, or with "first" none at all.
TEST(TokenizerAgreementOfPiecesTest, WhatMetaspaceDoesBehindATokenIsForeseen) {
  Json json = Json::parse(R"({"added_tokens": [{"id": 0, "content": "<unk>", "special": true}],
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": {"<unk>": 0, "▁": 257}, "merges": []}})");
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    json["model"]["vocab"][text] = byte + 1;
  }
  for (const char* scheme : {"always", "first", "never"}) {
    json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
    const auto dir = testing::MakeTemporaryDirectory();
    testing::WriteTestFile(dir.path() + "/tokenizer.json", json.dump());
    const auto directory = OpenDirectory(dir.path(), Json::object());
    NS_ASSERT_OK(directory.status());
    const auto description = DescribeTokenizer(*directory);
    NS_ASSERT_OK(description.status());
    const auto vocabulary = MakeVocabulary(*description, *directory, 258, {});
    NS_ASSERT_OK(vocabulary.status());
    checkpoint::GgufFile file;
    AppendMetadata(*vocabulary, &file.metadata);
    const auto own = MakeTokenizer(*description);
    NS_ASSERT_OK(own.status());
    const auto gguf = OpenTokenizer(file);
    NS_ASSERT_OK(gguf.status());
    std::vector<std::string> warnings;
    NS_EXPECT_OK(CheckAgreement(*description, **own, **gguf, *vocabulary, "the <unk> of\n", /*allow_mismatch=*/false, &warnings));
    EXPECT_EQ((*own)->Encode("the <unk> of") == (*gguf)->Encode("the <unk> of"), std::string(scheme) == "never") << scheme;
  }
}

}  // namespace
}  // namespace nashswarm::tokenizer
