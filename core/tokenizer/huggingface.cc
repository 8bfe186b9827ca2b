#include "core/tokenizer/huggingface.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/tokenizer/json_parts.h"

namespace nashswarm::tokenizer {
namespace {

constexpr char kJsonFile[] = "tokenizer.json";

struct Vocabulary {
  Bpe::Vocabulary ids;
  absl::flat_hash_map<int32_t, std::string> texts;

  int32_t Find(const std::string& text) const {
    const auto it = ids.find(text);
    return it == ids.end() ? -1 : it->second;
  }
};

absl::StatusOr<Vocabulary> ReadVocabulary(const Json& json, std::string_view file) {
  if (!json.is_object() || json.empty()) return Invalid(file, "has no map from tokens to ids");
  Vocabulary out;
  out.ids.reserve(json.size());
  out.texts.reserve(json.size());
  for (const auto& [text, id] : json.items()) {
    if (!id.is_number_integer()) return Invalid(file, absl::StrCat("the id of token '", text.substr(0, 200), "' is no integer"));
    const int64_t number = id.get<int64_t>();
    if (number < 0 || number >= kMaxTokenId) {
      return Invalid(file, absl::StrCat("token '", text.substr(0, 200), "' has the id ", number, ", which is outside [0, ", kMaxTokenId, ")"));
    }
    const auto [it, fresh] = out.texts.emplace(static_cast<int32_t>(number), text);
    if (!fresh) {
      return Invalid(file, absl::StrCat("tokens '", it->second.substr(0, 200), "' and '", text.substr(0, 200), "' have the same id ", number));
    }
    out.ids.emplace(text, static_cast<int32_t>(number));
  }
  return out;
}

absl::StatusOr<Bpe::Merge> ParseMerge(std::string_view line, std::string_view file, size_t number) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() || line.find(' ', space + 1) != std::string_view::npos) {
    return Invalid(file, absl::StrCat("merge ", number, " is not two tokens with a space between: '", ToAbsl(line.substr(0, 200)), "'"));
  }
  return Bpe::Merge(line.substr(0, space), line.substr(space + 1));
}

absl::StatusOr<std::vector<Bpe::Merge>> ReadMerges(const Json& merges) {
  std::vector<Bpe::Merge> out;
  if (!merges.is_array()) return Invalid(kJsonFile, "the model has no list of merges");
  out.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      NS_ASSIGN_OR_RETURN(Bpe::Merge pair, ParseMerge(merge.get_ref<const std::string&>(), kJsonFile, out.size()));
      out.push_back(std::move(pair));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      return Invalid(kJsonFile, absl::StrCat("merge ", out.size(), " is neither a string nor a pair of strings"));
    }
  }
  return out;
}

absl::StatusOr<std::vector<Bpe::Merge>> ReadMergesFile(const std::string& text) {
  std::vector<Bpe::Merge> out;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripSuffix(line, "\r");
    if (line.empty() || (out.empty() && absl::StartsWith(line, "#version"))) continue;
    NS_ASSIGN_OR_RETURN(Bpe::Merge pair, ParseMerge(ToStd(line), "merges.txt", out.size()));
    out.push_back(std::move(pair));
  }
  return out;
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const Json& list, const Vocabulary& vocabulary) {
  std::vector<AddedToken> out;
  if (list.is_null()) return out;
  if (!list.is_array()) return Invalid(kJsonFile, "added_tokens is no list");
  for (const Json& json : list) {
    AddedToken token = ReadAddedToken(json);
    if (token.content.empty()) continue;
    const int64_t id = JsonInt(json, "id", -1);
    const int32_t known = vocabulary.Find(token.content);
    if (known < 0 && (id < 0 || id >= kMaxTokenId)) {
      return Invalid(kJsonFile, absl::StrCat("added token '", token.content.substr(0, 200), "' has the id ", id,
                                             ", which is outside [0, ", kMaxTokenId, ")"));
    }
    token.id = known >= 0 ? known : static_cast<int32_t>(id);
    out.push_back(std::move(token));
  }
  return out;
}

// Adds the added tokens to the texts by id; two texts must not have the same id.
absl::Status PlaceAddedTokens(const std::vector<AddedToken>& added, std::string_view file, Vocabulary* vocabulary) {
  for (const AddedToken& token : added) {
    const auto [it, fresh] = vocabulary->texts.emplace(token.id, token.content);
    if (!fresh && it->second != token.content) {
      return Invalid(file, absl::StrCat("tokens '", it->second.substr(0, 200), "' and '", token.content.substr(0, 200),
                                        "' have the same id ", token.id));
    }
    vocabulary->ids.emplace(token.content, token.id);
  }
  return absl::OkStatus();
}

// The token that a TemplateProcessing puts before a text: {"single": [{"SpecialToken": {"id": "<s>"}}, ...]}.
std::string FirstOfTemplate(const Json& post_processor) {
  const std::string type = JsonString(post_processor, "type");
  if (type == "Sequence") {
    for (const Json& part : Field(post_processor, "processors")) {
      if (std::string found = FirstOfTemplate(part); !found.empty()) return found;
    }
  }
  const Json& single = Field(post_processor, "single");
  if (type != "TemplateProcessing" || !single.is_array() || single.empty()) return {};
  const std::string name = JsonString(Field(single[0], "SpecialToken"), "id");
  // The name in the template stands for the tokens that "special_tokens" lists under it.
  const Json& tokens = Field(Field(Field(post_processor, "special_tokens"), name.c_str()), "tokens");
  return tokens.is_array() && !tokens.empty() && tokens[0].is_string() ? tokens[0].get<std::string>() : name;
}

