#include "core/tokenizer/description.h"

#include "core/base/status.h"
#include "core/tokenizer/huggingface.h"
#include "core/tokenizer/sentencepiece.h"

namespace nashswarm::tokenizer {

int32_t Description::Find(const std::string& text) const {
  if (const auto it = ids.find(text); it != ids.end()) return it->second;
  return text.empty() ? -1 : added.Find(text);
}

absl::StatusOr<Description> DescribeTokenizer(const Directory& directory) {
  const bool has_model = directory.Has("tokenizer.model");
  if (directory.Has("tokenizer.json")) {
    NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson("tokenizer.json"));
    auto description = DescribeTokenizerJson(json, directory);
    if (!has_model) return description;
    // A tokenizer.json of a kind, or with a part, that is not read here may be the copy of a tokenizer.model that is.
    const absl::Status readable = description.ok() ? CheckParts(*description) : description.status();
    if (ReasonOf(readable) != "TOKENIZER_UNKNOWN") return description;
  }
  if (has_model) return DescribeSentencePiece(directory);
  if (directory.Has("vocab.json") && directory.Has("merges.txt")) return DescribeVocabAndMerges(directory);
  return MakeError(absl::StatusCode::kNotFound, "TOKENIZER_NOT_FOUND",
                   "the model has no tokenizer.json, tokenizer.model, or vocab.json with merges.txt",
                   "put the model's tokenizer files beside its weights");
}

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const Description& description) {
  return description.kind == Description::Kind::kSentencePiece ? MakeSentencePiece(description) : MakeBpe(description);
}

}  // namespace nashswarm::tokenizer
