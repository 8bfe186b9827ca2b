// SentencePiece models from tokenizer.model, run by the library itself (Kudo and Richardson, 2018).
#ifndef NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_H_
#define NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/tokenizer/description.h"
#include "core/tokenizer/directory.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

absl::StatusOr<Description> DescribeSentencePiece(const Directory& directory);

// A text without special tokens splits as the library splits it. One with them is cut there first, and only a text's own
// beginning gets the space that the model puts before a text (transformers' LlamaTokenizer with legacy=False).
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePiece(const Description& description);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_H_
