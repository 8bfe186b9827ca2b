// nsq artifacts: what is accepted must decode without touching what is not its own, alike in the plain and the vectorised
// decoder, and what is decoded must be what its encoder would write. Checksums would keep every changed byte out, so that they
// are set right here before anything is read. The first byte of an input says what the rest is:
//   0  a model.nsq (its index is deflated: few changes get past that)
//   1  the JSON text of an index, NUL, the block behind it; header and deflate are made here
//   2  rows and columns, 16 bits each, then the stream of a matrix
//   3  rows, columns, bytes of side bits, 16 bits each; those bits: frequency tables; then one tile of context 0
// nsq_corpus.cc makes the seeds.
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "core/artifact/nsq_artifact.h"
#include "core/checkpoint/safetensors.h"
#include "core/coding/crc32.h"
#include "core/coding/integers.h"
#include "core/coding/kernels.h"
#include "core/coding/payload.h"
#include "core/coding/tile.h"

namespace {

using namespace nashswarm;
using Bytes = absl::Span<const uint8_t>;

constexpr uint64_t kMaxWeights = 1u << 19;       // of one tensor: two tiles fit. The format's own limit is 2^40
constexpr uint64_t kMaxWeightsTwice = 1u << 15;  // decoded in every way

void Require(bool condition) {
  if (!condition) std::abort();
}

uint32_t U16(Bytes bytes, size_t at) { return bytes[at] | static_cast<uint32_t>(bytes[at + 1]) << 8; }

void PutU32(uint32_t value, uint8_t* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

std::optional<uint64_t> Length(Bytes bytes, size_t* at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 63 && *at < bytes.size(); shift += 7) {
    const uint8_t byte = bytes[(*at)++];
    value |= uint64_t{byte & 127u} << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

// Writes the checksums that the header and the tiles of a stream ought to have. Leaves alone what is too broken to have any.
void FixChecksums(uint32_t rows, uint32_t columns, std::vector<uint8_t>* stream) {
  nsq::Grid grid;
  grid.rows = rows;
  grid.columns = columns;
  size_t at = 9;
  if (stream->size() < at) return;
  const auto side = Length(*stream, &at);
  if (!side || *side > stream->size() - at) return;
  at += *side;
  std::vector<std::pair<size_t, uint64_t>> tiles;  // where the checksum is, and how long the payload
  for (uint32_t t = 0; t < grid.tiles(); ++t) {
    const auto length = Length(*stream, &at);
    if (!length || stream->size() - at < 4) return;
    tiles.emplace_back(at, *length);
    at += 4;
  }
  const size_t header = at;
  for (const auto& [crc, length] : tiles) {
    if (length > stream->size() - at) break;
    PutU32(coding::Crc32({stream->data() + at, length}), stream->data() + crc);
    at += length;
  }
  PutU32(coding::Crc32({stream->data() + 4, header - 4}), stream->data());
}

// Decodes a tile with both kernels; what is accepted is the same, and no element beside the tile's is touched.
void DecodeAlike(const nsq::Stream& stream, uint32_t tile, coding::Output output) {
  const nsq::Grid& grid = stream.grid();
  const size_t stride = grid.columns + 3, element = output == coding::Output::kF32 ? 4 : 2;
  std::vector<uint8_t> plain(grid.RowsOf(tile) * stride * element, 0xa5), fast = plain;
  coding::ForceScalarKernels(true);
  const bool plain_ok = stream.DecodeTile(tile, output, plain.data(), stride).ok();
  coding::ForceScalarKernels(false);
  const bool fast_ok = stream.DecodeTile(tile, output, fast.data(), stride).ok();
  Require(plain_ok == fast_ok);
  if (plain_ok) Require(plain == fast);
  for (size_t row = 0; row < grid.RowsOf(tile); ++row) {
    for (size_t i = grid.columns * element; i < stride * element; ++i) Require(fast[row * stride * element + i] == 0xa5);
  }
}

// Encoding what was decoded, with as many lanes, gives something that decodes to it again.
void ComesBack(Bytes payload, coding::TileShape shape, const coding::Contexts& contexts) {
  const coding::DecodeTables tables(contexts.tables, contexts.dependent);
  std::vector<int32_t> k(size_t{shape.rows} * shape.columns), again(k.size());
  if (!coding::DecodeTile(payload, shape, contexts.classes, tables, k.data()).ok()) return;
  const auto parsed = coding::ParsePayload(payload);
  Require(parsed.ok());
  const auto written = coding::EncodeTile(shape, k.data(), contexts, parsed->lanes);
  Require(written.ok());
  Require(written->size() <= payload.size());
  Require(coding::DecodeTile(*written, shape, contexts.classes, tables, again.data()).ok());
  Require(k == again);
}

void TryStream(uint32_t rows, uint32_t columns, Bytes bytes) {
  if (uint64_t{rows} * columns > kMaxWeights) return;
  std::vector<uint8_t> stream(bytes.begin(), bytes.end());
  FixChecksums(rows, columns, &stream);
  const auto open = nsq::Stream::Open(stream, rows, columns, "fuzz");
  if (!open.ok()) return;
  const nsq::Grid& grid = open->grid();
  Require(grid.column_scale.size() == columns && grid.row_scale.size() == rows);
  Require(grid.contexts() <= coding::kMaxContexts && open->tables().size() == static_cast<size_t>(grid.tables()));
  const bool small = uint64_t{rows} * columns <= kMaxWeightsTwice;
  for (uint32_t tile = 0; tile < grid.tiles(); ++tile) {
    if (!small) {
      std::vector<float> out(size_t{grid.RowsOf(tile)} * columns);
      (void)open->DecodeTile(tile, coding::Output::kF32, out.data(), columns);
      continue;
    }
    DecodeAlike(*open, tile, coding::Output::kF32);
    DecodeAlike(*open, tile, coding::Output::kF16);
    DecodeAlike(*open, tile, coding::Output::kBF16);
    const auto rows_of_tile = absl::MakeConstSpan(grid.row_class).subspan(size_t{tile} * grid.tile_rows(), grid.RowsOf(tile));
    ComesBack(open->payload(tile), {grid.RowsOf(tile), columns},
              {{rows_of_tile, grid.column_class}, grid.dependent, open->tables()});
  }
}

void TryFile(Bytes file) {
  const auto contents = artifact::ParseNsq(file, "fuzz");
  if (!contents.ok()) return;
  uint64_t offset = 0;
  for (artifact::NsqTensor tensor : contents->tensors) {
    Require(tensor.offset == offset && tensor.bytes <= file.size() - contents->block_begin - offset);
    offset += tensor.bytes;
    const Bytes bytes = file.subspan(contents->block_begin + tensor.offset, tensor.bytes);
    if (tensor.weights() > kMaxWeights) continue;
    if (tensor.coded()) {
      std::vector<uint8_t> stream(bytes.begin(), bytes.end());
      FixChecksums(tensor.rows(), tensor.columns(), &stream);
      (void)artifact::VerifyTensor(tensor, stream);
      continue;
    }
    (void)artifact::VerifyTensor(tensor, bytes);
    tensor.crc = coding::Crc32(bytes);
    (void)artifact::VerifyTensor(tensor, bytes);
  }
  Require(contents->block_begin + offset == file.size());
}

void TryIndex(Bytes input) {
  const auto* end = static_cast<const uint8_t*>(input.empty() ? nullptr : std::memchr(input.data(), 0, input.size()));
  const size_t length = end == nullptr ? input.size() : static_cast<size_t>(end - input.data());
  const Bytes block = end == nullptr ? Bytes() : input.subspan(length + 1);
  uLongf size = compressBound(length);
  std::string packed(size, '\0');
  Require(compress2(reinterpret_cast<Bytef*>(packed.data()), &size, input.data(), length, 1) == Z_OK);
  packed.resize(size);
  const checkpoint::TensorShape shapes[] = {{"nsq.index", checkpoint::DType::kU8, {packed.size()}},
                                            {"nsq.data", checkpoint::DType::kU8, {block.size()}}};
  std::string file = checkpoint::SerializeSafetensorsHeader(shapes, {{"format", "nsq"}, {"nsq_version", "1"}}) + packed;
  file.append(reinterpret_cast<const char*>(block.data()), block.size());
  TryFile({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
}

// What side arrays and tables read is what they would write.
void TryTile(Bytes input) {
  if (input.size() < 6) return;
  const uint32_t rows = U16(input, 0), columns = U16(input, 2), side = U16(input, 4);
  const Bytes rest = input.subspan(6);
  if (rows == 0 || columns == 0 || uint64_t{rows} * columns > kMaxWeightsTwice || side > rest.size()) return;
  coding::BitReader bits(rest.subspan(0, side));
  const bool dependent = bits.Read(1) != 0;
  std::vector<int32_t> array(columns), array_again(columns);
  if (!coding::ReadIntegers(bits, -512, 512, absl::MakeSpan(array)).ok()) return;
  coding::BitWriter writer;
  coding::WriteIntegers(array, writer);
  std::vector<coding::FrequencyTable> tables;
  for (int i = 0; i < (dependent ? 2 : 1); ++i) {
    const auto table = coding::FrequencyTable::Read(bits);
    if (!table.ok()) return;
    int slots = table->frequency(0) + table->escape_frequency();
    for (int k = 1; k <= table->max_magnitude(); ++k) slots += table->frequency(k) + table->frequency(-k);
    Require(slots == coding::kSlots);
    table->Write(writer);
    tables.push_back(*table);
  }
  const std::vector<uint8_t> written = writer.Take();
  coding::BitReader again(written);
  Require(coding::ReadIntegers(again, -512, 512, absl::MakeSpan(array_again)).ok() && array == array_again);
  for (const coding::FrequencyTable& table : tables) {
    const auto read = coding::FrequencyTable::Read(again);
    Require(read.ok() && *read == table);
  }
  const std::vector<uint8_t> row_class(rows, 0), column_class(columns, 0);
  ComesBack(rest.subspan(side), {rows, columns}, {{row_class, column_class}, dependent, tables});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5) return 0;
  const Bytes input(data + 1, size - 1);
  switch (data[0]) {
    case 0: TryFile(input); break;
    case 1: TryIndex(input); break;
    case 2: TryStream(U16(input, 0), U16(input, 2), input.subspan(4)); break;
    case 3: TryTile(input); break;
    default: break;
  }
  return 0;
}
