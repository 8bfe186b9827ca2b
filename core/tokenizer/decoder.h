// The "decoder" of tokenizer.json: from the texts of tokens to the bytes they stand for.
#ifndef NASHSWARM_CORE_TOKENIZER_DECODER_H_
#define NASHSWARM_CORE_TOKENIZER_DECODER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class Decoder {
 public:
  // Sequence, ByteLevel, ByteFallback, Replace (of a string), Fuse, Strip, Metaspace and null; any other is
  // TOKENIZER_UNKNOWN.
  static absl::StatusOr<Decoder> Parse(const Json& json, const std::string& what);
  static Decoder ByteLevel();
  // SentencePiece's: U+2581 is a space, <0x0A> a byte; with `strip_first`, the space a text begins with is not its own.
  static Decoder SentencePiece(bool strip_first);

  // Byte tokens become bytes as they are: a broken character stays broken.
  std::string Decode(std::vector<std::string> tokens) const;

 private:
  using Step = std::function<void(std::vector<std::string>* tokens)>;
  absl::Status Append(const Json& json, const std::string& what);

  std::vector<Step> steps_;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_DECODER_H_
