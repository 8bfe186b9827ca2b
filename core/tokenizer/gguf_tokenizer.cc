// Tokenizers from GGUF metadata. Keys: the GGUF specification, "Tokenizer"; what they mean for a text: llama.cpp, with
// special tokens recognised in the text.
#include <algorithm>
#include <limits>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_join.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/bpe.h"
#include "core/tokenizer/bpe_tokenizer.h"
#include "core/tokenizer/decoder.h"
#include "core/tokenizer/gguf_vocabulary.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/llama_pre_tokenizers.h"
#include "core/tokenizer/pre_tokenizer.h"
#include "core/tokenizer/scored_merges.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {
namespace {

using checkpoint::GgufFile;

constexpr char kWhat[] = "tokenizer.ggml";

// Tokens of a chat that llama.cpp always shows, so they are no control tokens to it.
constexpr std::string_view kAlwaysShown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

struct Metadata {
  const GgufFile& gguf;

  const checkpoint::GgufValue* Find(const char* key) const { return gguf.Find(absl::StrCat(kWhat, ".", key)); }
  template <typename T>
  const T* Get(const char* key) const {
    const auto* value = Find(key);
    return value == nullptr ? nullptr : std::get_if<T>(&value->data);
  }
  int64_t Integer(const char* key, int64_t fallback) const {
    if (const auto* u = Get<uint64_t>(key)) return *u > INT64_MAX ? fallback : static_cast<int64_t>(*u);
    const auto* i = Get<int64_t>(key);
    return i == nullptr ? fallback : *i;
  }
  bool Flag(const char* key, bool fallback) const {
    const auto* b = Get<bool>(key);
    return b == nullptr ? fallback : *b;
  }
  std::vector<int64_t> Integers(const char* key) const {
    if (const auto* i = Get<std::vector<int64_t>>(key)) return *i;
    const auto* u = Get<std::vector<uint64_t>>(key);
    return u == nullptr ? std::vector<int64_t>() : std::vector<int64_t>(u->begin(), u->end());
  }
};

struct Tokens {
  std::vector<std::string> texts;
  std::vector<TokenType> types;
  absl::flat_hash_map<std::string, int32_t> ids;

  bool IsSpecial(size_t id) const {
    return types[id] == TokenType::kControl || types[id] == TokenType::kUserDefined || types[id] == TokenType::kUnknown;
  }
};

absl::StatusOr<Tokens> ReadTokens(const Metadata& metadata) {
  const auto* texts = metadata.Get<std::vector<std::string>>("tokens");
  if (texts == nullptr || texts->empty()) return Invalid(kWhat, "there is no list of tokens");
  if (texts->size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) return Invalid(kWhat, "there are too many tokens");
  const std::vector<int64_t> types = metadata.Integers("token_type");
  if (!types.empty() && types.size() < texts->size()) return Invalid(kWhat, "token_type is shorter than tokens");
  Tokens out;
  out.texts = *texts;
  out.types.assign(texts->size(), TokenType::kNormal);
  for (size_t id = 0; id < out.texts.size(); ++id) {
    if (out.texts[id].empty()) out.texts[id] = absl::StrCat("[EMPTY_", id, "]");
    if (!types.empty()) out.types[id] = static_cast<TokenType>(types[id]);
    if (ValidUtf8Prefix(out.texts[id]) != out.texts[id].size()) return Invalid(kWhat, absl::StrCat("token ", id, " is not UTF-8"));
    const auto [it, fresh] = out.ids.emplace(out.texts[id], static_cast<int32_t>(id));
    if (!fresh) return Invalid(kWhat, absl::StrCat("token '", out.texts[id].substr(0, 200), "' has the ids ", it->second, " and ", id));
  }
  const auto set_type = [&](std::string_view text, TokenType type) {
    if (const auto it = out.ids.find(ToAbsl(text)); it != out.ids.end()) out.types[it->second] = type;
  };
  for (const std::string_view text : ControlLookingTokens()) set_type(text, TokenType::kControl);
  for (const std::string_view text : kAlwaysShown) set_type(text, TokenType::kUserDefined);
  return out;
}

// Cuts special tokens out of a text as llama.cpp does: the longest first, everywhere, then the next.
class SpecialSplitter {
 public:
  explicit SpecialSplitter(const Tokens& tokens) {
    for (size_t id = 0; id < tokens.texts.size(); ++id) {
      if (!tokens.IsSpecial(id)) continue;
      words_.Add(tokens.texts[id], static_cast<int32_t>(id));
      texts_.emplace(static_cast<int32_t>(id), tokens.texts[id]);
    }
  }

