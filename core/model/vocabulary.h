// A checkpoint's vocabulary in the form GGUF stores it, read from tokenizer.model, tokenizer.json, or vocab.json with
// merges.txt (in this order: the first carries the scores that SentencePiece models need).
// Token types and keys: the GGUF specification, "Tokenizer".
#ifndef NASHSWARM_CORE_MODEL_VOCABULARY_H_
#define NASHSWARM_CORE_MODEL_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::model {

enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Vocabulary {
  std::string model;          // "gpt2": byte-level BPE; "llama": SentencePiece
  std::string pre;            // pre-tokenizer, as llama.cpp names it: "gpt-2", "llama-bpe", "qwen2", "default"
  std::vector<std::string> tokens;
  std::vector<double> scores; // SentencePiece only, one per token
  std::vector<TokenType> types;
  std::vector<std::string> merges;  // byte-level BPE only, "left right"
  int64_t bos = -1, eos = -1, unknown = -1, padding = -1;  // -1: none
  bool add_bos = false;
  bool add_space_prefix = false;
  std::string chat_template;  // Jinja, may be empty
  std::vector<std::string> warnings;
};

// `rows` is the number of rows of the embedding: missing tokens are filled up as unused, more tokens than rows are
// INVALID_ARGUMENT / VOCABULARY_TOO_LARGE. NOT_FOUND / TOKENIZER_NOT_FOUND when the directory has no tokenizer;
// INVALID_ARGUMENT / TOKENIZER_INVALID or TOKENIZER_UNKNOWN when it cannot be used. `config` is config.json.
absl::StatusOr<Vocabulary> ReadVocabulary(const std::string& directory, const Json& config, uint64_t rows);

void AppendMetadata(const Vocabulary& vocabulary, std::vector<checkpoint::GgufMetadata>* out);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_VOCABULARY_H_
