#include "core/artifact/pieces.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "core/base/status.h"

namespace nashswarm::artifact {
namespace {

constexpr uint64_t kCopyBytes = 4u << 20;

std::string_view AsText(absl::Span<const uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

absl::Status AppendPieces(absl::Span<const Piece> pieces, AtomicFile* file, Sha256* hash,
                          const std::function<void(uint64_t)>& progress) {
  std::shared_ptr<const MappedFile> mapping;
  for (const Piece& piece : pieces) {
    if (mapping == nullptr || mapping->path() != piece.path) {
      NS_ASSIGN_OR_RETURN(mapping, MappedFile::Open(piece.path));
    }
    const uint64_t size = mapping->bytes().size(), rest = size - std::min(piece.begin, size);
    const bool whole = piece.bytes == Piece::kToTheEnd;
    if (piece.begin > size || (!whole && piece.bytes > rest)) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                       absl::StrCat(piece.path, ": has ", size, " bytes, and ", piece.bytes, " from ", piece.begin, " are asked for"));
    }
    const absl::Span<const uint8_t> bytes = mapping->bytes().subspan(piece.begin, whole ? rest : piece.bytes);
    for (uint64_t offset = 0; offset < bytes.size(); offset += kCopyBytes) {
      const absl::Span<const uint8_t> part = bytes.subspan(offset, kCopyBytes);
      hash->Update(AsText(part));
      NS_RETURN_IF_ERROR(file->Append(part));
      progress(file->position());
    }
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::artifact
