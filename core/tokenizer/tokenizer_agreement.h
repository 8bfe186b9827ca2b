// Whether a GGUF file cuts texts into the tokens that its directory's tokenizer does.
#ifndef NASHSWARM_CORE_TOKENIZER_TOKENIZER_AGREEMENT_H_
#define NASHSWARM_CORE_TOKENIZER_TOKENIZER_AGREEMENT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/tokenizer/description.h"
#include "core/tokenizer/gguf_vocabulary.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::tokenizer {

// Runs both over nasty texts, the added tokens among them, and over `text` (may be empty; the first MiB of it). Where
// `vocabulary` knows that llama.cpp differs, or with `allow_mismatch`, a difference appends a warning with the numbers and the
// first of them. Any other is FAILED_PRECONDITION / TOKENIZER_MISMATCH, which quotes the text.
absl::Status CheckAgreement(const Description& description, const Tokenizer& directory, const Tokenizer& gguf,
                            const Vocabulary& vocabulary, std::string_view text, bool allow_mismatch,
                            std::vector<std::string>* warnings);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_TOKENIZER_AGREEMENT_H_
