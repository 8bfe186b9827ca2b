// Reads a SentencePiece model. The library's own header declares names inside namespace absl that clash with the real
// Abseil, so this interface is plain standard C++ and its implementation includes nothing of ours but this header.
// Format: sentencepiece_model.proto of the SentencePiece project; the library's interface does not tell all of it.
#ifndef NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_FILE_H_
#define NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_FILE_H_

#include <string>
#include <vector>

namespace nashswarm::tokenizer {

struct SentencePieceFile {
  enum class Kind { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };  // as in the file
  enum class Model { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  struct Piece {
    std::string text;
    double score;  // log probability, or minus the merge rank
    Kind kind;
  };
  std::vector<Piece> pieces;               // by id
  int bos = -1, eos = -1, unknown = -1, padding = -1;
  Model model = Model::kUnigram;
  bool adds_space_prefix = false;
  bool removes_extra_spaces = false;
  bool maps_characters = false;            // by a normalization such as nmt_nfkc
};

// `content` is the whole file. On failure returns false and says why in `error`.
bool ParseSentencePiece(const std::string& content, SentencePieceFile* out, std::string* error);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_SENTENCEPIECE_FILE_H_