absl::StatusOr<Bpe> ReadModel(const Json& model, const Vocabulary& vocabulary, bool byte_level) {
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!JsonString(model, affix).empty()) {
      return Unknown(kJsonFile, absl::StrCat("a model with ", affix, " is not supported"), "");
    }
  }
  NS_ASSIGN_OR_RETURN(const std::vector<Bpe::Merge> merges, ReadMerges(Field(model, "merges")));
  Bpe::Options options;
  options.byte_level = byte_level;
  options.byte_fallback = JsonBool(model, "byte_fallback", false);
  options.fuse_unknown = JsonBool(model, "fuse_unk", false);
  options.ignore_merges = JsonBool(model, "ignore_merges", false);
  options.unknown = vocabulary.Find(JsonString(model, "unk_token"));
  return Bpe::Create(vocabulary.ids, merges, options, kJsonFile);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizerJson(const Json& json, const Directory& directory) {
  const Json& model = Field(json, "model");
  if (!model.is_object()) return Invalid(kJsonFile, "has no model");
  const std::string type = JsonString(model, "type", model.contains("merges") ? "BPE" : "");
  if (type != "BPE") {
    return Unknown(kJsonFile, absl::StrCat("model type '", type.substr(0, 100), "' is not supported; BPE is"),
                   "models with a SentencePiece tokenizer also need their tokenizer.model file in the directory");
  }
  NS_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(Field(model, "vocab"), kJsonFile));
  BpeParts parts;
  NS_ASSIGN_OR_RETURN(parts.pre_tokenizer, PreTokenizer::Parse(Field(json, "pre_tokenizer"), "tokenizer.json: pre_tokenizer"));
  NS_ASSIGN_OR_RETURN(parts.normalizer, Normalizer::Parse(Field(json, "normalizer"), "tokenizer.json: normalizer"));
  NS_ASSIGN_OR_RETURN(parts.decoder, Decoder::Parse(Field(json, "decoder"), "tokenizer.json: decoder"));
  NS_ASSIGN_OR_RETURN(parts.bpe, ReadModel(model, vocabulary, parts.pre_tokenizer.byte_level()));
  NS_ASSIGN_OR_RETURN(parts.added, ReadAddedTokens(Field(json, "added_tokens"), vocabulary));
  NS_RETURN_IF_ERROR(PlaceAddedTokens(parts.added, kJsonFile, &vocabulary));
  const auto ids = [&](const std::string& text) { return vocabulary.Find(text); };
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, ids, &parts.added));
  NS_RETURN_IF_ERROR(PlaceAddedTokens(parts.added, "tokenizer_config.json or added_tokens.json", &vocabulary));

  const int32_t first = vocabulary.Find(FirstOfTemplate(Field(json, "post_processor")));
  parts.ends = ResolveEnds(directory, ids, {.bos = first, .eos = -1, .add_bos = first >= 0});
  parts.texts = std::move(vocabulary.texts);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenVocabAndMerges(const Directory& directory) {
  NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson("vocab.json"));
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory.path, "merges.txt"), kMaxTokenizerBytes));
  NS_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(json, "vocab.json"));
  NS_ASSIGN_OR_RETURN(const std::vector<Bpe::Merge> merges, ReadMergesFile(text));
  BpeParts parts;
  // These files say nothing about how a text is cut: the class does.
  const bool qwen = absl::StrContains(directory.tokenizer_class(), "Qwen2");
  if (qwen) {
    NS_ASSIGN_OR_RETURN(parts.normalizer, Normalizer::Parse(Json{{"type", "NFC"}}, "vocab.json"));
    NS_ASSIGN_OR_RETURN(parts.pre_tokenizer, PreTokenizer::ByteLevelOf({kQwen2Pattern}, "vocab.json"));
  } else {
    const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", JsonBool(directory.tokenizer_config, "add_prefix_space", false)}};
    NS_ASSIGN_OR_RETURN(parts.pre_tokenizer, PreTokenizer::Parse(byte_level, "vocab.json"));
  }
  parts.decoder = Decoder::ByteLevel();
  const auto ids = [&](const std::string& token) { return vocabulary.Find(token); };
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, ids, &parts.added));
  // What the classes for such files take for every special token that is not named.
  if (const int32_t end = ids("<|endoftext|>"); end >= 0) {
    const auto is_end = [&](const AddedToken& token) { return token.id == end; };
    if (std::none_of(parts.added.begin(), parts.added.end(), is_end)) {
      parts.added.push_back({.content = "<|endoftext|>", .id = end, .special = true});
    }
  }
  Bpe::Options options;
  options.byte_level = true;
  NS_ASSIGN_OR_RETURN(parts.bpe, Bpe::Create(vocabulary.ids, merges, options, "merges.txt"));
  NS_RETURN_IF_ERROR(PlaceAddedTokens(parts.added, "added_tokens.json", &vocabulary));
  parts.ends = ResolveEnds(directory, ids, {});
  parts.texts = std::move(vocabulary.texts);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace nashswarm::tokenizer
