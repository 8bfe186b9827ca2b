// How a staged part is kept in S3, where nothing can be appended to: as pieces, one immutable object each, named by
// the offset of their first byte in the part: <prefix>staging/<key>/<offset, 20 digits>.
#ifndef NASHSWARM_SERVER_STORE_S3_STAGED_PIECES_H_
#define NASHSWARM_SERVER_STORE_S3_STAGED_PIECES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/store/s3/s3_xml.h"

namespace nashswarm::server {

// "All parts must be at least 5 MB, except the last", at most 10 000 of them, at most 5 GiB each.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
inline constexpr int64_t kMinPartBytes = int64_t{5} << 20;
inline constexpr int64_t kMaxParts = 10000;

// How long the piece that begins at `offset` gets: 8 MiB, so that most can be copied as they are, growing from 1 GiB on
// to 128 MiB at 16 GiB, so that 1 TiB is 8550 pieces and a writer never holds more than two of 128 MiB.
int64_t PieceBytes(int64_t offset);

std::string PieceName(int64_t offset);

// Bytes [begin, end) of an object of `object_bytes`.
struct Slice {
  std::string key;
  int64_t object_bytes = 0, begin = 0, end = 0;

  int64_t size() const { return end - begin; }
  bool IsWhole() const { return begin == 0 && end == object_bytes; }
};

// The slices that make up the first `size_bytes` of the part whose pieces are listed in `pieces`, all below `prefix`.
// DATA_LOSS / BLOB_TRUNCATED when there is a hole or not enough.
absl::StatusOr<std::vector<Slice>> SlicesOf(const std::string& prefix, const std::vector<S3Object>& pieces,
                                            int64_t size_bytes);

// One part of a multipart upload.
struct PlannedPart {
  std::vector<Slice> slices;
  bool copied = false;  // by the server, from the one slice; otherwise the slices are read and sent again, joined

  int64_t size() const;
};

// Cuts the concatenation of `slices` into parts of at least kMinPartBytes (but the last) and at most kMaxParts of them,
// reading as little as possible: a small slice is joined with its successors up to the smallest part allowed.
std::vector<PlannedPart> PlanParts(absl::Span<const Slice> slices);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_STAGED_PIECES_H_
