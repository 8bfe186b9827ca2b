// What the small files beside a tokenizer say: special tokens, and what a text begins with.
#ifndef NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_
#define NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/bpe_tokenizer.h"

namespace nashswarm::tokenizer {

// Larger ids mean a broken file; vocabularies in use end below 300,000.
inline constexpr int64_t kMaxTokenId = 1 << 22;
inline constexpr uint64_t kMaxTokenizerBytes = 512u << 20;

struct Directory {
  std::string path;
  Json config;             // config.json
  Json tokenizer_config;   // tokenizer_config.json; null: absent, as the others
  Json special_map;        // special_tokens_map.json
  Json added;              // added_tokens.json: text to id

  bool Has(const std::string& file) const;
  absl::StatusOr<Json> ReadJson(const std::string& file) const;
  std::string tokenizer_class() const { return JsonString(tokenizer_config, "tokenizer_class"); }
};

absl::StatusOr<Directory> OpenDirectory(const std::string& path, const Json& config);

// The id of a token's text; -1: none.
using TokenIds = std::function<int32_t(const std::string& text)>;

// Appends the tokens that these files add or name as special and that are not in `tokens` yet.
absl::Status AppendAddedTokens(const Directory& directory, const TokenIds& ids, std::vector<AddedToken>* tokens);

// The flags of an added token from its JSON object; its id is left alone.
AddedToken ReadAddedToken(const Json& json);

// `known` is what the tokenizer's own file says; the other files override it.
Ends ResolveEnds(const Directory& directory, const TokenIds& ids, Ends known);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_DIRECTORY_H_
