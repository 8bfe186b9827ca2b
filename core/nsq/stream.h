// The bytes of one matrix: a header with scales, classes and tables, then tiles that decode on their own. Specification:
// docs/nsq-format.md, "The stream of a matrix".
#ifndef NASHSWARM_CORE_NSQ_STREAM_H_
#define NASHSWARM_CORE_NSQ_STREAM_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/coding/decode_tables.h"
#include "core/coding/tile.h"
#include "core/nsq/matrix.h"

namespace nashswarm::nsq {

// The same matrix gives the same bytes at any number of threads. INVALID_ARGUMENT / NOT_CODABLE never happens for what
// Quantizer made.
absl::StatusOr<std::string> Write(const Matrix& matrix, int threads);

// A stream opened for decoding. Immutable; threads may share it.
class Stream {
 public:
  // Checks the header against its checksum and every length against the bytes; no tile is looked at yet. `bytes` outlive
  // the object. DATA_LOSS / NSQ_STREAM; `what` names the tensor in messages.
  static absl::StatusOr<Stream> Open(absl::Span<const uint8_t> bytes, uint32_t rows, uint32_t columns, std::string_view what);

  const Grid& grid() const { return grid_; }
  absl::Span<const coding::FrequencyTable> tables() const { return tables_; }
  uint64_t header_bytes() const { return header_bytes_; }
  absl::Span<const uint8_t> payload(uint32_t tile) const { return tiles_[tile].payload; }

  // Decodes one tile, after its checksum: element (r, c) goes to out + (r * stride + c) elements, r counted from the tile's
  // first row. DATA_LOSS / NSQ_TILE names tensor and tile.
  absl::Status DecodeTile(uint32_t tile, coding::Output output, void* out, size_t stride) const;
  absl::Status CheckTile(uint32_t tile) const;  // the checksum alone

 private:
  Stream(Grid grid, std::vector<coding::FrequencyTable> tables, std::string what);
  absl::Status TileError(uint32_t tile, std::string_view problem) const;

  struct Tile {
    absl::Span<const uint8_t> payload;
    uint32_t crc = 0;
  };
  Grid grid_;
  std::vector<coding::FrequencyTable> tables_;
  coding::DecodeTables decode_tables_;
  std::vector<float> column_scale_, row_scale_;
  std::vector<Tile> tiles_;
  uint64_t header_bytes_ = 0;
  std::string what_;
};

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_STREAM_H_
