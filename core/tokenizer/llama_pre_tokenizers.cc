#include "core/tokenizer/llama_pre_tokenizers.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "core/base/status.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/pre_tokenizer.h"

namespace nashswarm::tokenizer {
namespace {

// llama.cpp's contractions fold no case by Unicode: 's is ASCII.
#define NS_CONTRACTIONS R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define NS_CONTRACTIONS_FOLDED R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define NS_TAIL R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define NS_TAIL_SLASH R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define NS_WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
// Words by case as files write them, and as llama.cpp does: a letter beyond ASCII may be of either case.
#define NS_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define NS_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define NS_LLAMA_UPPER R"(((?=[\p{L}])([^a-z])))"
#define NS_LLAMA_LOWER R"(((?=[\p{L}])([^A-Z])))"
#define NS_LLAMA_UPPER_MARKS R"(((?=[\p{L}\p{M}])([^a-z])))"
#define NS_LLAMA_LOWER_MARKS R"(((?=[\p{L}\p{M}])([^A-Z])))"
#define NS_BEFORE R"([^\r\n\p{L}\p{N}]?)"

constexpr std::string_view kGpt2 = kGpt2Pattern;
constexpr std::string_view kLlama3 = NS_CONTRACTIONS "|" NS_WORD R"(|\p{N}{1,3})" NS_TAIL;
constexpr std::string_view kLlama3Written = NS_CONTRACTIONS_FOLDED "|" NS_WORD R"(|\p{N}{1,3})" NS_TAIL;
constexpr std::string_view kQwen2 = NS_CONTRACTIONS "|" NS_WORD R"(|\p{N})" NS_TAIL;
constexpr std::string_view kQwen2Written = kQwen2Pattern;
constexpr std::string_view kTekken = NS_BEFORE NS_LLAMA_UPPER "*" NS_LLAMA_LOWER "+|" NS_BEFORE NS_LLAMA_UPPER "+" NS_LLAMA_LOWER
                                     R"(*|\p{N})" NS_TAIL_SLASH;
constexpr std::string_view kTekkenWritten =
    NS_BEFORE NS_UPPER "*" NS_LOWER "+|" NS_BEFORE NS_UPPER "+" NS_LOWER R"(*|\p{N})" NS_TAIL_SLASH;
constexpr std::string_view kGpt4o = NS_BEFORE NS_LLAMA_UPPER "*" NS_LLAMA_LOWER "+(?:" NS_CONTRACTIONS ")?|" NS_BEFORE NS_LLAMA_UPPER
                                    "+" NS_LLAMA_LOWER "*(?:" NS_CONTRACTIONS R"()?|\p{N}{1,3})" NS_TAIL_SLASH;
constexpr std::string_view kGpt4oWritten = NS_BEFORE NS_UPPER "*" NS_LOWER "+" NS_CONTRACTIONS_FOLDED "?|" NS_BEFORE NS_UPPER
                                           "+" NS_LOWER "*" NS_CONTRACTIONS_FOLDED R"(?|\p{N}{1,3})" NS_TAIL_SLASH;
constexpr std::string_view kGpt4oMarks =
    NS_BEFORE NS_LLAMA_UPPER_MARKS "*" NS_LLAMA_LOWER_MARKS "+(?:" NS_CONTRACTIONS ")?|" NS_BEFORE NS_LLAMA_UPPER_MARKS
    "+" NS_LLAMA_LOWER_MARKS "*(?:" NS_CONTRACTIONS R"()?|\p{N}{1,3})" NS_TAIL_SLASH;
// What llama.cpp makes of \p{Lu}: any letter.
constexpr std::string_view kAya = NS_BEFORE R"([\p{L}\p{M}]+(?:)" NS_CONTRACTIONS R"()?|\p{N}{1,3})" NS_TAIL_SLASH;
constexpr std::string_view kDigitGroups = R"(\d{1,3}(?=(?:\d{3})*\b))";
constexpr std::string_view kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kCjk = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kKimi = R"([\p{Han}]+|)" NS_BEFORE R"((?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])*(?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])+(?:)" NS_CONTRACTIONS
    R"()?|)" NS_BEFORE R"((?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])+(?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])*(?:)" NS_CONTRACTIONS R"()?|\p{N}{1,3})" NS_TAIL;
constexpr std::string_view kKimiWritten =
    R"([\p{Han}]+|)" NS_BEFORE R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)" NS_CONTRACTIONS_FOLDED
    "?|" NS_BEFORE R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)" NS_CONTRACTIONS_FOLDED R"(?|\p{N}{1,3})" NS_TAIL;
