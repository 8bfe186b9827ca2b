#include "core/nsq/stream.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "core/coding/integers.h"
#include "core/nsq/scale.h"

namespace nashswarm::nsq {
namespace {

constexpr uint8_t kDependent = 1;  // the one flag there is
constexpr uint64_t kFixedBytes = 9;  // checksum, flags, step
constexpr int kMostClass = coding::kMaxContexts - 1;
constexpr uint64_t kMostWeights = uint64_t{1} << 40;

void PutU32(uint32_t value, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void Put(absl::Span<const uint8_t> bytes, std::string* out) {
  out->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

absl::Span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint32_t U32At(absl::Span<const uint8_t> bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

// Seven bits a byte, the lowest first, the top bit set on all but the last byte (LEB128).
void PutLength(uint64_t value, std::string* out) {
  for (; value >= 128; value >>= 7) out->push_back(static_cast<char>(value | 128));
  out->push_back(static_cast<char>(value));
}

std::optional<uint64_t> ReadLength(absl::Span<const uint8_t> bytes, size_t* at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 63 && *at < bytes.size(); shift += 7) {
    const uint8_t byte = bytes[(*at)++];
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

std::vector<int32_t> Widened(absl::Span<const uint8_t> classes) { return {classes.begin(), classes.end()}; }

std::vector<uint8_t> SideBits(const Matrix& matrix) {
  coding::BitWriter bits;
  coding::WriteIntegers(matrix.grid.column_scale, bits);
  coding::WriteIntegers(matrix.grid.row_scale, bits);
  coding::WriteIntegers(Widened(matrix.grid.column_class), bits);
  coding::WriteIntegers(Widened(matrix.grid.row_class), bits);
  for (const coding::FrequencyTable& table : matrix.tables) table.Write(bits);
  return bits.Take();
}

// Fills the grid's arrays and the tables from the side bits.
absl::Status ReadSide(absl::Span<const uint8_t> bytes, Grid* grid, std::vector<coding::FrequencyTable>* tables) {
  coding::BitReader reader(bytes);
  const auto read = [&reader](int32_t least, int32_t greatest, uint32_t count, std::vector<int32_t>* out) {
    out->resize(count);
    return coding::ReadIntegers(reader, least, greatest, absl::MakeSpan(*out));
  };
  const auto read_classes = [&](uint32_t count, std::vector<uint8_t>* out) -> absl::Status {
    std::vector<int32_t> wide;
    NS_RETURN_IF_ERROR(read(0, kMostClass, count, &wide));
    out->assign(wide.begin(), wide.end());
    return absl::OkStatus();
  };
  NS_RETURN_IF_ERROR(read(-kGreatestScale, kGreatestScale, grid->columns, &grid->column_scale));
  NS_RETURN_IF_ERROR(read(-kGreatestScale, kGreatestScale, grid->rows, &grid->row_scale));
  NS_RETURN_IF_ERROR(read_classes(grid->columns, &grid->column_class));
  NS_RETURN_IF_ERROR(read_classes(grid->rows, &grid->row_class));
  if (grid->contexts() > coding::kMaxContexts) {
    return MakeError(absl::StatusCode::kDataLoss, "NSQ_STREAM", "there are more contexts than the format allows");
  }
  for (int t = 0; t < grid->tables(); ++t) {
    NS_ASSIGN_OR_RETURN(coding::FrequencyTable table, coding::FrequencyTable::Read(reader));
    tables->push_back(std::move(table));
  }
  if (!reader.AtEnd()) return MakeError(absl::StatusCode::kDataLoss, "NSQ_STREAM", "bytes are left after its tables");
  return absl::OkStatus();
}

absl::Status HeaderError(std::string_view what, std::string_view problem) {
  return MakeError(absl::StatusCode::kDataLoss, "NSQ_STREAM",
                   absl::StrCat("tensor '", ToAbsl(what), "': header: ", ToAbsl(problem)),
                   "the file is damaged: copy or download it again");
}

coding::TileClasses ClassesOf(const Grid& grid, uint32_t tile) {
  const uint32_t first = tile * grid.tile_rows();
  return {absl::MakeConstSpan(grid.row_class).subspan(first, grid.RowsOf(tile)), grid.column_class};
}

}  // namespace

absl::StatusOr<std::string> Write(const Matrix& matrix, int threads) {
  const Grid& grid = matrix.grid;
  std::vector<std::vector<uint8_t>> payloads(grid.tiles());
  NS_RETURN_IF_ERROR(ParallelFor(threads, payloads.size(), [&](uint64_t t) -> absl::Status {
    const auto tile = static_cast<uint32_t>(t);
    const int32_t* integers = &matrix.integers[static_cast<size_t>(tile) * grid.tile_rows() * grid.columns];
    NS_ASSIGN_OR_RETURN(payloads[t], coding::EncodeTile({grid.RowsOf(tile), grid.columns}, integers,
                                                        {ClassesOf(grid, tile), grid.dependent, matrix.tables}));
    return absl::OkStatus();
  }));
  std::string header(1, static_cast<char>(grid.dependent ? kDependent : 0));
  PutU32(std::bit_cast<uint32_t>(grid.step), &header);
  const std::vector<uint8_t> side = SideBits(matrix);
  PutLength(side.size(), &header);
  Put(side, &header);
  for (const std::vector<uint8_t>& payload : payloads) {
    PutLength(payload.size(), &header);
    PutU32(coding::Crc32(payload), &header);
  }
  std::string stream;
  PutU32(coding::Crc32(BytesOf(header)), &stream);
  stream += header;
  for (const std::vector<uint8_t>& payload : payloads) Put(payload, &stream);
  return stream;
}

Stream::Stream(Grid grid, std::vector<coding::FrequencyTable> tables, std::string what)
    : grid_(std::move(grid)), tables_(std::move(tables)), decode_tables_(tables_, grid_.dependent), what_(std::move(what)) {
  for (const int32_t index : grid_.column_scale) column_scale_.push_back(grid_.step * ScaleOf(index));
  for (const int32_t index : grid_.row_scale) row_scale_.push_back(ScaleOf(index));
}

absl::StatusOr<Stream> Stream::Open(absl::Span<const uint8_t> bytes, uint32_t rows, uint32_t columns, std::string_view what) {
  if (rows == 0 || columns == 0 || uint64_t{rows} * columns > kMostWeights) return HeaderError(what, "an impossible shape");
  if (bytes.size() < kFixedBytes) return HeaderError(what, "the stream is too short");
  Grid grid;
  grid.rows = rows;
  grid.columns = columns;
  grid.dependent = bytes[4] == kDependent;
  if (bytes[4] > kDependent) return HeaderError(what, "unknown flags");
  grid.step = std::bit_cast<float>(U32At(bytes, 5));
  if (!std::isfinite(grid.step) || grid.step < 0) return HeaderError(what, "the step is no size");

  // Lengths first: they say where the header ends, and the checksum covers all of it.
  size_t at = kFixedBytes;
  const std::optional<uint64_t> side_bytes = ReadLength(bytes, &at);
  if (!side_bytes || *side_bytes > bytes.size() - at) return HeaderError(what, "its tables are longer than the stream");
  const absl::Span<const uint8_t> side = bytes.subspan(at, *side_bytes);
  at += *side_bytes;
  std::vector<Tile> tiles;
  std::vector<uint64_t> lengths;
  for (uint32_t t = 0; t < grid.tiles(); ++t) {
    const std::optional<uint64_t> length = ReadLength(bytes, &at);
    if (!length || bytes.size() - at < 4) return HeaderError(what, "the list of tiles is longer than the stream");
    lengths.push_back(*length);
    tiles.push_back({{}, U32At(bytes, at)});
    at += 4;
  }
  const size_t header_bytes = at;
  if (coding::Crc32(bytes.subspan(4, header_bytes - 4)) != U32At(bytes, 0)) return HeaderError(what, "checksum mismatch");
  for (uint32_t t = 0; t < grid.tiles(); ++t) {
    if (lengths[t] > bytes.size() - at) return HeaderError(what, absl::StrCat("tile ", t, " is longer than the stream"));
    tiles[t].payload = bytes.subspan(at, lengths[t]);
    at += lengths[t];
  }
  if (at != bytes.size()) return HeaderError(what, "bytes are left after the last tile");

  std::vector<coding::FrequencyTable> tables;
  if (absl::Status status = ReadSide(side, &grid, &tables); !status.ok()) return HeaderError(what, ToStd(status.message()));
  Stream stream(std::move(grid), std::move(tables), std::string(what));
  stream.tiles_ = std::move(tiles);
  stream.header_bytes_ = header_bytes;
  return stream;
}

absl::Status Stream::TileError(uint32_t tile, std::string_view problem) const {
  return MakeError(absl::StatusCode::kDataLoss, "NSQ_TILE",
                   absl::StrCat("tensor '", what_, "', tile ", tile, " (rows ", tile * grid_.tile_rows(), " to ",
                                tile * grid_.tile_rows() + grid_.RowsOf(tile) - 1, "): ", ToAbsl(problem)),
                   "the file is damaged: copy or download it again");
}

absl::Status Stream::CheckTile(uint32_t tile) const {
  if (coding::Crc32(tiles_[tile].payload) == tiles_[tile].crc) return absl::OkStatus();
  return TileError(tile, "checksum mismatch");
}

absl::Status Stream::DecodeTile(uint32_t tile, coding::Output output, void* out, size_t stride) const {
  NS_RETURN_IF_ERROR(CheckTile(tile));
  const absl::Status status =
      coding::DecodeTileTo(tiles_[tile].payload, {grid_.RowsOf(tile), grid_.columns}, ClassesOf(grid_, tile), decode_tables_,
                           column_scale_.data(), row_scale_.data() + static_cast<size_t>(tile) * grid_.tile_rows(), output, out, stride);
  return status.ok() ? status : TileError(tile, ToStd(status.message()));
}

}  // namespace nashswarm::nsq
