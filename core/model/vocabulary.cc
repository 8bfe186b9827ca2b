#include "core/model/vocabulary.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/model/sentencepiece_file.h"

namespace nashswarm::model {
namespace {

constexpr uint64_t kMaxTokenizerBytes = 512u << 20;

absl::Status Invalid(const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID", why,
                   "download the tokenizer files of the model again");
}

absl::StatusOr<Json> ReadOptionalJson(const std::string& directory, const std::string& file) {
  const std::string path = JoinPath(directory, file);
  if (!PathExists(path)) return Json::object();
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxTokenizerBytes));
  return ParseJson(text, file);
}

// The token lists come as maps from text to id: put every text at its id.
absl::Status PlaceToken(const std::string& text, int64_t id, TokenType type, uint64_t rows, Vocabulary* out) {
  if (id < 0 || static_cast<uint64_t>(id) >= rows) {
    return MakeError(absl::StatusCode::kInvalidArgument, "VOCABULARY_TOO_LARGE",
                     absl::StrCat("token '", text, "' has id ", id, ", the embedding has ", rows, " rows"),
                     "tokenizer and weights are of different models, or the embedding was not resized after tokens were added");
  }
  out->tokens[id] = text;
  out->types[id] = type;
  return absl::OkStatus();
}

void FillWithUnused(uint64_t rows, Vocabulary* out) {
  out->tokens.resize(rows);
  out->types.resize(rows, TokenType::kUnused);
  for (uint64_t id = 0; id < rows; ++id) out->tokens[id] = absl::StrCat("[PAD", id, "]");
}

bool IsByteToken(const std::string& text) {
  return text.size() == 6 && absl::StartsWith(text, "<0x") && text.back() == '>';
}

// Does any object below `node` have "type": "ByteLevel"?
bool MentionsType(const Json& node, const char* type) {
  if (node.is_object() && JsonString(node, "type") == type) return true;
  if (!node.is_structured()) return false;
  return std::any_of(node.begin(), node.end(), [&](const Json& child) { return MentionsType(child, type); });
}

// The split patterns of pre-tokenizers that llama.cpp knows by name.
constexpr std::pair<const char*, const char*> kSplitPatterns[] = {
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "llama-bpe"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "qwen2"},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2"},
};

std::optional<std::string> SplitPattern(const Json& node) {
  if (node.is_object() && JsonString(node, "type") == "Split" && node.contains("pattern")) {
    return JsonString(node["pattern"], "Regex");
  }
  if (!node.is_structured()) return std::nullopt;
  for (const Json& child : node) {
    if (auto found = SplitPattern(child)) return found;
  }
  return std::nullopt;
}

std::string PreTokenizerName(const Json& pre_tokenizer, std::vector<std::string>* warnings) {
  if (const auto pattern = SplitPattern(pre_tokenizer)) {
    for (const auto& [known, name] : kSplitPatterns) {
      if (*pattern == known) return name;
    }
    warnings->push_back("the tokenizer's split pattern is not one llama.cpp knows by name: marked 'default', which may "
                        "split some texts differently");
    return "default";
  }
  if (MentionsType(pre_tokenizer, "Digits")) return "smollm";  // digits one by one, then GPT-2's pattern
  return "gpt-2";
}

absl::StatusOr<std::vector<std::string>> ReadMerges(const Json& merges) {
  std::vector<std::string> out;
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      out.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out.push_back(absl::StrCat(merge[0].get<std::string>(), " ", merge[1].get<std::string>()));
    } else {
      return Invalid("tokenizer.json: a merge is neither a string nor a pair of strings");
    }
  }
  return out;
}

// A BPE of SentencePiece pieces has merges but no scores. llama.cpp joins the neighbours whose joined piece scores
// highest, so the rank of the first merge that makes a piece, negated, reproduces the order of the merges.
void ScoresFromMerges(const std::vector<std::string>& merges, Vocabulary* out) {
  absl::flat_hash_map<std::string, double> rank;
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(merges[i], absl::MaxSplits(' ', 1));
    rank.emplace(pair.first + pair.second, -static_cast<double>(i));
  }
  out->scores.assign(out->tokens.size(), -static_cast<double>(merges.size()) - 1);
  for (size_t id = 0; id < out->tokens.size(); ++id) {
    if (const auto it = rank.find(out->tokens[id]); it != rank.end()) out->scores[id] = it->second;
    if (out->types[id] != TokenType::kNormal) out->scores[id] = 0;
  }
}

