// What a Hugging Face directory says of its tokenizer, read once. Of it are made both the tokenizer itself and the vocabulary of
// a GGUF file (gguf_vocabulary.h), so that the two cannot know different tokens.
#ifndef NASHSWARM_CORE_TOKENIZER_DESCRIPTION_H_
#define NASHSWARM_CORE_TOKENIZER_DESCRIPTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/bpe.h"
#include "core/tokenizer/directory.h"
#include "core/tokenizer/sentencepiece_file.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

struct Description {
  enum class Kind {
    kByteLevel,      // BPE over bytes, its vocabulary in the alphabet of bytes
    kPieces,         // BPE over SentencePiece's pieces, from tokenizer.json
    kSentencePiece,  // tokenizer.model
  };
  Kind kind = Kind::kByteLevel;
  std::string file;                       // that it comes from: "tokenizer.json"
  Bpe::Vocabulary ids;                    // of the model; added tokens may have ids of their own
  std::vector<Bpe::Merge> merges;         // by rank
  Bpe::Options options;
  Json normalizer, pre_tokenizer, decoder;  // as tokenizer.json has them
  std::string model_file;                 // of kSentencePiece: tokenizer.model, whole
  SentencePieceFile pieces;               // of kSentencePiece
  AddedTokens added;
  Ends ends;

  // The id of a token's text, the model's or an added one's; -1: none.
  int32_t Find(const std::string& text) const;
};

// tokenizer.json where there is one that can be read, else tokenizer.model, else vocab.json with merges.txt. NOT_FOUND /
// TOKENIZER_NOT_FOUND; INVALID_ARGUMENT with TOKENIZER_INVALID or TOKENIZER_UNKNOWN names the file and the part.
absl::StatusOr<Description> DescribeTokenizer(const Directory& directory);

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const Description& description);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_DESCRIPTION_H_
