// Encoding a tile. rANS is last in, first out: weights are visited backwards, from the states at the bottom of the tile
// to those at its top, and the words come out in reverse.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/base/status.h"
#include "core/coding/payload.h"
#include "core/coding/tile.h"
#include "core/coding/trellis.h"

namespace nashswarm::coding {
namespace {

// What coding a symbol does to a state x below frequency * 2^20: with q = x / frequency, x + start + q * complement.
struct Symbol {
  uint64_t reciprocal = 0;  // ceil(2^44 / frequency): x * reciprocal >> 44 = q, for frequency^2 * 2^20 <= 2^44
  uint16_t frequency = 0;   // 0: cannot be coded
  uint16_t start = 0;
  uint16_t complement = 0;  // 4096 - frequency
  uint16_t escape = 0;
};
constexpr int kReciprocalBits = 44;

// Symbols of one table, by the low byte of k; kEscapeSymbol's place is for all |k| > kMaxMagnitude.
struct SymbolTable {
  explicit SymbolTable(const FrequencyTable& table) {
    const Symbol escape = Make(table.escape_start(), table.escape_frequency(), true);
    for (int k = -128; k < 128; ++k) {
      const int frequency = table.frequency(k);
      symbols[static_cast<uint8_t>(k)] = frequency == 0 ? escape : Make(table.start(k), frequency, false);
    }
  }

  const Symbol& Of(int32_t k) const {
    const bool small = static_cast<uint32_t>(k) + kMaxMagnitude <= 2 * kMaxMagnitude;
    return symbols[static_cast<uint8_t>(small ? k : kEscapeSymbol)];
  }

  static Symbol Make(int start, int frequency, bool escape) {
    if (frequency == 0) return {};
    const uint64_t reciprocal = ((uint64_t{1} << kReciprocalBits) + frequency - 1) / frequency;
    return {reciprocal, static_cast<uint16_t>(frequency), static_cast<uint16_t>(start),
            static_cast<uint16_t>(kSlots - frequency), escape};
  }

  Symbol symbols[256];
};

absl::Status NotCodable(absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_CODABLE", absl::StrCat("tile: ", what));
}

// Whether every weight of the tile has a table. Also of an empty tile.
bool HasTables(const TileClasses& classes, bool dependent, size_t tables) {
  if (classes.row.empty() || classes.column.empty()) return true;
  const size_t greatest = size_t{*std::max_element(classes.row.begin(), classes.row.end())} +
                          *std::max_element(classes.column.begin(), classes.column.end());
  return (greatest + 1) * (dependent ? 2 : 1) <= tables;
}

// Visits rows from the last to the first and says which table each weight has.
class TableRows {
 public:
  TableRows(TileShape shape, const int32_t* k, const TileClasses& classes, bool dependent)
      : shape_(shape), k_(k), classes_(classes), dependent_(dependent), states_(shape.columns), tables_(shape.columns) {
    if (!dependent) return;
    for (uint32_t r = 0; r < shape.rows; ++r) {
      const int32_t* row = Row(r);
      for (uint32_t c = 0; c < shape.columns; ++c) states_[c] = NextState(states_[c], row[c]);
    }
  }

  const int32_t* Row(uint32_t r) const { return k_ + size_t{r} * shape_.columns; }

  // The tables of row r; rows are asked for from the last to the first.
  const uint32_t* Tables(uint32_t r) {
    const int32_t* row = Row(r);
    const uint32_t row_class = classes_.row[r];
    if (!dependent_) {
      for (uint32_t c = 0; c < shape_.columns; ++c) tables_[c] = row_class + classes_.column[c];
      return tables_.data();
    }
    for (uint32_t c = 0; c < shape_.columns; ++c) {
      states_[c] = PreviousState(states_[c], row[c]);
      tables_[c] = 2 * (row_class + classes_.column[c]) + QuantizerOf(states_[c]);
    }
    return tables_.data();
  }

 private:
  TileShape shape_;
  const int32_t* k_;
  TileClasses classes_;
  bool dependent_;
  std::vector<int32_t> states_;
  std::vector<uint32_t> tables_;
};

// The words of a tile from the last to the first, at most one per weight.
struct WordStack {
  explicit WordStack(size_t capacity)
      : storage(new uint16_t[capacity + 1]), next(storage.get() + capacity + 1), end(next) {}
  absl::Span<const uint16_t> words() const { return {next, static_cast<size_t>(end - next)}; }

  std::unique_ptr<uint16_t[]> storage;  // one more than ever needed: Push writes ahead
  uint16_t *next, *end;
};

struct Escape {
  uint32_t excess;  // |k| - greatest magnitude of the table - 1
  bool negative;
};

class TileEncoder {
 public:
  TileEncoder(TileShape shape, const Contexts& contexts, int lanes)
      : shape_(shape), contexts_(contexts), words_(size_t{shape.rows} * shape.columns), states_(lanes, kLeastState) {
    symbols_.reserve(contexts.tables.size());
    for (const FrequencyTable& table : contexts.tables) symbols_.emplace_back(table);
  }

