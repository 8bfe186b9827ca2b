// Byte-pair encoding by ranked merges (Sennrich et al. 2016; over bytes: Radford et al. 2019).
#ifndef NASHSWARM_CORE_TOKENIZER_BPE_H_
#define NASHSWARM_CORE_TOKENIZER_BPE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/tokenizer/joints.h"

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class Bpe {
 public:
  using Vocabulary = absl::flat_hash_map<std::string, int32_t>;
  using Merge = std::pair<std::string, std::string>;

  struct Options {
    bool byte_level = false;     // pieces are bytes, the vocabulary is written in the alphabet of bytes
    bool byte_fallback = false;  // what is not in the vocabulary is spelt with tokens as <0x0A>
    bool fuse_unknown = false;   // neighbouring unknown characters are one unknown token
    bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
    int32_t unknown = -1;        // -1: what cannot be spelt is left out
  };

  // Pieces seen in one call, with their tokens. Keys point into the texts of that call.
  struct Cache {
    absl::flat_hash_map<std::string_view, std::pair<uint32_t, uint32_t>> found;  // begin and count in ids
    std::vector<int32_t> ids;
  };

  // `merges` by rank. TOKENIZER_INVALID when one names a token that is not in the vocabulary, or makes one.
  static absl::StatusOr<Bpe> Create(const Vocabulary& vocabulary, absl::Span<const Merge> merges, const Options& options,
                                    std::string_view what);

  // Appends the tokens of one piece, valid UTF-8 (any bytes when byte_level). O(n log n) in its length.
  void Encode(std::string_view piece, Cache* cache, std::vector<int32_t>* out) const;

 private:
  struct Target {
    uint32_t rank;
    int32_t id;
  };
  struct Spelling {
    std::vector<int32_t> ids;  // empty: unknown
    bool by_bytes = false;     // with the tokens of byte_fallback
  };
  class Word;

  Spelling SpellingOf(std::string_view symbol, std::string_view text) const;
  void Spell(std::string_view piece, Word* word) const;
  void EncodeWord(std::string_view word, Cache* cache, std::vector<int32_t>* out) const;
  void EncodeUncached(std::string_view piece, std::vector<int32_t>* out) const;

  Options options_;
  Vocabulary ids_;  // keys are bytes when byte_level
  absl::flat_hash_map<uint64_t, Target> merges_;
  // Of characters that are tokens themselves; pieces that are bytes are short, and are not cut.
  Joints joints_;
  absl::flat_hash_set<uint32_t> characters_;
  std::array<Spelling, 256> spellings_;    // of a byte (byte_level) or of an ASCII character
  std::array<int32_t, 256> byte_tokens_;  // of byte_fallback; -1: none
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_BPE_H_