absl::Status PlaceAddedTokens(const Json& added, uint64_t rows, int64_t unknown, Vocabulary* out) {
  for (const Json& token : added) {
    const TokenType type = JsonBool(token, "special", false) ? TokenType::kControl : TokenType::kUserDefined;
    const int64_t id = JsonInt(token, "id", -1);
    NS_RETURN_IF_ERROR(PlaceToken(JsonString(token, "content"), id, id == unknown ? TokenType::kUnknown : type, rows, out));
  }
  return absl::OkStatus();
}

absl::StatusOr<Vocabulary> FromTokenizerJson(const Json& json, uint64_t rows) {
  const Json model = json.is_object() && json.contains("model") ? json["model"] : Json();
  const std::string type = JsonString(model, "type", "BPE");
  if (type != "BPE" || !model.contains("vocab") || !model["vocab"].is_object()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_UNKNOWN",
                     absl::StrCat("tokenizer.json: model type '", type, "' is not supported; BPE is"),
                     "models with a SentencePiece tokenizer also need their tokenizer.model file in the directory");
  }
  Vocabulary out;
  FillWithUnused(rows, &out);
  for (const auto& [text, id] : model["vocab"].items()) {
    if (!id.is_number_integer()) return Invalid(absl::StrCat("tokenizer.json: the id of token '", text, "' is no integer"));
    NS_RETURN_IF_ERROR(PlaceToken(text, id.get<int64_t>(), TokenType::kNormal, rows, &out));
  }
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> merges, ReadMerges(model.contains("merges") ? model["merges"] : Json()));

  const Json pre_tokenizer = json.contains("pre_tokenizer") ? json["pre_tokenizer"] : Json();
  const Json decoder = json.contains("decoder") ? json["decoder"] : Json();
  const bool byte_level = MentionsType(pre_tokenizer, "ByteLevel") || MentionsType(decoder, "ByteLevel");
  if (byte_level) {
    out.model = "gpt2";
    out.pre = PreTokenizerName(pre_tokenizer, &out.warnings);
    out.merges = merges;
  } else {
    out.model = "llama";
    out.pre = "default";
    const Json normalizer = json.contains("normalizer") ? json["normalizer"] : Json();
    out.add_space_prefix = MentionsType(normalizer, "Prepend") || MentionsType(pre_tokenizer, "Metaspace");
    for (uint64_t id = 0; id < rows; ++id) {
      if (out.types[id] == TokenType::kNormal && IsByteToken(out.tokens[id])) out.types[id] = TokenType::kByte;
    }
    const std::string unknown = JsonString(model, "unk_token");
    const auto it = std::find(out.tokens.begin(), out.tokens.end(), unknown);
    if (!unknown.empty() && it != out.tokens.end()) out.unknown = it - out.tokens.begin();
  }
  if (json.contains("added_tokens")) NS_RETURN_IF_ERROR(PlaceAddedTokens(json["added_tokens"], rows, out.unknown, &out));
  if (!byte_level) ScoresFromMerges(merges, &out);
  if (json.contains("post_processor") && MentionsType(json["post_processor"], "TemplateProcessing")) {
    const Json& post = json["post_processor"];
    const auto starts_with_special = [](const Json& node) {
      return node.is_object() && node.contains("single") && node["single"].is_array() && !node["single"].empty() &&
             node["single"][0].contains("SpecialToken");
    };
    out.add_bos = starts_with_special(post);
    if (post.contains("processors")) {
      for (const Json& processor : post["processors"]) out.add_bos = out.add_bos || starts_with_special(processor);
    }
  }
  return out;
}