  // Codes the weights of a row from the last to the first. False when one cannot be coded.
  bool CodeRow(const int32_t* k, const uint32_t* tables) {
    const uint32_t mask = static_cast<uint32_t>(states_.size()) - 1;
    uint32_t* const states = states_.data();
    uint16_t* next = words_.next;
    for (uint32_t c = shape_.columns; c-- > 0;) {
      const Symbol& symbol = symbols_[tables[c]].Of(k[c]);
      if (symbol.frequency == 0) return false;
      if (symbol.escape != 0 && !Remember(k[c], tables[c])) return false;
      uint32_t x = states[c & mask];
      const bool full = (x >> 20) >= symbol.frequency;
      next[-1] = static_cast<uint16_t>(x);  // kept only if full: no branch
      next -= full;
      x = full ? x >> 16 : x;
      const uint32_t q = static_cast<uint32_t>((x * symbol.reciprocal) >> kReciprocalBits);
      states[c & mask] = x + symbol.start + q * symbol.complement;
    }
    words_.next = next;
    return true;
  }

  std::vector<uint8_t> Finish() {
    BitWriter bits;
    for (auto escape = escapes_.rbegin(); escape != escapes_.rend(); ++escape) {
      bits.WriteGolomb(escape->excess, 0);
      bits.Write(escape->negative ? 1 : 0, 1);
    }
    return JoinPayload(states_, words_.words(), bits.Take());
  }

 private:
  bool Remember(int32_t k, uint32_t table) {
    if (std::abs(int64_t{k}) > kMaxInteger) return false;
    const int64_t excess = std::abs(int64_t{k}) - contexts_.tables[table].max_magnitude() - 1;
    escapes_.push_back({static_cast<uint32_t>(excess), k < 0});
    return true;
  }

  const TileShape shape_;
  const Contexts& contexts_;
  std::vector<SymbolTable> symbols_;
  WordStack words_;
  std::vector<uint32_t> states_;
  std::vector<Escape> escapes_;  // from the last to the first
};

}  // namespace

int LanesFor(uint64_t weights) {
  return weights >= 131072 ? 32 : weights >= 16384 ? 8 : weights >= 2048 ? 2 : 1;
}

absl::StatusOr<std::vector<uint8_t>> EncodeTile(TileShape shape, const int32_t* k, const Contexts& contexts) {
  return EncodeTile(shape, k, contexts, LanesFor(uint64_t{shape.rows} * shape.columns));
}

absl::StatusOr<std::vector<uint8_t>> EncodeTile(TileShape shape, const int32_t* k, const Contexts& contexts,
                                                int lanes) {
  if (contexts.classes.row.size() != shape.rows || contexts.classes.column.size() != shape.columns) {
    return NotCodable("its classes do not match its shape");
  }
  if (!HasTables(contexts.classes, contexts.dependent, contexts.tables.size())) {
    return NotCodable("a context has no table");
  }
  TableRows rows(shape, k, contexts.classes, contexts.dependent);
  TileEncoder encoder(shape, contexts, lanes);
  for (uint32_t r = shape.rows; r-- > 0;) {
    if (!encoder.CodeRow(rows.Row(r), rows.Tables(r))) {
      return NotCodable(absl::StrCat("a weight of row ", r, " is outside its frequency table"));
    }
  }
  return encoder.Finish();
}

void CountMagnitudes(TileShape shape, const int32_t* k, const TileClasses& classes, bool dependent, size_t size,
                     absl::Span<double> counts) {
  TableRows rows(shape, k, classes, dependent);
  for (uint32_t r = shape.rows; r-- > 0;) {
    const int32_t* row = rows.Row(r);
    const uint32_t* tables = rows.Tables(r);
    for (uint32_t c = 0; c < shape.columns; ++c) {
      const uint64_t magnitude = static_cast<uint64_t>(std::abs(int64_t{row[c]}));
      counts[tables[c] * size + std::min<uint64_t>(magnitude, size - 1)] += 1;
    }
  }
}

double IdealBits(TileShape shape, const int32_t* k, const Contexts& contexts) {
  constexpr int kKept = kMaxMagnitude + 1;  // lengths looked up; longer integers are escapes, and rare
  std::vector<double> lengths;
  for (const FrequencyTable& table : contexts.tables) {
    for (int v = 0; v < kKept; ++v) lengths.push_back(table.bits(v));
  }
  TableRows rows(shape, k, contexts.classes, contexts.dependent);
  double bits = 0;
  for (uint32_t r = shape.rows; r-- > 0;) {
    const int32_t* row = rows.Row(r);
    const uint32_t* tables = rows.Tables(r);
    for (uint32_t c = 0; c < shape.columns; ++c) {
      const int64_t v = std::abs(int64_t{row[c]});
      bits += v < kKept ? lengths[tables[c] * kKept + v] : contexts.tables[tables[c]].bits(row[c]);
    }
  }
  return bits;
}

}  // namespace nashswarm::coding