// Letters of Latin, Greek, Cyrillic and their relatives; by numbers, since some are other characters once normalized.
constexpr std::string_view kDeepseekLetters =
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-"
    "\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145"
    "-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-"
    "\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900"
    "-\U0001e943]+";
constexpr std::string_view kDeepseekCjk = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kDeepseekPunctuation = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";
constexpr std::string_view kNewlines = "[^\\n]+|[\\n]+";
constexpr std::string_view kYoutuScripts = "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+";
constexpr std::string_view kExaoneMoe = NS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kExaoneMoeWritten = NS_CONTRACTIONS_FOLDED R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder = NS_CONTRACTIONS "|" NS_WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoderWritten = NS_CONTRACTIONS_FOLDED "|" NS_WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 = NS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35Written = NS_CONTRACTIONS_FOLDED R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
#define NS_JAIS_BLANKS \
  R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"
constexpr std::string_view kJais2 = NS_CONTRACTIONS "|" NS_WORD R"(|\p{N}{1,3})" NS_JAIS_BLANKS;
constexpr std::string_view kJais2Written = NS_CONTRACTIONS_FOLDED "|" NS_WORD R"(|\p{N}{1,3})" NS_JAIS_BLANKS;
constexpr std::string_view kMiniCpm5 = NS_CONTRACTIONS "|" NS_WORD R"(|\p{N}+)" NS_TAIL;
constexpr std::string_view kMiniCpm5Written = NS_CONTRACTIONS_FOLDED "|" NS_WORD R"(|\p{N}+)" NS_TAIL;
constexpr std::string_view kAfmoeScripts =
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff"
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+";
constexpr std::string_view kAfmoeScriptsMeant =
    "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff"
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+";
constexpr std::string_view kYoutuWords =
    NS_BEFORE R"([\p{L}\p{M}]+(?:)" NS_CONTRACTIONS R"()?|\p{N})" NS_TAIL_SLASH;
constexpr std::string_view kYoutuWordsWritten = NS_BEFORE NS_UPPER "*" NS_LOWER "+" NS_CONTRACTIONS_FOLDED "?|" NS_BEFORE NS_UPPER
                                                "+" NS_LOWER "*" NS_CONTRACTIONS_FOLDED R"(?|\p{N})" NS_TAIL_SLASH;

constexpr std::string_view kNumber = R"(\p{N})", kNumbers = R"(\p{N}+)", kUpToThree = R"(\p{N}{1,3})";
// What Punctuation stands for.
constexpr std::string_view kPunctuation = R"([!-/:-@\[-`{-~\p{P}])", kPunctuationRuns = R"([!-/:-@\[-`{-~\p{P}]+)";

constexpr std::string_view kCases = "words of letters beyond ASCII that mix upper and lower case";

