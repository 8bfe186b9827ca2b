// Tokens that are recognised in a text before anything else looks at it.
#ifndef NASHSWARM_CORE_TOKENIZER_ADDED_TOKENS_H_
#define NASHSWARM_CORE_TOKENIZER_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"

namespace nashswarm::tokenizer {

// An entry of tokenizer.json's added_tokens.
struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;      // left out of decoded text
  bool single_word = false;  // only where no word character is next to it
  bool lstrip = false, rstrip = false;  // takes the spaces before, after it with it
  bool normalized = false;   // looked for in the normalized text, normalized itself
};

// Added tokens in the order in which files list them, found by text and by id: there may be as many as ids.
class AddedTokens {
 public:
  void Add(AddedToken token);

  bool Has(const std::string& text) const { return ids_.contains(text); }
  bool HasId(int32_t id) const { return used_.contains(id); }
  // The id of the first with this text; -1: there is none.
  int32_t Find(const std::string& text) const;

  const std::vector<AddedToken>& list() const { return list_; }
  size_t size() const { return list_.size(); }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::vector<AddedToken> list_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // by text
  absl::flat_hash_set<int32_t> used_;
};

// A stretch of a text, or a token found in it (id >= 0).
struct TextPart {
  std::string_view text;
  int32_t id;
};

// Set of words in a trie over bytes.
class WordSet {
 public:
  void Add(std::string_view word, int32_t value);  // the first value of a word stays
  bool empty() const { return values_.empty(); }

  struct Hit {
    size_t length = 0;
    int32_t value = -1;
  };
  // The longest word that `text` begins with.
  Hit Longest(std::string_view text) const;
  // The values of all words that occur anywhere in the text, each once.
  std::vector<int32_t> AllIn(std::string_view text) const;
  bool MayBegin(char c) const { return begins_[static_cast<uint8_t>(c)]; }

 private:
  uint32_t Child(uint32_t node, char c) const;  // 0: none

  std::array<bool, 256> begins_{};
  uint32_t nodes_ = 1;
  absl::flat_hash_map<uint64_t, uint32_t> children_;
  absl::flat_hash_map<uint32_t, int32_t> values_;  // of nodes where a word ends
};

// Immutable; safe to share among threads.
class AddedTokenSplitter {
 public:
  // `tokens` are to be looked for as they are written in `content`.
  explicit AddedTokenSplitter(std::vector<AddedToken> tokens);

  // Appends the parts of `text` (valid UTF-8), none of them empty: at every place the longest token, from left to right.
  void Split(std::string_view text, std::vector<TextPart>* out) const;

 private:
  std::vector<AddedToken> tokens_;
  WordSet words_;  // values are indices into tokens_
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_ADDED_TOKENS_H_
