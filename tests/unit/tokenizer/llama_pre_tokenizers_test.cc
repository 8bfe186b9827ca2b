#include "core/tokenizer/llama_pre_tokenizers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/status.h"
#include "core/tokenizer/pre_tokenizer.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

constexpr char kTail[] = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kHead[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";

Json Split(std::string_view pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", std::string(pattern)}}}, {"behavior", "Isolated"}, {"invert", false}};
}
Json Bytes(bool use_regex) { return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}}; }
Json Sequence(const std::vector<Json>& parts) { return {{"type", "Sequence"}, {"pretokenizers", parts}}; }

std::string NameOf(const Json& pre_tokenizer, bool ignore_merges = false, std::string_view model_type = "llama") {
  const LlamaPreTokenizer* row = FindLlamaPreTokenizer(StepsOf(pre_tokenizer).steps, ignore_merges);
  return row == nullptr ? "" : std::string(NameFor(*row, model_type));
}

// The pre-tokenizers of models that people have, as their tokenizer.json writes them.
TEST(LlamaPreTokenizersTest, NamesByThePattern) {
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  EXPECT_EQ(NameOf(Bytes(true)), "gpt-2");
  EXPECT_EQ(NameOf(Bytes(true), false, "olmo"), "olmo");
  EXPECT_EQ(NameOf(Sequence({Split(absl::StrCat(kHead, R"(\p{N}{1,3})", kTail)), Bytes(false)}), true), "llama-bpe");
  EXPECT_EQ(NameOf(Sequence({Split(absl::StrCat(kHead, R"(\p{N}{1,3})", kTail)), Bytes(false)}), false), "dbrx");
  EXPECT_EQ(NameOf(Sequence({Split(absl::StrCat(kHead, R"(\p{N}{1,3})", kTail)), Bytes(false)}), false, "glm4"), "glm4");
  EXPECT_EQ(NameOf(Sequence({Split(absl::StrCat(kHead, R"(\p{N})", kTail)), Bytes(false)})), "qwen2");
  EXPECT_EQ(NameOf(Sequence({Split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
                             Bytes(false)})), "qwen35");
  // Ling's spelling of Qwen's: possessive, and contractions in another order.
  EXPECT_EQ(NameOf(Sequence({Split(R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"),
                             Bytes(false)})), "qwen2");
  EXPECT_EQ(NameOf(Sequence({digits, Bytes(true)})), "smollm");
  EXPECT_EQ(NameOf(Sequence({digits, Bytes(true)}), false, "starcoder2"), "starcoder");
  EXPECT_EQ(NameOf(Sequence({digits, Bytes(true)}), false, "cohere"), "command-r");
  EXPECT_EQ(NameOf(Sequence({digits, Bytes(true)}), false, "granite"), "refact");
  EXPECT_EQ(NameOf(Sequence({digits, Bytes(true)}), false, "exaone"), "exaone");
  const std::string upper = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])", lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  const std::string slash = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)", s = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
  EXPECT_EQ(NameOf(Sequence({Split(upper + "*" + lower + "+|" + upper + "+" + lower + R"(*|\p{N})" + slash), Bytes(false)}), true), "tekken");
  const std::string gpt4o = upper + "*" + lower + "+" + s + "|" + upper + "+" + lower + "*" + s + R"(|\p{N}{1,3})" + slash;
  EXPECT_EQ(NameOf(Sequence({Split(gpt4o), Bytes(false)})), "gpt-4o");
  EXPECT_EQ(NameOf(Sequence({Split(gpt4o), Bytes(false)}), false, "llama4"), "llama4");
  EXPECT_EQ(NameOf(Sequence({Split(gpt4o), Bytes(false)}), false, "minimax_m2"), "minimax-m2");
  EXPECT_EQ(NameOf(Sequence({Split(R"(\d{1,3}(?=(?:\d{3})*\b))"), Split(gpt4o), Bytes(false)})), "tiny_aya");
  const std::string v3 = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(NameOf(Sequence({Split(R"(\p{N}{1,3})"), Split("[一-龥\u3040-ゟ゠-ヿ]+"), Split(v3), Bytes(false)})), "deepseek-v3");
  EXPECT_EQ(NameOf(Sequence({Split(R"(\p{N}{1,3})"), Split("[一-龥\u3040-ゟ゠-ヿ]+"), Split(v3), Bytes(false)}), false, "hunyuan_v1_dense"), "hunyuan-dense");
  EXPECT_EQ(NameOf(Sequence({Split("[\r\n]"), Split(R"(\s?\p{L}+)"), Split(R"(\s?\p{P}+)"), Split("[一-龥ࠀ-一가-퟿]+"), digits, Bytes(false)})),
            "deepseek-coder");
  EXPECT_EQ(NameOf(Sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}}, Bytes(true), {{"type", "Digits"}, {"individual_digits", false}},
                             Split("[0-9][0-9][0-9]")})), "falcon");
  EXPECT_EQ(NameOf(Sequence({{{"type", "Punctuation"}}, Bytes(true), digits}), true), "falcon3");
  EXPECT_EQ(NameOf(Sequence({Split(R"( ?[^(\s|[.,!?…。，、।۔،])]+)"), Bytes(false)})), "bloom");
  EXPECT_EQ(NameOf(Sequence({Split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)"),
                             Bytes(false)})), "seed-coder");
  EXPECT_EQ(NameOf(Sequence({Split(R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
                             Bytes(false)})), "kimi-k2");
  EXPECT_EQ(NameOf(Sequence({Split("something else"), Bytes(false)})), "");
  EXPECT_EQ(NameOf(Sequence({{{"type", "Whitespace"}}, Bytes(false)})), "");
  EXPECT_EQ(NameOf(Json()), "");
}

