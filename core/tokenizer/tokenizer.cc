#include "core/tokenizer/tokenizer.h"

#include "core/tokenizer/huggingface.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/sentencepiece.h"

namespace nashswarm::tokenizer {

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& path, const Json& config) {
  NS_ASSIGN_OR_RETURN(const Directory directory, OpenDirectory(path, config));
  const bool has_model = directory.Has("tokenizer.model");
  if (directory.Has("tokenizer.json")) {
    NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson("tokenizer.json"));
    auto tokenizer = OpenTokenizerJson(json, directory);
    // A kind of tokenizer.json that is not read here may be the copy of a tokenizer.model that is.
    if (tokenizer.ok() || !has_model || ReasonOf(tokenizer.status()) != "TOKENIZER_UNKNOWN") return tokenizer;
  }
  if (has_model) return OpenSentencePiece(directory);
  if (directory.Has("vocab.json") && directory.Has("merges.txt")) return OpenVocabAndMerges(directory);
  return MakeError(absl::StatusCode::kNotFound, "TOKENIZER_NOT_FOUND",
                   absl::StrCat(path, ": has no tokenizer.json, tokenizer.model, or vocab.json with merges.txt"),
                   "put the model's tokenizer files beside its weights");
}

}  // namespace nashswarm::tokenizer
