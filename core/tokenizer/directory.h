// What the small files beside a tokenizer say: special tokens, and what a text begins with.
#ifndef NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_
#define NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/tokenizer/added_tokens.h"

namespace nashswarm::tokenizer {

// Larger ids mean a broken file; vocabularies in use end below 300,000.
inline constexpr int64_t kMaxTokenId = 1 << 22;
inline constexpr uint64_t kMaxTokenizerBytes = 512u << 20;

struct Directory {
  std::string path;
  Json config;             // config.json
  Json generation;         // generation_config.json
  Json tokenizer_config;   // tokenizer_config.json; null: absent, as the others
  Json special_map;        // special_tokens_map.json
  Json added;              // added_tokens.json: text to id

  bool Has(const std::string& file) const;
  absl::StatusOr<Json> ReadJson(const std::string& file) const;
  std::string tokenizer_class() const { return JsonString(tokenizer_config, "tokenizer_class"); }
};

absl::StatusOr<Directory> OpenDirectory(const std::string& path, const Json& config);

// Tokens with a part to play; -1: none.
struct Ends {
  int32_t bos = -1, eos = -1, unknown = -1, padding = -1, separator = -1, mask = -1;
  bool add_bos = false, add_eos = false;  // whether a text of its own begins and ends with them
};

// The id of a token's text; -1: none.
using TokenIds = std::function<int32_t(const std::string& text)>;

// Appends the tokens that these files add or name as special and that are not in `tokens` yet.
absl::Status AppendAddedTokens(const Directory& directory, const TokenIds& ids, AddedTokens* tokens);

// The flags of an added token from its JSON object; its id is left alone.
AddedToken ReadAddedToken(const Json& json);

// `known` is what the tokenizer's own file says; the other files override it.
Ends ResolveEnds(const Directory& directory, const TokenIds& ids, Ends known);

// Every token that ends what a model writes, as generation_config.json and config.json say it, in their order; each once.
std::vector<int32_t> AllEnds(const Directory& directory);

// A chat template by its name; "default" is the one that is used unless another is asked for.
struct ChatTemplate {
  std::string name, text;
};
// From chat_template.jinja with additional_chat_templates/*.jinja, else chat_template.json, else tokenizer_config.json, in this
// order of precedence as transformers reads them; the default comes first, and no two have one name.
absl::StatusOr<std::vector<ChatTemplate>> ReadChatTemplates(const Directory& directory);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_
