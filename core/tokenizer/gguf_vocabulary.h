// A directory's tokenizer in the form GGUF stores it, and what that form cannot say.
// Token types and keys: the GGUF specification, "Tokenizer"; what they do to a text: llama.cpp (src/llama-vocab.cpp).
#ifndef NASHSWARM_CORE_TOKENIZER_GGUF_VOCABULARY_H_
#define NASHSWARM_CORE_TOKENIZER_GGUF_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/checkpoint/gguf.h"
#include "core/tokenizer/description.h"
#include "core/tokenizer/directory.h"

namespace nashswarm::tokenizer {

enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Texts that llama.cpp takes for control tokens whatever the file says.
absl::Span<const std::string_view> ControlLookingTokens();

struct Vocabulary {
  std::string model;                  // "gpt2": byte-level BPE; "llama": SentencePiece
  std::string pre;                    // pre-tokenizer by llama.cpp's name
  std::vector<std::string> tokens;    // one a row of the embedding, no two alike
  std::vector<double> scores;         // SentencePiece only, one per token
  std::vector<TokenType> types;
  std::vector<std::string> merges;    // byte-level BPE only, "left right"
  Ends ends;
  std::vector<std::pair<std::string, int32_t>> roles;  // further tokens by their key: {"eot", 107}, {"fim_pre", 5}
  bool add_space_prefix = false;
  std::vector<ChatTemplate> templates;  // each of a key of its own
  std::vector<std::string> warnings;

  // Where llama.cpp is known to cut a text otherwise than the directory's tokenizer.
  Json unsaid_normalizer;             // tokenizer.json's, what of it GGUF cannot say: texts that it leaves alone agree
  bool differs_anywhere = false;      // any text may differ
  std::string differs_in;             // what in it, where that is known: "numbers"
  bool differs_at_tokens = false;     // texts with added tokens in them
  bool differs_at_space = false;      // texts that begin with a space
};

struct VocabularyOptions {
  // What llama.cpp has no name for is written as the nearest thing, with a warning, instead of being refused.
  bool allow_mismatch = false;
};

// `rows` is the number of rows of the embedding: missing tokens are filled up as unused. Added tokens beyond them are left out
// with a warning; a token of the model beyond them, which a text could produce, is INVALID_ARGUMENT / VOCABULARY_TOO_LARGE.
// INVALID_ARGUMENT / PRE_TOKENIZER_UNKNOWN, TOKENIZER_UNKNOWN: GGUF cannot hold this tokenizer; further errors as of
// DescribeTokenizer.
absl::StatusOr<Vocabulary> MakeVocabulary(const Description& description, const Directory& directory, uint64_t rows,
                                          const VocabularyOptions& options);

void AppendMetadata(const Vocabulary& vocabulary, std::vector<checkpoint::GgufMetadata>* out);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_GGUF_VOCABULARY_H_
