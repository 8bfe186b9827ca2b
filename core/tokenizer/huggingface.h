// Byte-pair encoders from Hugging Face directories: tokenizer.json, or vocab.json with merges.txt.
// Format: the serialization of the tokenizers library (https://huggingface.co/docs/tokenizers).
#ifndef NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_
#define NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/tokenizer/description.h"
#include "core/tokenizer/directory.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

// `json` is tokenizer.json. INVALID_ARGUMENT with TOKENIZER_UNKNOWN for what is not supported (models other than BPE
// among it), TOKENIZER_INVALID for what is broken.
absl::StatusOr<Description> DescribeTokenizerJson(const Json& json, const Directory& directory);
absl::StatusOr<Description> DescribeVocabAndMerges(const Directory& directory);

// Whether the normalizer, the pre-tokenizer and the decoder of a description from either can be read. The same errors.
absl::Status CheckParts(const Description& description);

// Of a description from either. The same errors.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeBpe(const Description& description);

// tokenizer.json's added_tokens, whatever its model is. `ids` knows the model's.
absl::StatusOr<AddedTokens> ReadAddedTokens(const Json& tokenizer_json, const TokenIds& ids);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_HUGGINGFACE_H_
