#include "core/expert_cache/trace.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/base/checked.h"
#include "core/base/status.h"

namespace nashswarm::expert_cache {
namespace {

absl::Status Invalid(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TRACE_INVALID",
                   absl::StrCat("trace of experts: ", ToAbsl(what)));
}

bool HasLength(uint64_t length, uint64_t a, uint64_t b, uint64_t c) {
  const std::optional<uint64_t> ab = CheckedMul(a, b);
  return ab.has_value() && CheckedMul(*ab, c) == std::optional<uint64_t>(length);
}

absl::Status ValidateShape(const Trace& trace) {
  if (trace.experts_per_layer >= kNoExpert) return Invalid("more experts in a layer than 16 bits can name");
  if (static_cast<uint64_t>(trace.layers) * trace.experts_per_layer > std::numeric_limits<ExpertKey>::max()) {
    return Invalid("more experts than 32 bits can number");
  }
  if (!HasLength(trace.experts.size(), trace.tokens, trace.layers, trace.top_k)) {
    return Invalid(absl::StrCat("there are ", trace.experts.size(), " slots, not ", trace.tokens, " tokens x ",
                                trace.layers, " layers x ", trace.top_k));
  }
  if (!HasLength(trace.sizes.size(), trace.layers, trace.experts_per_layer, 1)) {
    return Invalid(absl::StrCat("there are ", trace.sizes.size(), " sizes, not ", trace.layers, " layers x ",
                                trace.experts_per_layer, " experts"));
  }
  uint64_t total = 0;
  for (const uint64_t size : trace.sizes) {
    const std::optional<uint64_t> sum = CheckedAdd(total, size);
    if (!sum.has_value() || *sum > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Invalid("the sizes add up to 2^63 bytes or more");
    }
    total = *sum;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateTrace(const Trace& trace) {
  NS_RETURN_IF_ERROR(ValidateShape(trace));
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      const absl::Span<const uint16_t> slots = trace.Slots(token, layer);
      for (size_t i = 0; i < slots.size(); ++i) {
        if (slots[i] == kNoExpert) continue;
        const auto where = [&] { return absl::StrCat("token ", token, ", layer ", layer, ", expert ", slots[i]); };
        if (slots[i] >= trace.experts_per_layer) return Invalid(absl::StrCat(where(), ": there is none"));
        if (trace.sizes[trace.Key(layer, slots[i])] == 0) return Invalid(absl::StrCat(where(), ": it has no bytes"));
        if (std::find(slots.begin(), slots.begin() + i, slots[i]) != slots.begin() + i) {
          return Invalid(absl::StrCat(where(), ": used twice"));
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::expert_cache