  std::vector<TextPart> Split(std::string_view text) const {
    std::vector<TextPart> parts;
    if (!text.empty()) parts.push_back({text, -1});
    std::vector<int32_t> present = words_.AllIn(text);
    const auto length = [&](int32_t id) { return texts_.at(id).size(); };
    std::sort(present.begin(), present.end(), [&](int32_t a, int32_t b) {
      return length(a) != length(b) ? length(a) > length(b) : a < b;
    });
    for (const int32_t id : present) parts = Cut(parts, texts_.at(id), id);
    return parts;
  }

 private:
  static std::vector<TextPart> Cut(const std::vector<TextPart>& parts, std::string_view word, int32_t id) {
    std::vector<TextPart> out;
    for (const TextPart& part : parts) {
      std::string_view rest = part.text;
      for (size_t at; part.id < 0 && (at = rest.find(word)) != std::string_view::npos; rest.remove_prefix(at + word.size())) {
        if (at > 0) out.push_back({rest.substr(0, at), -1});
        out.push_back({rest.substr(at, word.size()), id});
      }
      if (!rest.empty()) out.push_back({rest, part.id});
    }
    return out;
  }

  WordSet words_;
  absl::flat_hash_map<int32_t, std::string> texts_;
};

// What the two kinds have in common: special tokens, decoding, ends.
class GgufTokenizer : public Tokenizer {
 public:
  GgufTokenizer(Tokens tokens, Decoder decoder, Ends ends)
      : tokens_(std::move(tokens)), splitter_(tokens_), decoder_(std::move(decoder)), ends_(ends) {}

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::string valid;
    if (ValidUtf8Prefix(text) != text.size()) text = valid = ReplaceInvalidUtf8(text);
    return EncodeParts(splitter_.Split(text));
  }

  std::string Decode(absl::Span<const int32_t> tokens) const override {
    std::vector<std::string> texts;
    for (const int32_t id : tokens) {
      if (id < 0 || static_cast<size_t>(id) >= tokens_.texts.size()) continue;
      const TokenType type = tokens_.types[id];
      if (type != TokenType::kControl && type != TokenType::kUnknown) texts.push_back(tokens_.texts[id]);
    }
    return decoder_.Decode(std::move(texts));
  }

  uint64_t size() const override { return tokens_.texts.size(); }
  int32_t bos() const override { return ends_.bos; }
  int32_t eos() const override { return ends_.eos; }
  bool add_bos() const override { return ends_.add_bos; }

 protected:
  virtual std::vector<int32_t> EncodeParts(const std::vector<TextPart>& parts) const = 0;

 private:
  Tokens tokens_;
  SpecialSplitter splitter_;
  Decoder decoder_;
  Ends ends_;
};

class GgufBpe : public GgufTokenizer {
 public:
  GgufBpe(Tokens tokens, PreTokenizer pre_tokenizer, Bpe bpe, Ends ends)
      : GgufTokenizer(std::move(tokens), Decoder::ByteLevel(), ends), pre_tokenizer_(std::move(pre_tokenizer)), bpe_(std::move(bpe)) {}

 protected:
  std::vector<int32_t> EncodeParts(const std::vector<TextPart>& parts) const override {
    std::vector<int32_t> out;
    TextArena arena;
    Bpe::Cache cache;
    std::vector<Piece> pieces;
    for (const TextPart& part : parts) {
      if (part.id >= 0) {
        out.push_back(part.id);
        continue;
      }
      pieces.clear();
      pre_tokenizer_.Split(part.text, false, &arena, &pieces);
      for (const Piece& piece : pieces) bpe_.Encode(piece.text, &cache, &out);
    }
    return out;
  }

 private:
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
};

class GgufSentencePiece : public GgufTokenizer {
 public:
  GgufSentencePiece(Tokens tokens, ScoredMerges merges, bool space_prefix, Ends ends)
      : GgufTokenizer(std::move(tokens), Decoder::SentencePiece(space_prefix), ends),
        merges_(std::move(merges)), space_prefix_(space_prefix) {}

 protected:
  std::vector<int32_t> EncodeParts(const std::vector<TextPart>& parts) const override {
    std::vector<int32_t> out;
    bool after_special = true;  // the beginning counts as one
    for (const TextPart& part : parts) {
      if (part.id >= 0) {
        out.push_back(part.id);
      } else {
        const std::string marked = ReplaceEvery(part.text, " ", kSpaceMark);
        merges_.Encode(space_prefix_ && after_special ? absl::StrCat(ToAbsl(kSpaceMark), marked) : marked, &out);
      }
      after_special = part.id >= 0;
    }
    return out;
  }