// What llama.cpp's loader lists (src/llama-vocab.cpp, August 2026), of byte-level kinds.
TEST(LlamaPreTokenizersTest, EveryNameOfTheLoaderIsKnown) {
  std::set<std::string_view> seen;
  for (const std::string_view name : LlamaPreTokenizerNames()) EXPECT_TRUE(seen.insert(name).second) << name;
  for (const std::string_view name :
       {"default", "minicpm5", "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano",
        "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu", "falcon", "mpt", "starcoder", "gpt-2", "phi-2", "jina-es", "jina-de",
        "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert", "jais-2", "jina-v1-en", "jina-v2-code", "roberta-bpe",
        "refact", "command-r", "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "qwen35", "stablelm2", "olmo", "dbrx", "smaug-bpe",
        "poro-chat", "glm4", "chatglm-bpe", "viking", "jais", "tekken", "smollm", "codeshell", "bloom", "gpt3-finnish", "exaone", "exaone4",
        "exaone-moe", "chameleon", "minerva-7b", "megrez", "gpt-4o", "llama4", "kanana2", "talkie", "granite-embed-multi-97m", "tiny_aya",
        "cohere2moe", "superbpe", "trillion", "granite-docling", "bailingmoe", "bailingmoe2", "llada-moe", "seed-coder", "hunyuan",
        "hunyuan-dense", "joyai-llm", "kimi-k2", "grok-2", "afmoe", "laguna", "minimax-m2", "solar-open", "mellum2"}) {
    EXPECT_NE(LlamaPreTokenizerByName(name), nullptr) << name;
  }
  EXPECT_EQ(LlamaPreTokenizerByName("no-such-name"), nullptr);
}

std::vector<std::string> Cut(const PreTokenizer& pre_tokenizer, std::string_view text) {
  TextArena arena;
  std::vector<Piece> pieces;
  pre_tokenizer.Split(text, true, &arena, &pieces);
  std::vector<std::string> out;
  for (const Piece& piece : pieces) out.emplace_back(piece.text);
  return out;
}

// Where the table claims that llama.cpp cuts as the file writes it, it does.
TEST(LlamaPreTokenizersTest, WhatIsWrittenCutsAsLlamaDoes) {
  const std::vector<std::string_view> texts = {
      "Hello world, it's 2024: she'LL say 'tis 'S don't DON'T we'Ve", "中文字符，日本語テキスト、한국어。「引用」１２３", "café ÉTÉ été Été ǅ",
      "def f(x):\n\treturn {'a': [1, 2.5e-3]}  # c\n\n\nif x:\n    f(0x1F)\n", "tabs\t\t\tCRLF\r\nl\r\n\r\n\r\nend\r", "  two leading  and   more   ",
      "1234567890 12 345 6 ½ Ⅷ 1,000,000.00", "हिन्दी १२३ ไทย", "a\n \n  \nb", "$100 + 20% = <tag/> a|b `x` ~^&", "👩‍👩‍👧 👍🏽 🇩🇪 1️⃣"};
  int compared = 0;
  for (const std::string_view name : LlamaPreTokenizerNames()) {
    const LlamaPreTokenizer* row = LlamaPreTokenizerByName(name);
    const auto llama = PreTokenizer::ByteLevelOf(row->patterns, "llama.cpp");
    ASSERT_TRUE(llama.ok()) << name << llama.status();
    if (!row->differs.empty() || name == "default") continue;
    for (const auto& written : row->written) {
      const auto own = PreTokenizer::ByteLevelOf(written, "file");
      ASSERT_TRUE(own.ok()) << name << own.status();
      for (const std::string_view text : texts) {
        EXPECT_EQ(Cut(*own, text), Cut(*llama, text)) << name << ": " << text;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace nashswarm::tokenizer
