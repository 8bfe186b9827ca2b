#include "core/expert_cache/pages_touched.h"

#include <algorithm>
#include <bit>

#include "core/base/checked.h"
#include "core/base/status.h"

namespace nashswarm::expert_cache {
namespace {

constexpr uint64_t kLargestAlignment = 1ull << 30;

struct PageRange {
  uint64_t first, last;
  bool operator<(const PageRange& other) const { return first < other.first; }
};

absl::Status BadOptions(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "LAYOUT_OPTIONS",
                   absl::StrCat("layout of experts: ", ToAbsl(what)));
}

// Pages in the union of ranges, which rise by their first; `runs` grows by the stretches without a gap.
uint64_t UnionOf(absl::Span<const PageRange> ranges, uint64_t* runs) {
  uint64_t pages = 0, end = 0;  // end: behind what is counted
  for (const PageRange& range : ranges) {
    if (pages == 0 || range.first > end) ++*runs;
    const uint64_t first = pages == 0 ? range.first : std::max(range.first, end);
    if (range.last + 1 > first) pages += range.last + 1 - first;
    end = std::max(end, range.last + 1);
  }
  return pages;
}

// The pages of each expert that a token uses, by rising first page.
void CollectPages(const Trace& trace, uint32_t token, const FileLayout& layout, uint64_t page_bytes,
                  std::vector<PageRange>& ranges) {
  ranges.clear();
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    for (const uint16_t expert : trace.Slots(token, layer)) {
      if (expert == kNoExpert) continue;
      const ExpertKey key = trace.Key(layer, expert);
      const uint64_t begin = layout.offsets[key];
      ranges.push_back({begin / page_bytes, (begin + trace.sizes[key] - 1) / page_bytes});
    }
  }
  std::sort(ranges.begin(), ranges.end());
}

}  // namespace

absl::StatusOr<FileLayout> LayOutExperts(const Trace& trace, absl::Span<const ExpertOrder> orders, uint64_t alignment) {
  NS_RETURN_IF_ERROR(ValidateTrace(trace));
  if (!std::has_single_bit(alignment) || alignment > kLargestAlignment) {
    return BadOptions("the alignment is no power of two up to 2^30");
  }
  if (orders.size() != trace.layers) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ORDER_INVALID",
                     absl::StrCat(orders.size(), " orders for ", trace.layers, " layers"));
  }
  FileLayout layout;
  layout.offsets.resize(trace.sizes.size());
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    NS_RETURN_IF_ERROR(Annotate(ValidateOrder(orders[layer], trace.experts_per_layer), absl::StrCat("layer ", layer)));
    for (const uint32_t expert : orders[layer]) {
      const ExpertKey key = trace.Key(layer, expert);
      layout.offsets[key] = AlignUp(layout.bytes, alignment);
      // The sizes have less than 2^63 bytes and there are less than 2^32 of them: padding cannot reach 2^64 either.
      layout.bytes = layout.offsets[key] + trace.sizes[key];
    }
  }
  return layout;
}

absl::StatusOr<PageCounts> PagesTouched(const Trace& trace, absl::Span<const ExpertOrder> orders,
                                        const PageOptions& options) {
  if (options.page_bytes == 0) return BadOptions("pages of 0 bytes");
  NS_ASSIGN_OR_RETURN(const FileLayout layout, LayOutExperts(trace, orders, options.alignment));
  const uint64_t last_page = layout.bytes == 0 ? 0 : (layout.bytes - 1) / options.page_bytes;
  PageCounts counts;
  counts.tokens = trace.tokens;
  std::vector<PageRange> ranges;
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    CollectPages(trace, token, layout, options.page_bytes, ranges);
    uint64_t unread_runs = 0;
    counts.touched += UnionOf(ranges, &unread_runs);
    for (PageRange& range : ranges) {
      range.first -= std::min(range.first, options.readahead_before);
      range.last += std::min(last_page - range.last, options.readahead_after);
    }
    counts.read += UnionOf(ranges, &counts.runs);
  }
  return counts;
}

}  // namespace nashswarm::expert_cache
