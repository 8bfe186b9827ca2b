// A tokenizer made of the parts of tokenizer.json: added tokens, normalizer, pre-tokenizer, merges, decoder.
#ifndef NASHSWARM_CORE_TOKENIZER_BPE_TOKENIZER_H_
#define NASHSWARM_CORE_TOKENIZER_BPE_TOKENIZER_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/bpe.h"
#include "core/tokenizer/decoder.h"
#include "core/tokenizer/directory.h"
#include "core/tokenizer/normalizer.h"
#include "core/tokenizer/pre_tokenizer.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

struct BpeParts {
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  Decoder decoder;
  absl::flat_hash_map<int32_t, std::string> texts;  // by id, added tokens too
  Ends ends;
};

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeParts parts);

  std::vector<int32_t> Encode(std::string_view text) const override;
  std::string Decode(absl::Span<const int32_t> tokens) const override;
  uint64_t size() const override { return size_; }
  int32_t bos() const override { return parts_.ends.bos; }
  int32_t eos() const override { return parts_.ends.eos; }
  bool add_bos() const override { return parts_.ends.add_bos; }

 private:
  void EncodeStretch(std::string_view text, bool first, Bpe::Cache* cache, TextArena* arena, std::vector<int32_t>* out) const;

  BpeParts parts_;
  AddedTokenSplitter raw_, normalized_;  // tokens looked for before and after normalizing
  absl::flat_hash_set<int32_t> special_;
  uint64_t size_ = 0;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_BPE_TOKENIZER_H_
