#include "core/tokenizer/directory.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/file.h"
#include "core/tokenizer/json_parts.h"

namespace nashswarm::tokenizer {
namespace {

constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// "bos_token": "<s>" or {"content": "<s>"}.
std::string TextOf(const Json& token) {
  return token.is_string() ? token.get<std::string>() : JsonString(token, "content");
}

// Adds a token unless its text is there already.
void AddOnce(AddedToken token, AddedTokens* tokens) {
  if (!token.content.empty() && !tokens->Has(token.content)) tokens->Add(std::move(token));
}

void AddSpecial(const Json& json, const TokenIds& ids, AddedTokens* tokens) {
  AddedToken token = ReadAddedToken(json);
  token.content = TextOf(json);
  token.special = true;
  token.id = ids(token.content);
  // A token without an id would get one behind the vocabulary, for which the model has no row.
  if (token.id >= 0) AddOnce(std::move(token), tokens);
}

bool LooksSpecial(const std::string& text) {
  return (absl::StartsWith(text, "<|") && absl::EndsWith(text, "|>")) || (absl::StartsWith(text, "<｜") && absl::EndsWith(text, "｜>"));
}

absl::Status CheckId(std::string_view file, const std::string& text, int64_t id) {
  if (id >= 0 && id < kMaxTokenId) return absl::OkStatus();
  return Invalid(file, absl::StrCat("token '", text.substr(0, 200), "' has the id ", id, ", which is outside [0, ", kMaxTokenId, ")"));
}

absl::Status AppendDecoderList(const Json& list, const TokenIds& ids, AddedTokens* tokens) {
  constexpr char kFile[] = "tokenizer_config.json";
  if (!list.is_object()) return absl::OkStatus();
  for (const auto& [key, json] : list.items()) {
    int64_t id;
    if (!absl::SimpleAtoi(key, &id)) return Invalid(kFile, absl::StrCat("added token's id '", key.substr(0, 100), "' is no number"));
    AddedToken token = ReadAddedToken(json);
    NS_RETURN_IF_ERROR(CheckId(kFile, token.content, id));
    const int32_t known = ids(token.content);
    token.id = known >= 0 ? known : static_cast<int32_t>(id);
    AddOnce(std::move(token), tokens);
  }
  return absl::OkStatus();
}

int64_t FirstId(const Json& config, const char* key) {  // eos_token_id may be a list
  const Json& value = Field(config, key);
  if (value.is_array() && !value.empty() && value[0].is_number_integer()) return value[0].get<int64_t>();
  return JsonInt(config, key, -1);
}

// Classes of transformers that put bos before a text unless told otherwise.
bool AddsBosByDefault(std::string_view tokenizer_class) {
  for (const std::string_view name : {"Llama", "CodeLlama", "Gemma"}) {
    if (tokenizer_class == absl::StrCat(ToAbsl(name), "Tokenizer") || tokenizer_class == absl::StrCat(ToAbsl(name), "TokenizerFast")) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool Directory::Has(const std::string& file) const { return PathExists(JoinPath(path, file)); }

absl::StatusOr<Json> Directory::ReadJson(const std::string& file) const {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(path, file), kMaxTokenizerBytes));
  absl::StatusOr<Json> json = ParseJson(text, file);
  if (json.ok()) return json;
  return Invalid(file, ToStd(json.status().message()));
}

absl::StatusOr<Directory> OpenDirectory(const std::string& path, const Json& config) {
  Directory out;
  out.path = path;
  out.config = config;
  for (const auto& [file, json] : {std::pair{"tokenizer_config.json", &out.tokenizer_config},
                                   std::pair{"special_tokens_map.json", &out.special_map},
                                   std::pair{"generation_config.json", &out.generation},
                                   std::pair{"added_tokens.json", &out.added}}) {
    if (!out.Has(file)) continue;
    NS_ASSIGN_OR_RETURN(*json, out.ReadJson(file));
  }
  return out;
}

AddedToken ReadAddedToken(const Json& json) {
  AddedToken token;
  token.content = JsonString(json, "content");
  token.special = JsonBool(json, "special", false);
  token.single_word = JsonBool(json, "single_word", false);
  token.lstrip = JsonBool(json, "lstrip", false);
  token.rstrip = JsonBool(json, "rstrip", false);
  token.normalized = JsonBool(json, "normalized", false);
  return token;
}

absl::Status AppendAddedTokens(const Directory& directory, const TokenIds& ids, AddedTokens* tokens) {
  NS_RETURN_IF_ERROR(AppendDecoderList(Field(directory.tokenizer_config, "added_tokens_decoder"), ids, tokens));
  const auto named = [&](const char* name) -> const Json& {
    const Json& first = Field(directory.tokenizer_config, name);
    return first.is_null() ? Field(directory.special_map, name) : first;
  };
  for (const char* name : kNamedTokens) AddSpecial(named(name), ids, tokens);
  if (const Json& more = named("additional_special_tokens"); more.is_array()) {
    for (const Json& token : more) AddSpecial(token, ids, tokens);
  }
  if (!directory.added.is_object()) return absl::OkStatus();
  for (const auto& [text, id] : directory.added.items()) {
    if (!id.is_number_integer()) return Invalid("added_tokens.json", absl::StrCat("the id of token '", text.substr(0, 200), "' is no integer"));
    NS_RETURN_IF_ERROR(CheckId("added_tokens.json", text, id.get<int64_t>()));
    AddedToken token;
    token.content = text;
    token.id = static_cast<int32_t>(id.get<int64_t>());
    token.special = LooksSpecial(text);  // this file does not say
    AddOnce(std::move(token), tokens);
  }
  return absl::OkStatus();
}

Ends ResolveEnds(const Directory& directory, const TokenIds& ids, Ends known) {
  const auto resolve = [&](const char* token_key, const char* id_key, int32_t* id) {
    for (const Json* source : {&directory.tokenizer_config, &directory.special_map}) {
      const int32_t named = ids(TextOf(Field(*source, token_key)));
      if (named >= 0) {
        *id = named;
        return;
      }
    }
    const int64_t from_config = FirstId(directory.config, id_key);
    if (*id < 0 && from_config >= 0 && from_config < kMaxTokenId) *id = static_cast<int32_t>(from_config);
  };
  resolve("bos_token", "bos_token_id", &known.bos);
  resolve("eos_token", "eos_token_id", &known.eos);
  resolve("unk_token", "unk_token_id", &known.unknown);
  resolve("pad_token", "pad_token_id", &known.padding);
  resolve("sep_token", "sep_token_id", &known.separator);
  resolve("mask_token", "mask_token_id", &known.mask);
  const bool by_default = known.add_bos || AddsBosByDefault(directory.tokenizer_class());
  known.add_bos = JsonBool(directory.tokenizer_config, "add_bos_token", by_default) && known.bos >= 0;
  known.add_eos = JsonBool(directory.tokenizer_config, "add_eos_token", known.add_eos) && known.eos >= 0;
  return known;
}

std::vector<int32_t> AllEnds(const Directory& directory) {
  std::vector<int32_t> out;
  const auto add = [&](const Json& id) {
    if (!id.is_number_integer()) return;
    const int64_t number = id.get<int64_t>();
    if (number < 0 || number >= kMaxTokenId) return;
    if (std::find(out.begin(), out.end(), number) == out.end()) out.push_back(static_cast<int32_t>(number));
  };
  for (const Json* source : {&directory.generation, &directory.config}) {
    const Json& ids = Field(*source, "eos_token_id");
    if (!ids.is_array()) add(ids);
    else for (const Json& id : ids) add(id);
  }
  return out;
}

namespace {

constexpr char kDefault[] = "default";

// Of several with one name the last is used, as of the keys of a dictionary in Python.
std::vector<ChatTemplate> LastOfEachName(std::vector<ChatTemplate> all) {
  std::vector<ChatTemplate> out;
  absl::flat_hash_map<std::string, size_t> places;
  for (ChatTemplate& found : all) {
    const auto [it, fresh] = places.emplace(found.name, out.size());
    if (fresh) out.push_back(std::move(found));
    else out[it->second].text = std::move(found.text);
  }
  return out;
}

// A template, or a list of them with their names.
std::vector<ChatTemplate> TemplatesIn(const Json& value) {
  std::vector<ChatTemplate> out;
  if (value.is_string()) out.push_back({kDefault, value.get<std::string>()});
  if (!value.is_array()) return out;
  for (const Json& entry : value) {
    ChatTemplate found{JsonString(entry, "name"), JsonString(entry, "template")};
    if (!found.name.empty() && !found.text.empty()) out.push_back(std::move(found));
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<ChatTemplate>> ReadChatTemplates(const Directory& directory) {
  constexpr char kFile[] = "chat_template.jinja", kMore[] = "additional_chat_templates", kEnding[] = ".jinja";
  std::vector<ChatTemplate> out;
  if (directory.Has(kFile)) {
    NS_ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(directory.path, kFile), kMaxTokenizerBytes));
    out.push_back({kDefault, std::move(text)});
  }
  if (directory.Has(kMore)) {
    const std::string folder = JoinPath(directory.path, kMore);
    NS_ASSIGN_OR_RETURN(std::vector<std::string> files, ListFiles(folder));
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      if (!absl::EndsWith(file, kEnding)) continue;
      NS_ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(folder, file), kMaxTokenizerBytes));
      out.push_back({file.substr(0, file.size() - sizeof(kEnding) + 1), std::move(text)});
    }
  }
  if (out.empty() && directory.Has("chat_template.json")) {
    NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson("chat_template.json"));
    out = TemplatesIn(Field(json, "chat_template"));
  }
  if (out.empty()) out = TemplatesIn(Field(directory.tokenizer_config, "chat_template"));
  out = LastOfEachName(std::move(out));
  std::stable_partition(out.begin(), out.end(), [](const ChatTemplate& found) { return found.name == kDefault; });
  return out;
}

}  // namespace nashswarm::tokenizer