absl::StatusOr<Vocabulary> FromVocabAndMerges(const std::string& directory, uint64_t rows) {
  NS_ASSIGN_OR_RETURN(const Json vocab, ReadOptionalJson(directory, "vocab.json"));
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory, "merges.txt"), kMaxTokenizerBytes));
  if (!vocab.is_object()) return Invalid("vocab.json: not an object of token to id");
  Vocabulary out;
  out.model = "gpt2";
  out.pre = "gpt-2";
  FillWithUnused(rows, &out);
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer()) return Invalid(absl::StrCat("vocab.json: the id of token '", token, "' is no integer"));
    const bool special = absl::StartsWith(token, "<|") && absl::EndsWith(token, "|>");
    NS_RETURN_IF_ERROR(PlaceToken(token, id.get<int64_t>(), special ? TokenType::kControl : TokenType::kNormal, rows, &out));
  }
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    if (!absl::StartsWith(line, "#version")) out.merges.emplace_back(absl::StripSuffix(line, "\r"));
  }
  return out;
}

absl::StatusOr<Vocabulary> FromSentencePiece(const std::string& directory, uint64_t rows) {
  NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(directory, "tokenizer.model"), kMaxTokenizerBytes));
  SentencePieceFile file;
  std::string error;
  if (!ParseSentencePiece(content, &file, &error)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID",
                     absl::StrCat("tokenizer.model: not a SentencePiece model (", error, ")"),
                     "download tokenizer.model again; a Git LFS pointer in its place is a text of three lines");
  }
  Vocabulary out;
  out.model = "llama";
  out.pre = "default";
  FillWithUnused(rows, &out);
  out.scores.assign(rows, -1000.0);
  constexpr TokenType kTypes[] = {TokenType::kNormal, TokenType::kUnknown, TokenType::kControl, TokenType::kUnused,
                                  TokenType::kByte};  // in the order of SentencePieceFile::Kind
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& piece = file.pieces[id];
    NS_RETURN_IF_ERROR(
        PlaceToken(piece.text, static_cast<int64_t>(id), kTypes[static_cast<int>(piece.kind)], rows, &out));
    out.scores[id] = piece.score;
  }
  out.bos = file.bos;
  out.eos = file.eos;
  out.unknown = file.unknown;
  out.padding = file.padding;
  out.add_bos = out.bos >= 0;
  out.add_space_prefix = file.adds_space_prefix;
  return out;
}

// "bos_token": "<s>" or {"content": "<s>"}.
std::string TokenText(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) return {};
  return object[key].is_object() ? JsonString(object[key], "content") : JsonString(object, key);
}

int64_t FirstId(const Json& config, const char* key) {  // eos_token_id may be a list
  if (!config.is_object() || !config.contains(key)) return -1;
  const Json& value = config[key];
  if (value.is_array() && !value.empty() && value[0].is_number_integer()) return value[0].get<int64_t>();
  return JsonInt(config, key, -1);
}

void ResolveSpecialTokens(const Json& config, const Json& tokenizer_config, const Json& special_map, Vocabulary* out) {
  const auto resolve = [&](const char* token_key, const char* id_key, int64_t* id) {
    for (const Json* source : {&tokenizer_config, &special_map}) {
      const std::string text = TokenText(*source, token_key);
      const auto it = std::find(out->tokens.begin(), out->tokens.end(), text);
      if (!text.empty() && it != out->tokens.end()) {
        *id = it - out->tokens.begin();
        return;
      }
    }
    const int64_t from_config = FirstId(config, id_key);
    if (from_config >= 0 && static_cast<size_t>(from_config) < out->tokens.size()) *id = from_config;
  };
  resolve("bos_token", "bos_token_id", &out->bos);
  resolve("eos_token", "eos_token_id", &out->eos);
  resolve("pad_token", "pad_token_id", &out->padding);
  resolve("unk_token", "unk_token_id", &out->unknown);
  if (tokenizer_config.is_object()) {
    out->add_bos = JsonBool(tokenizer_config, "add_bos_token", out->add_bos);
    out->chat_template = JsonString(tokenizer_config, "chat_template");
  }
  out->add_bos = out->add_bos && out->bos >= 0;
}

}  // namespace

