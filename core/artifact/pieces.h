// Stretches of files that an artifact's data are put together from.
#ifndef NASHSWARM_CORE_ARTIFACT_PIECES_H_
#define NASHSWARM_CORE_ARTIFACT_PIECES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace nashswarm::artifact {

// Bytes [begin, begin + bytes) of the file `path`; without a number, all of them.
struct Piece {
  static constexpr uint64_t kToTheEnd = UINT64_MAX;

  Piece(std::string path, uint64_t begin = 0, uint64_t bytes = kToTheEnd)  // NOLINT: a file is a piece
      : path(std::move(path)), begin(begin), bytes(bytes) {}

  std::string path;
  uint64_t begin, bytes;
};

// Appends the pieces to `file` in order and hashes them; `progress` hears the file's position. Neighbours of one file share
// its mapping. INTERNAL / ARTIFACT_SIZE when a piece ends beyond its file.
absl::Status AppendPieces(absl::Span<const Piece> pieces, AtomicFile* file, Sha256* hash, const std::function<void(uint64_t)>& progress);

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_CORE_ARTIFACT_PIECES_H_
