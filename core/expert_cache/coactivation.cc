#include "core/expert_cache/coactivation.h"

#include "core/base/status.h"

namespace nashswarm::expert_cache {
namespace {

// 4 GB of counts: far above what models have (60 layers of 256 experts: 4 million), far below what a machine has not.
constexpr uint64_t kMostCounts = 1ull << 30;

// Adds 1 for each pair of an expert of `rows` and another of `columns`.
void CountPairs(absl::Span<const uint16_t> rows, absl::Span<const uint16_t> columns, uint32_t experts, bool same_layer,
                uint32_t* counts) {
  for (const uint16_t row : rows) {
    for (const uint16_t column : columns) {
      if (row == kNoExpert || column == kNoExpert || (same_layer && row == column)) continue;
      ++counts[static_cast<size_t>(row) * experts + column];
    }
  }
}

}  // namespace

absl::StatusOr<Coactivation> CountCoactivation(const Trace& trace) {
  NS_RETURN_IF_ERROR(ValidateTrace(trace));
  const size_t square = static_cast<size_t>(trace.experts_per_layer) * trace.experts_per_layer;
  if (square > 0 && trace.layers > kMostCounts / square) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TRACE_TOO_LARGE",
                     absl::StrCat("co-activation of ", trace.layers, " layers of ", trace.experts_per_layer,
                                  " experts: the counts do not fit"));
  }
  Coactivation counts;
  counts.layers = trace.layers;
  counts.experts = trace.experts_per_layer;
  counts.load.resize(trace.sizes.size());
  counts.together.resize(trace.layers * square);
  counts.transitions.resize(trace.layers == 0 ? 0 : (trace.layers - 1) * square);
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      const absl::Span<const uint16_t> slots = trace.Slots(token, layer);
      for (const uint16_t expert : slots) {
        if (expert != kNoExpert) ++counts.load[trace.Key(layer, expert)];
      }
      CountPairs(slots, slots, counts.experts, true, counts.together.data() + layer * square);
      if (layer + 1 == trace.layers) continue;
      CountPairs(slots, trace.Slots(token, layer + 1), counts.experts, false,
                 counts.transitions.data() + layer * square);
    }
  }
  return counts;
}

}  // namespace nashswarm::expert_cache
