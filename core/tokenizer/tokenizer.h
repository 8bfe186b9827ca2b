// Text to token ids and back, id for id as the model's own tokenizer: byte-level BPE (GPT-2, Llama 3, Qwen) and
// SentencePiece (unigram and BPE models), from a Hugging Face directory or from a GGUF file's metadata.
#ifndef NASHSWARM_CORE_TOKENIZER_TOKENIZER_H_
#define NASHSWARM_CORE_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Any bytes; broken UTF-8 becomes U+FFFD, one for each maximal invalid part, as the Hugging Face tokenizers see it.
  // Special tokens written in the text are recognised (parse_special as in Hugging Face). No BOS or EOS is added here.
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;
  // The bytes of the tokens; special tokens are left out.
  virtual std::string Decode(absl::Span<const int32_t> tokens) const = 0;

  virtual uint64_t size() const = 0;     // ids are below this
  virtual int32_t bos() const = 0;       // -1: none
  virtual int32_t eos() const = 0;       // -1: none
  virtual bool add_bos() const = 0;      // whether a text of its own starts with bos
};

// `directory` holds tokenizer.json, tokenizer.model, or vocab.json with merges.txt; `config` is config.json. NOT_FOUND /
// TOKENIZER_NOT_FOUND; INVALID_ARGUMENT with TOKENIZER_INVALID or TOKENIZER_UNKNOWN names the file and the part.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& directory, const Json& config);

// From tokenizer.ggml.* of a GGUF file: a text is cut as llama.cpp does with parse_special.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const checkpoint::GgufFile& gguf);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_TOKENIZER_H_
