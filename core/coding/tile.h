// Tiles: a band of rows of an integer matrix, coded without loss by interleaved rANS (Duda, "Asymmetric numeral
// systems", 2013; Giesen, "Interleaved entropy coders", 2014), each tile on its own. README.md specifies the payload.
//
// The table of weight (r, c) is that of context row_class[r] + column_class[c]; with dependent quantization (trellis.h)
// the one of two that the column's state names.
#ifndef NASHSWARM_CORE_CODING_TILE_H_
#define NASHSWARM_CORE_CODING_TILE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/coding/decode_tables.h"
#include "core/coding/frequency_table.h"

namespace nashswarm::coding {

// rows >= 1, columns >= 1. Matrices are row-major without gaps unless a stride is given.
struct TileShape {
  uint32_t rows = 0, columns = 0;
};

struct TileClasses {
  absl::Span<const uint8_t> row, column;  // as many as the tile has rows and columns
};

struct Contexts {
  TileClasses classes;
  bool dependent = false;
  absl::Span<const FrequencyTable> tables;  // tables[context], or tables[2 * context + quantizer]; see DecodeTables
};

// Lanes of a tile with so many weights: a lane costs 3 bytes and buys speed.
int LanesFor(uint64_t weights);

// The payload of one tile. INVALID_ARGUMENT / NOT_CODABLE when a weight's table cannot code it, |k| > 2^30, or a
// context has no table. The caller stores the length of the payload and its Crc32.
absl::StatusOr<std::vector<uint8_t>> EncodeTile(TileShape shape, const int32_t* k, const Contexts& contexts);
// The same with a number of lanes of one's choice: 1, 2, 4, 8, 16 or 32.
absl::StatusOr<std::vector<uint8_t>> EncodeTile(TileShape shape, const int32_t* k, const Contexts& contexts,
                                                int lanes);

// Adds to counts[table][|k|] for every weight. counts: one array of `size` per table of `contexts` (whose `tables` are
// not read); |k| >= size counts in the last entry. Input for FrequencyTable::Fit.
void CountMagnitudes(TileShape shape, const int32_t* k, const TileClasses& classes, bool dependent, size_t size,
                     absl::Span<double> counts);

// The ideal length in bits: the sum of FrequencyTable::bits over the tile; infinity when EncodeTile fails.
double IdealBits(TileShape shape, const int32_t* k, const Contexts& contexts);

// Fills k[rows * columns]. Any payload is safe to pass: DATA_LOSS / TILE_CORRUPT says what is wrong. Scratch memory is
// a few bytes per column. On an error the contents of k are unspecified.
absl::Status DecodeTile(absl::Span<const uint8_t> payload, TileShape shape, const TileClasses& classes,
                        const DecodeTables& tables, int32_t* k);

enum class Output { kF32, kF16, kBF16 };

// Decodes and scales in one go: element (r, c) of `out`, at r * stride + c, is float(n) * column_scale[c], that product
// * row_scale[r], each product rounded to float, then rounded to the output's type (nearest even, as core/base/half.h).
// n is the reconstruction number (trellis.h). Scales are finite; column_scale has `columns` entries, row_scale `rows`;
// stride >= columns, in elements; `out` is aligned to its elements. Errors as DecodeTile.
absl::Status DecodeTileTo(absl::Span<const uint8_t> payload, TileShape shape, const TileClasses& classes,
                          const DecodeTables& tables, const float* column_scale, const float* row_scale, Output output,
                          void* out, size_t stride);

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_TILE_H_
