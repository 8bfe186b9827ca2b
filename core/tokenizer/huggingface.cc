#include "core/tokenizer/huggingface.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/tokenizer/bpe_tokenizer.h"
#include "core/tokenizer/json_parts.h"

namespace nashswarm::tokenizer {
namespace {

constexpr char kJsonFile[] = "tokenizer.json";

absl::StatusOr<Bpe::Vocabulary> ReadIds(const Json& json, std::string_view file) {
  if (!json.is_object() || json.empty()) return Invalid(file, "has no map from tokens to ids");
  Bpe::Vocabulary out;
  absl::flat_hash_map<int32_t, std::string> texts;
  out.reserve(json.size());
  texts.reserve(json.size());
  for (const auto& [text, id] : json.items()) {
    if (!id.is_number_integer()) return Invalid(file, absl::StrCat("the id of token '", text.substr(0, 200), "' is no integer"));
    const int64_t number = id.get<int64_t>();
    if (number < 0 || number >= kMaxTokenId) {
      return Invalid(file, absl::StrCat("token '", text.substr(0, 200), "' has the id ", number, ", which is outside [0, ", kMaxTokenId, ")"));
    }
    const auto [it, fresh] = texts.emplace(static_cast<int32_t>(number), text);
    if (!fresh) {
      return Invalid(file, absl::StrCat("tokens '", it->second.substr(0, 200), "' and '", text.substr(0, 200), "' have the same id ", number));
    }
    out.emplace(text, static_cast<int32_t>(number));
  }
  return out;
}

// Lookups in a description that is being made.
TokenIds IdsOf(const Description& description) {
  return [&description](const std::string& text) { return description.Find(text); };
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

// Texts by id, the model's and the added ones; two texts must not have the same id.
absl::StatusOr<absl::flat_hash_map<int32_t, std::string>> TextsOf(const Description& description) {
  absl::flat_hash_map<int32_t, std::string> texts;
  texts.reserve(description.ids.size() + description.added.size());
  for (const auto& [text, id] : description.ids) texts.emplace(id, text);
  for (const AddedToken& token : description.added) {
    const auto [it, fresh] = texts.emplace(token.id, token.content);
    if (fresh || it->second == token.content) continue;
    return Invalid(description.file, absl::StrCat("tokens '", it->second.substr(0, 200), "' and '", token.content.substr(0, 200),
                                                  "' have the same id ", token.id));
  }
  return texts;
}

// The token that a TemplateProcessing puts before or after a text: {"single": [{"SpecialToken": {"id": "<s>"}}, ...]}.
std::string EndOfTemplate(const Json& post_processor, bool last) {
  const std::string type = JsonString(post_processor, "type");
  if (type == "Sequence") {
    for (const Json& part : Field(post_processor, "processors")) {
      if (std::string found = EndOfTemplate(part, last); !found.empty()) return found;
    }
  }
  const Json& single = Field(post_processor, "single");
  if (type != "TemplateProcessing" || !single.is_array() || single.empty()) return {};
  const std::string name = JsonString(Field(last ? single.back() : single.front(), "SpecialToken"), "id");
  // The name in the template stands for the tokens that "special_tokens" lists under it.
  const Json& tokens = Field(Field(Field(post_processor, "special_tokens"), name.c_str()), "tokens");
  return tokens.is_array() && !tokens.empty() && tokens[0].is_string() ? tokens[0].get<std::string>() : name;
}

absl::Status CheckAffixes(const Json& model) {
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!JsonString(model, affix).empty()) return Unknown(kJsonFile, absl::StrCat("a model with ", affix, " is not supported"), "");
  }
  return absl::OkStatus();
}

// What is said of it as JSON; the other parts are left alone.
absl::Status ParseParts(const Description& description, BpeParts* parts) {
  const auto part = [&](const char* name) { return absl::StrCat(description.file, ": ", name); };
  NS_ASSIGN_OR_RETURN(parts->pre_tokenizer, PreTokenizer::Parse(description.pre_tokenizer, part("pre_tokenizer")));
  NS_ASSIGN_OR_RETURN(parts->normalizer, Normalizer::Parse(description.normalizer, part("normalizer")));
  NS_ASSIGN_OR_RETURN(parts->decoder, Decoder::Parse(description.decoder, part("decoder")));
  return absl::OkStatus();
}

// Does any object below `node` have this type?
bool MentionsType(const Json& node, std::string_view type) {
  if (JsonString(node, "type") == type) return true;
  if (!node.is_structured()) return false;
  return std::any_of(node.begin(), node.end(), [&](const Json& child) { return MentionsType(child, type); });
}

}  // namespace