absl::StatusOr<Vocabulary> ReadVocabulary(const std::string& directory, const Json& config, uint64_t rows) {
  const auto has = [&](const char* file) { return PathExists(JoinPath(directory, file)); };
  NS_ASSIGN_OR_RETURN(const Json tokenizer_config, ReadOptionalJson(directory, "tokenizer_config.json"));
  NS_ASSIGN_OR_RETURN(const Json special_map, ReadOptionalJson(directory, "special_tokens_map.json"));

  absl::StatusOr<Vocabulary> out;
  if (has("tokenizer.model")) {
    out = FromSentencePiece(directory, rows);
    if (out.ok() && tokenizer_config.contains("added_tokens_decoder")) {
      for (const auto& [id, token] : tokenizer_config["added_tokens_decoder"].items()) {
        int64_t number;
        if (!absl::SimpleAtoi(id, &number)) return Invalid("tokenizer_config.json: an added token's id is no number");
        if (static_cast<size_t>(number) < out->tokens.size() && out->types[number] != TokenType::kUnused) continue;
        NS_RETURN_IF_ERROR(PlaceToken(JsonString(token, "content"), number,
                                      JsonBool(token, "special", false) ? TokenType::kControl : TokenType::kUserDefined,
                                      rows, &*out));
      }
    }
  } else if (has("tokenizer.json")) {
    NS_ASSIGN_OR_RETURN(const Json json, ReadOptionalJson(directory, "tokenizer.json"));
    out = FromTokenizerJson(json, rows);
  } else if (has("vocab.json") && has("merges.txt")) {
    out = FromVocabAndMerges(directory, rows);
  } else {
    return MakeError(absl::StatusCode::kNotFound, "TOKENIZER_NOT_FOUND",
                     absl::StrCat(directory, ": has no tokenizer.model, tokenizer.json, or vocab.json with merges.txt"),
                     "a runnable GGUF holds its tokenizer: put the model's tokenizer files beside its weights");
  }
  if (!out.ok()) return out.status();
  ResolveSpecialTokens(config, tokenizer_config, special_map, &*out);
  if (out->model == "llama" && std::count(out->types.begin(), out->types.end(), TokenType::kByte) == 0) {
    out->warnings.push_back("the vocabulary has no byte tokens: llama.cpp refuses texts with characters it cannot spell");
  }
  if (out->chat_template.empty() && has("chat_template.jinja")) {
    NS_ASSIGN_OR_RETURN(out->chat_template, ReadFile(JoinPath(directory, "chat_template.jinja"), kMaxTokenizerBytes));
  }
  return out;
}

void AppendMetadata(const Vocabulary& vocabulary, std::vector<checkpoint::GgufMetadata>* out) {
  using checkpoint::GgufValue;
  const auto add = [&](const char* key, GgufValue value) {
    out->push_back({absl::StrCat("tokenizer.", key), std::move(value)});
  };
  add("ggml.model", GgufValue::String(vocabulary.model));
  add("ggml.pre", GgufValue::String(vocabulary.pre));
  add("ggml.tokens", GgufValue::Strings(vocabulary.tokens));
  if (!vocabulary.scores.empty()) add("ggml.scores", GgufValue::F32s(vocabulary.scores));
  std::vector<int64_t> types;
  for (const TokenType type : vocabulary.types) types.push_back(static_cast<int64_t>(type));
  add("ggml.token_type", GgufValue::I32s(std::move(types)));
  if (!vocabulary.merges.empty()) add("ggml.merges", GgufValue::Strings(vocabulary.merges));
  const auto add_id = [&](const char* key, int64_t id) {
    if (id >= 0) add(key, GgufValue::U32(static_cast<uint32_t>(id)));
  };
  add_id("ggml.bos_token_id", vocabulary.bos);
  add_id("ggml.eos_token_id", vocabulary.eos);
  add_id("ggml.unknown_token_id", vocabulary.unknown);
  add_id("ggml.padding_token_id", vocabulary.padding);
  add("ggml.add_bos_token", GgufValue::Bool(vocabulary.add_bos));
  if (vocabulary.model == "llama") add("ggml.add_space_prefix", GgufValue::Bool(vocabulary.add_space_prefix));
  if (!vocabulary.chat_template.empty()) add("chat_template", GgufValue::String(vocabulary.chat_template));
}

}  // namespace nashswarm::model