const std::vector<LlamaPreTokenizer>& Table() {
  static const auto* const kTable = new std::vector<LlamaPreTokenizer>{
      {{"gpt-2", "mpt", "olmo", "jais", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
        "jina-v1-en", "jina-v2-code", "roberta-bpe", "exaone4", "trillion", "granite-docling"},
       {kGpt2}, {}},
      {{"llama-bpe", "llama3", "llama-v3", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"}, {kLlama3}, {{kLlama3Written}}, true, true},
      {{"falcon3", "falcon-h1"}, {kLlama3}, {{kPunctuation, kGpt2, kNumber}}, true, true, "signs beside letters, and digits"},
      {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, {kLlama3}, {{kLlama3Written}}},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2", "bailingmoe", "bailingmoe2",
        "llada-moe"},
       {kQwen2}, {{kQwen2Written}}},
      {{"qwen35"}, {kQwen35}, {{kQwen35Written}}},
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"}, {kNumber, kGpt2}, {}},
      {{"tekken"}, {kTekken}, {{kTekkenWritten}}, true, true, kCases},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {kGpt4o}, {{kGpt4oWritten}}, false, false, kCases},
      {{"granite-embed-multi-97m"}, {kGpt4oMarks}, {{kGpt4oWritten}}, true, false, kCases},
      {{"tiny_aya", "cohere2moe"}, {kDigitGroups, kAya}, {{kDigitGroups, kGpt4oWritten}}, false, false, "words that mix upper and lower case"},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm"}, {kUpToThree, kCjk, kDeepseek3}, {}},
      {{"deepseek-llm"},
       {R"([\r\n])", kDeepseekLetters, kDeepseekPunctuation, R"(\s+$)", kDeepseekCjk, kNumbers},
       {{R"([\r\n])", kDeepseekLetters, kDeepseekPunctuation, R"(\s+$)", kDeepseekCjk, kNumbers},
        {R"([\r\n])", kDeepseekLetters, kDeepseekPunctuation, R"(\s+$)", kDeepseekCjk, kNumber}},
       false, false, "digits, which the model may take one by one, and blanks at the end of a line"},
      {{"deepseek-coder"}, {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk, kNumber}, {}},
      {{"falcon"}, {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}, {{kPunctuationRuns, kGpt2, kNumbers, "[0-9][0-9][0-9]"}}, false, false,
       "one or two digits after a space"},
      {{"bloom", "poro-chat", "gpt3-finnish"}, {kBloom}, {{kBloom}, {R"( ?[^(\s|[.,!?…。，、।۔،])]+)"}}},
      {{"viking"}, {kBloom, kNumber}, {{kBloom, kNumber}, {R"( ?[^(\s|[.,!?…。，、।۔،])]+)", kNumber}}},
      {{"exaone-moe"}, {kExaoneMoe}, {{kExaoneMoeWritten}}},
      {{"seed-coder"}, {kSeedCoder}, {{kSeedCoderWritten}}},
      {{"jais-2"}, {kJais2}, {{kJais2Written}}},
      {{"kimi-k2"}, {kKimi}, {{kKimiWritten}}, false, false, "some words that mix scripts or cases"},
      {{"youtu"}, {kYoutuScripts, kYoutuWords}, {{kYoutuScripts, kYoutuWordsWritten}}, true, false, "words that mix upper and lower case"},
      {{"minicpm5"}, {kUpToThree, kMiniCpm5}, {{kUpToThree, kMiniCpm5Written}}, true},
      {{"laguna"}, {kNewlines, kQwen2}, {{kNewlines, kQwen2Written}}},
      {{"afmoe"},
       {kDigitGroups, kAfmoeScripts, kDeepseek3},
       {{kDigitGroups, kAfmoeScripts, kDeepseek3}, {kDigitGroups, kAfmoeScriptsMeant, kDeepseek3}}, false, false, "rare scripts, and digits beside letters"},
      {{"chameleon"},
       {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", R"(([\t\n]|    |  ))", kNumber, kPunctuation, kGpt2}, {}, false, true},
      {{"superbpe"}, {kNumbers, R"(\d(?=(?:\d{3})+(?!\d))|\d{1,3})"}, {{kNumbers, R"((?=(\d{3})+(?!\d)))"}}, false, false,
       "numbers of more than three digits"},
      // What a file without a name means. It is never written but on demand.
      {{"default"}, {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, kNumbers, "[0-9][0-9][0-9]"}, {{"(default)"}}},
  };
  return *kTable;
}

// Architectures whose files have a name of their own among those that mean the same.
constexpr std::pair<std::string_view, std::string_view> kOwnNames[] = {
    {"mpt", "mpt"},           {"olmo", "olmo"},           {"phi", "phi-2"},           {"jais", "jais"},
    {"exaone4", "exaone4"},   {"glm4", "glm4"},           {"glm4_moe", "glm4"},       {"glm", "chatglm-bpe"},
    {"chatglm", "chatglm-bpe"}, {"stablelm", "stablelm2"}, {"hunyuan_v1_moe", "hunyuan"}, {"hunyuan_v1_dense", "hunyuan-dense"},
    {"starcoder2", "starcoder"}, {"gpt_bigcode", "starcoder"}, {"granite", "refact"}, {"granitemoe", "refact"},
    {"cohere", "command-r"},  {"cohere2", "command-r"},   {"codeshell", "codeshell"}, {"exaone", "exaone"},
    {"llama4", "llama4"},     {"llama4_text", "llama4"},  {"minimax_m2", "minimax-m2"}, {"lfm2", "lfm2"},
    {"falcon_h1", "falcon-h1"}, {"bailing_moe", "bailingmoe"}, {"cohere2_moe", "cohere2moe"}, {"mellum2", "mellum2"}};

// The same expression in one spelling: what the ways of writing it that are in use have in common.
std::string Canonical(std::string_view pattern) {
  std::string out = absl::StrReplaceAll(
      ToAbsl(pattern), {{"'(?i:[sdmt]|ll|ve|re)", NS_CONTRACTIONS_FOLDED}, {"(?i:[sdmt]|ll|ve|re)", "(?i:s|t|re|ve|m|ll|d)"},
                        {"'(?:[sdmt]|ll|ve|re)", "'s|'t|'re|'ve|'m|'ll|'d"}, {"?+", "?"}, {"++", "+"}, {"{1}|", "|"},
                        {R"(\s*[\r\n]|)", R"(\s*[\r\n]+|)"}, {"\r", "\\r"}, {"\n", "\\n"}});
  // What follows no other alternative and what matches nothing else are pieces by themselves all the same.
  if (absl::EndsWith(out, R"(|\s+(?!\S)|\s+)")) out.resize(out.size() - 4);
  return out;
}

void AppendSteps(const Json& json, PreTokenizerSteps* out) {
  const std::string type = JsonString(json, "type");
  const auto unknown = [&] { out->steps.push_back(absl::StrCat("(", json.dump(), ")")); };
  if (type == "Sequence") {
    for (const Json& part : Field(json, "pretokenizers")) AppendSteps(part, out);
  } else if (type == "ByteLevel") {
    out->prefix_space |= JsonBool(json, "add_prefix_space", false);
    if (JsonBool(json, "use_regex", true)) out->steps.push_back(Canonical(kGpt2));
  } else if (type == "Digits") {
    out->steps.push_back(Canonical(JsonBool(json, "individual_digits", false) ? kNumber : kNumbers));
  } else if (type == "Punctuation") {
    const std::string behavior = JsonString(json, "behavior", "Isolated");
    if (behavior != "Isolated" && behavior != "Contiguous") return unknown();
    out->steps.push_back(Canonical(behavior == "Isolated" ? kPunctuation : kPunctuationRuns));
  } else if (type == "Split") {
    const std::string pattern = JsonString(Field(json, "pattern"), "Regex"), behavior = JsonString(json, "behavior", "Isolated");
    const bool inverted = JsonBool(json, "invert", false);
    // With every character in a match, removing what lies between matches is isolating them.
    if (pattern.empty() || !((behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted))) return unknown();
    out->steps.push_back(Canonical(pattern));
  } else if (!json.is_null()) {
    unknown();
  }
}

bool Means(const LlamaPreTokenizer& row, const std::vector<std::string>& steps) {
  const auto same = [&](const std::vector<std::string_view>& patterns) {
    return std::equal(patterns.begin(), patterns.end(), steps.begin(), steps.end(),
                      [](std::string_view pattern, const std::string& step) { return Canonical(pattern) == step; });
  };
  return row.written.empty() ? same(row.patterns) : std::any_of(row.written.begin(), row.written.end(), same);
}

}  // namespace