absl::StatusOr<AddedTokens> ReadAddedTokens(const Json& tokenizer_json, const TokenIds& ids) {
  AddedTokens out;
  const Json& list = Field(tokenizer_json, "added_tokens");
  if (list.is_null()) return out;
  if (!list.is_array()) return Invalid(kJsonFile, "added_tokens is no list");
  for (const Json& json : list) {
    AddedToken token = ReadAddedToken(json);
    if (token.content.empty()) continue;
    const int64_t id = JsonInt(json, "id", -1);
    const int32_t known = ids(token.content);
    if (known < 0 && (id < 0 || id >= kMaxTokenId)) {
      return Invalid(kJsonFile, absl::StrCat("added token '", token.content.substr(0, 200), "' has the id ", id,
                                             ", which is outside [0, ", kMaxTokenId, ")"));
    }
    token.id = known >= 0 ? known : static_cast<int32_t>(id);
    out.Add(std::move(token));
  }
  return out;
}

absl::StatusOr<Description> DescribeTokenizerJson(const Json& json, const Directory& directory) {
  const Json& model = Field(json, "model");
  if (!model.is_object()) return Invalid(kJsonFile, "has no model");
  const std::string type = JsonString(model, "type", model.contains("merges") ? "BPE" : "");
  if (type != "BPE") {
    return Unknown(kJsonFile, absl::StrCat("model type '", type.substr(0, 100), "' is not supported; BPE is"),
                   "models with a SentencePiece tokenizer also need their tokenizer.model file in the directory");
  }
  NS_RETURN_IF_ERROR(CheckAffixes(model));
  Description out;
  out.file = kJsonFile;
  NS_ASSIGN_OR_RETURN(out.ids, ReadIds(Field(model, "vocab"), kJsonFile));
  NS_ASSIGN_OR_RETURN(out.merges, ReadMerges(Field(model, "merges")));
  out.normalizer = Field(json, "normalizer");
  out.pre_tokenizer = Field(json, "pre_tokenizer");
  out.decoder = Field(json, "decoder");
  const bool bytes = MentionsType(out.pre_tokenizer, "ByteLevel") || MentionsType(out.decoder, "ByteLevel");
  out.kind = bytes ? Description::Kind::kByteLevel : Description::Kind::kPieces;
  out.options.byte_fallback = JsonBool(model, "byte_fallback", false);
  out.options.fuse_unknown = JsonBool(model, "fuse_unk", false);
  out.options.ignore_merges = JsonBool(model, "ignore_merges", false);
  out.options.unknown = out.Find(JsonString(model, "unk_token"));
  NS_ASSIGN_OR_RETURN(out.added, ReadAddedTokens(json, IdsOf(out)));
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, IdsOf(out), &out.added));
  // unk_token may be an added token alone.
  if (out.options.unknown < 0) out.options.unknown = out.Find(JsonString(model, "unk_token"));

  const Json& post_processor = Field(json, "post_processor");
  const int32_t first = out.Find(EndOfTemplate(post_processor, /*last=*/false)), last = out.Find(EndOfTemplate(post_processor, /*last=*/true));
  Ends known;
  known.bos = first;
  known.add_bos = first >= 0;
  known.add_eos = last >= 0;
  known.unknown = out.options.unknown;
  out.ends = ResolveEnds(directory, IdsOf(out), known);
  return out;
}

absl::StatusOr<Description> DescribeVocabAndMerges(const Directory& directory) {
  constexpr char kVocabulary[] = "vocab.json";
  NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson(kVocabulary));
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory.path, "merges.txt"), kMaxTokenizerBytes));
  Description out;
  out.file = "vocab.json with merges.txt";
  NS_ASSIGN_OR_RETURN(out.ids, ReadIds(json, kVocabulary));
  NS_ASSIGN_OR_RETURN(out.merges, ReadMergesFile(text));
  // These files say nothing about how a text is cut: the class does.
  if (absl::StrContains(directory.tokenizer_class(), "Qwen2")) {
    out.normalizer = {{"type", "NFC"}};
    out.pre_tokenizer = {{"type", "Sequence"},
                         {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}},
                                            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  } else {
    out.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", JsonBool(directory.tokenizer_config, "add_prefix_space", false)}};
  }
  out.decoder = {{"type", "ByteLevel"}};
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, IdsOf(out), &out.added));
  // What the classes for such files take for every special token that is not named.
  if (const int32_t end = out.Find("<|endoftext|>"); end >= 0 && !out.added.HasId(end)) {
    out.added.Add({.content = "<|endoftext|>", .id = end, .special = true});
  }
  out.ends = ResolveEnds(directory, IdsOf(out), {});
  return out;
}

absl::Status CheckParts(const Description& description) {
  BpeParts parts;
  return ParseParts(description, &parts);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeBpe(const Description& description) {
  BpeParts parts;
  NS_RETURN_IF_ERROR(ParseParts(description, &parts));
  Bpe::Options options = description.options;
  options.byte_level = parts.pre_tokenizer.byte_level();
  NS_ASSIGN_OR_RETURN(parts.bpe, Bpe::Create(description.ids, description.merges, options, description.file));
  parts.added = description.added.list();
  parts.ends = description.ends;
  NS_ASSIGN_OR_RETURN(parts.texts, TextsOf(description));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace nashswarm::tokenizer