 private:
  ScoredMerges merges_;
  bool space_prefix_;
};

// `fallback`: the ids that the format implies when the keys are absent.
Ends ReadEnds(const Metadata& metadata, const Tokens& tokens, Ends fallback) {
  const auto id = [&](const char* key, int32_t other) {
    const int64_t found = metadata.Integer(key, -1);
    const bool usable = found >= 0 && static_cast<uint64_t>(found) < tokens.texts.size();
    return usable ? static_cast<int32_t>(found) : static_cast<size_t>(other) < tokens.texts.size() ? other : -1;
  };
  Ends out;
  out.bos = id("bos_token_id", fallback.bos);
  out.eos = id("eos_token_id", fallback.eos);
  out.add_bos = metadata.Flag("add_bos_token", fallback.add_bos) && out.bos >= 0;
  return out;
}

absl::StatusOr<std::vector<Bpe::Merge>> ReadMerges(const Metadata& metadata) {
  const auto* lines = metadata.Get<std::vector<std::string>>("merges");
  if (lines == nullptr) return Invalid(kWhat, "there are no merges");
  std::vector<Bpe::Merge> out;
  out.reserve(lines->size());
  for (const std::string& line : *lines) {
    const size_t space = line.find(' ', 1);
    if (space == std::string::npos) return Invalid(kWhat, absl::StrCat("merge ", out.size(), " is not two tokens with a space between"));
    out.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenBpe(const Metadata& metadata, Tokens tokens) {
  const auto* named = metadata.Get<std::string>("pre");
  const std::string pre = named == nullptr || named->empty() ? "default" : *named;
  const LlamaPreTokenizer* rule = LlamaPreTokenizerByName(pre);
  if (rule == nullptr) {
    return Unknown(kWhat, absl::StrCat("pre-tokenizer '", pre.substr(0, 100), "' is not known"),
                   absl::StrCat("known: ", absl::StrJoin(LlamaPreTokenizerNames(), ", ", [](std::string* out, std::string_view name) {
                     absl::StrAppend(out, ToAbsl(name));
                   })));
  }
  NS_ASSIGN_OR_RETURN(const std::vector<Bpe::Merge> merges, ReadMerges(metadata));
  NS_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::ByteLevelOf(rule->patterns, kWhat));
  Bpe::Options options;
  options.byte_level = true;
  options.ignore_merges = rule->ignore_merges;
  NS_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(tokens.ids, merges, options, kWhat));
  const Ends ends = ReadEnds(metadata, tokens, {.add_bos = rule->add_bos});
  return std::make_unique<GgufBpe>(std::move(tokens), std::move(pre_tokenizer), std::move(bpe), ends);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenScored(const Metadata& metadata, Tokens tokens) {
  const auto* scores = metadata.Get<std::vector<double>>("scores");
  if (scores == nullptr || scores->size() < tokens.texts.size()) return Invalid(kWhat, "there is no score for every token");
  absl::flat_hash_map<std::string, ScoredMerges::Piece> pieces;
  for (const auto& [text, id] : tokens.ids) pieces.emplace(text, ScoredMerges::Piece{id, static_cast<float>((*scores)[id])});
  const auto unknown = metadata.Integer("unknown_token_id", 0);
  ScoredMerges merges(std::move(pieces), unknown >= 0 && unknown < static_cast<int64_t>(tokens.texts.size()) ? static_cast<int32_t>(unknown) : -1);
  const Ends ends = ReadEnds(metadata, tokens, {.bos = 1, .eos = 2, .add_bos = true});
  return std::make_unique<GgufSentencePiece>(std::move(tokens), std::move(merges), metadata.Flag("add_space_prefix", true), ends);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const checkpoint::GgufFile& gguf) {
  const Metadata metadata{gguf};
  const auto* model = metadata.Get<std::string>("model");
  if (model == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "TOKENIZER_NOT_FOUND", "the GGUF file has no tokenizer.ggml.model",
                     "use a file that was converted together with its tokenizer");
  }
  if (*model != "gpt2" && *model != "llama") {
    return Unknown(kWhat, absl::StrCat("model '", model->substr(0, 100), "' is not known"), "known: gpt2, llama");
  }
  NS_ASSIGN_OR_RETURN(Tokens tokens, ReadTokens(metadata));
  return *model == "gpt2" ? OpenBpe(metadata, std::move(tokens)) : OpenScored(metadata, std::move(tokens));
}

}  // namespace nashswarm::tokenizer
