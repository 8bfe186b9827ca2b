#include "server/store/s3/staged_pieces.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

std::vector<PlannedPart> PlanWith(absl::Span<const Slice> slices, int64_t min_bytes) {
  std::vector<PlannedPart> parts;
  PlannedPart joined;  // below min_bytes
  for (size_t i = 0; i < slices.size(); ++i) {
    const bool last = i + 1 == slices.size();
    Slice slice = slices[i];
    if (!joined.slices.empty()) {
      const int64_t need = min_bytes - joined.size();
      Slice head = slice;
      head.end = head.begin + std::min(need, slice.size());
      slice.begin = head.end;
      joined.slices.push_back(head);
      if (joined.size() < min_bytes && !last) continue;
      parts.push_back(std::move(joined));
      joined = {};
      if (slice.size() == 0) continue;
    }
    if (slice.size() >= min_bytes || last) {
      parts.push_back({{slice}, true});
    } else {
      joined.slices.push_back(slice);
    }
  }
  return parts;
}

}  // namespace

int64_t PieceBytes(int64_t offset) {
  const int64_t wanted = std::clamp(offset / 128, 8 * kMiB, 128 * kMiB);
  return wanted / kMiB * kMiB;
}

std::string PieceName(int64_t offset) { return absl::StrFormat("%020d", offset); }

absl::StatusOr<std::vector<Slice>> SlicesOf(const std::string& prefix, const std::vector<S3Object>& pieces,
                                            int64_t size_bytes) {
  std::vector<S3Object> sorted = pieces;
  std::sort(sorted.begin(), sorted.end(), [](const S3Object& a, const S3Object& b) { return a.key < b.key; });
  std::vector<Slice> slices;
  int64_t offset = 0;
  for (const S3Object& piece : sorted) {
    if (offset == size_bytes) break;
    if (piece.key != prefix + PieceName(offset)) break;  // a hole
    const int64_t used = std::min(piece.size_bytes, size_bytes - offset);
    if (used > 0) slices.push_back({piece.key, piece.size_bytes, 0, used});
    offset += used;
  }
  if (offset < size_bytes) {
    return MakeError(absl::StatusCode::kDataLoss, "BLOB_TRUNCATED",
                     absl::StrCat("S3 ", prefix, ": ends at byte ", offset, " of ", size_bytes), "send the file again");
  }
  return slices;
}

int64_t PlannedPart::size() const {
  int64_t size = 0;
  for (const Slice& slice : slices) size += slice.size();
  return size;
}

std::vector<PlannedPart> PlanParts(absl::Span<const Slice> slices) {
  int64_t min_bytes = kMinPartBytes;
  std::vector<PlannedPart> parts = PlanWith(slices, min_bytes);
  while (static_cast<int64_t>(parts.size()) > kMaxParts) {  // an upload that was often taken up again
    min_bytes *= 2;
    parts = PlanWith(slices, min_bytes);
  }
  return parts;
}

}  // namespace nashswarm::server
