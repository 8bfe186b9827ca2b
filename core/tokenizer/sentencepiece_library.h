// Runs a SentencePiece model. As core/tokenizer/sentencepiece_file.h this interface is plain standard C++: the library's own
// header declares names inside namespace absl that clash with the real Abseil.
#ifndef NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_LIBRARY_H_
#define NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_LIBRARY_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nashswarm::tokenizer {

// Immutable; safe to share among threads.
class SentencePieceLibrary {
 public:
  // `content` is the whole file; `own_prefix`: a text gets the space before it that the model asks for. nullptr, and why
  // in `error`, when the library refuses it.
  static std::unique_ptr<SentencePieceLibrary> Load(const std::string& content, bool own_prefix, std::string* error);
  ~SentencePieceLibrary();

  // Appends. Control tokens written in the text are text to it.
  void Encode(std::string_view text, std::vector<int>* ids) const;

 private:
  struct Impl;
  explicit SentencePieceLibrary(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_LIBRARY_H_