const LlamaPreTokenizer* LlamaPreTokenizerByName(std::string_view name) {
  for (const LlamaPreTokenizer& row : Table()) {
    if (std::find(row.names.begin(), row.names.end(), name) != row.names.end()) return &row;
  }
  return nullptr;
}

std::vector<std::string_view> LlamaPreTokenizerNames() {
  std::vector<std::string_view> names;
  for (const LlamaPreTokenizer& row : Table()) names.insert(names.end(), row.names.begin(), row.names.end());
  return names;
}

PreTokenizerSteps StepsOf(const Json& pre_tokenizer) {
  PreTokenizerSteps out;
  AppendSteps(pre_tokenizer, &out);
  return out;
}

const LlamaPreTokenizer* FindLlamaPreTokenizer(const std::vector<std::string>& steps, bool ignore_merges) {
  const LlamaPreTokenizer* found = nullptr;
  for (const LlamaPreTokenizer& row : Table()) {
    if (!Means(row, steps)) continue;
    if (row.ignore_merges == ignore_merges) return &row;
    if (found == nullptr) found = &row;
  }
  return found;
}

std::string_view NameFor(const LlamaPreTokenizer& row, std::string_view model_type) {
  for (const auto& [type, name] : kOwnNames) {
    if (type == model_type && std::find(row.names.begin(), row.names.end(), name) != row.names.end()) return name;
  }
  return row.names.front();
}

}  // namespace nashswarm::tokenizer
