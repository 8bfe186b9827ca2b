// Reads a SentencePiece model. The library's own header declares names inside namespace absl that clash with the real
// Abseil, so this interface is plain standard C++ and its implementation includes nothing of ours but this header.
#ifndef NASHSWARM_CORE_MODEL_SENTENCEPIECE_FILE_H_
#define NASHSWARM_CORE_MODEL_SENTENCEPIECE_FILE_H_

#include <string>
#include <vector>

namespace nashswarm::model {

struct SentencePieceFile {
  enum class Kind { kNormal, kUnknown, kControl, kUnused, kByte };
  struct Piece {
    std::string text;
    double score;  // log probability, or minus the merge rank
    Kind kind;
  };
  std::vector<Piece> pieces;               // by id
  int bos = -1, eos = -1, unknown = -1, padding = -1;
  bool adds_space_prefix = false;
};

// `content` is the whole file. On failure returns false and says why in `error`.
bool ParseSentencePiece(const std::string& content, SentencePieceFile* out, std::string* error);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_SENTENCEPIECE_FILE_H_
