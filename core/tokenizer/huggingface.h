// Byte-pair encoders from Hugging Face directories: tokenizer.json, or vocab.json with merges.txt.
// Format: the serialization of the tokenizers library (https://huggingface.co/docs/tokenizers).
#ifndef NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_
#define NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/tokenizer/directory.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

// `json` is tokenizer.json. INVALID_ARGUMENT with TOKENIZER_UNKNOWN for what is not supported (models other than BPE
// among it), TOKENIZER_INVALID for what is broken.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizerJson(const Json& json, const Directory& directory);

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenVocabAndMerges(const Directory& directory);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_
