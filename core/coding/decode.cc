// Decoding a tile: rows through a kernel, then the escapes of each row one by one.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/coding/bits.h"
#include "core/coding/kernels.h"
#include "core/coding/payload.h"
#include "core/coding/tile.h"
#include "core/coding/trellis.h"

namespace nashswarm::coding {
namespace {

struct Target {
  Element element;
  const float* column_scale;
  const float* row_scale;
  void* out;
  size_t stride;  // in elements

  size_t element_bytes() const { return element == Element::kInt32 || element == Element::kF32 ? 4 : 2; }
  void* Row(size_t r) const { return static_cast<uint8_t*>(out) + r * stride * element_bytes(); }
};

class TileDecoder {
 public:
  TileDecoder(const Payload& payload, TileShape shape, const TileClasses& classes, const DecodeTables& tables,
              const Target& target)
      : shape_(shape), classes_(classes), tables_(tables), target_(target), lanes_(payload.lanes),
        tables_per_context_(tables.dependent() ? 2 : 1), words_(payload.words), escape_bits_(payload.escapes),
        offsets_(shape.columns), states_(tables.dependent() ? shape.columns : 0), escapes_(shape.columns) {
    for (int lane = 0; lane < lanes_; ++lane) std::memcpy(&x_[lane], payload.states + 4 * lane, 4);
    for (uint32_t c = 0; c < shape.columns; ++c) offsets_[c] = classes.column[c] * tables_per_context_ * kSlots;
  }

  absl::Status Decode() {
    for (int lane = 0; lane < lanes_; ++lane) {
      if (x_[lane] < kLeastState) return TileCorrupt("a lane starts below 2^16");
    }
    const RowKernel kernel = ActiveKernels().decode[tables_.dependent()][static_cast<int>(target_.element)];
    for (uint32_t r = 0; r < shape_.rows; ++r) {
      Row row = MakeRow(r);
      if (!kernel(row, words_, x_)) return TileCorrupt("its words end early");
      for (size_t i = 0; i < row.escape_count; ++i) {
        if (!ReadEscape(r, escapes_[i], row)) return TileCorrupt("an escape is malformed");
      }
    }
    return CheckEnd();
  }

 private:
  Row MakeRow(uint32_t r) {
    Row row;
    row.slots = tables_.slots() + size_t{classes_.row[r]} * tables_per_context_ * kSlots;
    row.offsets = offsets_.data();
    row.states = states_.data();
    row.columns = shape_.columns;
    row.lanes = lanes_;
    row.column_scale = target_.column_scale;
    row.row_scale = target_.row_scale == nullptr ? 0 : target_.row_scale[r];
    row.out = target_.Row(r);
    row.escapes = escapes_.data();
    return row;
  }

  // The kernel took k as even and stepped the state on. Its low bit before is its top bit now.
  bool ReadEscape(uint32_t r, uint32_t c, const Row& row) {
    const int quantizer = tables_.dependent() ? static_cast<int>(states_[c] >> 3) & 1 : 0;
    const int table = (classes_.row[r] + classes_.column[c]) * tables_per_context_ + quantizer;
    const uint64_t magnitude = uint64_t{escape_bits_.ReadGolomb(0)} + tables_.max_magnitude(table) + 1;
    const bool negative = escape_bits_.Read(1) != 0;
    if (escape_bits_.overrun() || magnitude > kMaxInteger) return false;
    const int32_t k = negative ? -static_cast<int32_t>(magnitude) : static_cast<int32_t>(magnitude);
    if (tables_.dependent()) states_[c] ^= 2 * (k & 1);
    if (target_.element == Element::kInt32) {
      static_cast<int32_t*>(row.out)[c] = k;
      return true;
    }
    const int64_t n = tables_.dependent() ? Reconstruction(quantizer, k) : k;
    StoreWeight(target_.element, static_cast<float>(n), row.column_scale[c], row.row_scale, c, row.out);
    return true;
  }

  absl::Status CheckEnd() const {
    if (!words_.AtEnd()) return TileCorrupt("its words do not end with its weights");
    for (int lane = 0; lane < lanes_; ++lane) {
      if (x_[lane] != kLeastState) return TileCorrupt("a lane does not end at 2^16");
    }
    return escape_bits_.AtEnd() ? absl::OkStatus() : TileCorrupt("its escapes do not end with its weights");
  }

  const TileShape shape_;
  const TileClasses& classes_;
  const DecodeTables& tables_;
  const Target target_;
  const int lanes_, tables_per_context_;
  Words words_;
  BitReader escape_bits_;
  alignas(64) uint32_t x_[kMaxLanes];
  std::vector<uint32_t> offsets_, states_, escapes_;
};

absl::Status DecodeInto(absl::Span<const uint8_t> bytes, TileShape shape, const TileClasses& classes,
                        const DecodeTables& tables, const Target& target) {
  if (shape.rows == 0 || shape.columns == 0) return TileCorrupt("it has no rows or no columns");
  if (classes.row.size() != shape.rows || classes.column.size() != shape.columns) {
    return TileCorrupt("its classes do not match its shape");
  }
  const int greatest = *std::max_element(classes.row.begin(), classes.row.end()) +
                       *std::max_element(classes.column.begin(), classes.column.end());
  if (greatest >= tables.contexts()) return TileCorrupt("a context has no frequency table");
  absl::StatusOr<Payload> payload = ParsePayload(bytes);
  if (!payload.ok()) return payload.status();
  return TileDecoder(*payload, shape, classes, tables, target).Decode();
}

}  // namespace

absl::Status DecodeTile(absl::Span<const uint8_t> payload, TileShape shape, const TileClasses& classes,
                        const DecodeTables& tables, int32_t* k) {
  return DecodeInto(payload, shape, classes, tables, {Element::kInt32, nullptr, nullptr, k, shape.columns});
}

absl::Status DecodeTileTo(absl::Span<const uint8_t> payload, TileShape shape, const TileClasses& classes,
                          const DecodeTables& tables, const float* column_scale, const float* row_scale, Output output,
                          void* out, size_t stride) {
  const Element element = output == Output::kF32   ? Element::kF32
                          : output == Output::kF16 ? Element::kF16
                                                   : Element::kBF16;
  return DecodeInto(payload, shape, classes, tables, {element, column_scale, row_scale, out, stride});
}

}  // namespace nashswarm::coding
