// Where a text can be cut without changing what merges make of it.
#ifndef NASHSWARM_CORE_TOKENIZER_JOINTS_H_
#define NASHSWARM_CORE_TOKENIZER_JOINTS_H_

#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {

// No merge crosses the border of two characters that are neighbours in no token: the halves of a text cut there merge
// independently. Tokenizers without a pre-tokenizer hand over whole texts; cut so, they become short words that a cache
// knows, where one heap for all would be slow.
class Joints {
 public:
  // `token` is valid UTF-8.
  void Add(std::string_view token) {
    if (token.empty()) return;
    size_t position = 0;
    for (uint32_t before = NextChar(token, &position); position < token.size();) {
      const uint32_t after = NextChar(token, &position);
      pairs_.insert(Key(before, after));
      before = after;
    }
  }

  bool MayJoin(uint32_t before, uint32_t after) const { return pairs_.contains(Key(before, after)); }

 private:
  static uint64_t Key(uint32_t before, uint32_t after) { return static_cast<uint64_t>(before) << 32 | after; }

  absl::flat_hash_set<uint64_t> pairs_;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_JOINTS_H_
