// Merging by score: what llama.cpp does with a SentencePiece vocabulary (Kudo and Richardson 2018, its BPE models).
#ifndef NASHSWARM_CORE_TOKENIZER_SCORED_MERGES_H_
#define NASHSWARM_CORE_TOKENIZER_SCORED_MERGES_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/tokenizer/joints.h"

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class ScoredMerges {
 public:
  struct Piece {
    int32_t id;
    float score;
  };

  // `unknown` stands for bytes without a token; -1: they are left out.
  ScoredMerges(absl::flat_hash_map<std::string, Piece> pieces, int32_t unknown);

  // Appends the tokens of `text`, valid UTF-8 in which spaces are U+2581 already. Again and again the neighbours join
  // whose joint token has the highest score, the leftmost of equals. O(n log n).
  void Encode(std::string_view text, std::vector<int32_t>* out) const;

 private:
  void EncodeWord(std::string_view word, std::vector<int32_t>* out) const;

  absl::flat_hash_map<std::string, Piece> pieces_;
  Joints joints_;
  std::array<int32_t, 256> bytes_;  // -1: none
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_SCORED_MERGES_H_
