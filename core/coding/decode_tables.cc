#include "core/coding/decode_tables.h"

#include <algorithm>

namespace nashswarm::coding {
namespace {

void Fill(Slot* slots, int start, int frequency, int symbol) {
  for (int i = 0; i < frequency; ++i) {
    slots[start + i] = static_cast<Slot>(frequency - 1) | static_cast<Slot>(i) << 12 | static_cast<Slot>(symbol) << 24;
  }
}

}  // namespace

DecodeTables::DecodeTables(absl::Span<const FrequencyTable> tables, bool dependent)
    : dependent_(dependent), slots_(tables.size() * kSlots) {
  Slot* slots = slots_.data();
  for (const FrequencyTable& table : tables) {
    max_magnitude_.push_back(static_cast<uint8_t>(table.max_magnitude()));
    for (int k = -table.max_magnitude(); k <= table.max_magnitude(); ++k) {
      Fill(slots, table.start(k), table.frequency(k), k);
    }
    Fill(slots, table.escape_start(), table.escape_frequency(), kEscapeSymbol);
    slots += kSlots;
  }
}

}  // namespace nashswarm::coding
