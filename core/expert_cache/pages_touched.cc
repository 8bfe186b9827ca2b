#include "core/expert_cache/pages_touched.h"

#include <algorithm>

#include "core/base/status.h"

namespace nashswarm::expert_cache {
namespace {

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

// The pages of each part that a token uses, by rising first page.
void CollectPages(const Trace& trace, uint32_t token, const FileLayout& layout, uint64_t page_bytes,
                  std::vector<PageRange>& ranges) {
  ranges.clear();
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    for (const uint16_t expert : trace.Slots(token, layer)) {
      if (expert == kNoExpert) continue;
      for (const ByteRange& part : layout.parts[trace.Key(layer, expert)]) {
        if (part.bytes == 0) continue;
        ranges.push_back({part.offset / page_bytes, (part.offset + part.bytes - 1) / page_bytes});
      }
    }
  }
  std::sort(ranges.begin(), ranges.end());
}

absl::Status CheckLayout(const Trace& trace, const FileLayout& layout) {
  if (layout.parts.size() != trace.sizes.size()) {
    return BadOptions(absl::StrCat("parts of ", layout.parts.size(), " experts for ", trace.sizes.size()));
  }
  for (const std::vector<ByteRange>& parts : layout.parts) {
    for (const ByteRange& part : parts) {
      if (part.offset <= layout.bytes && part.bytes <= layout.bytes - part.offset) continue;
      return MakeError(absl::StatusCode::kOutOfRange, "RANGE_INVALID",
                       absl::StrCat("layout of experts: bytes ", part.offset, " + ", part.bytes, " of ", layout.bytes));
    }
  }
  return absl::OkStatus();
}

bool SameSizes(const std::vector<ByteRange>& a, const std::vector<ByteRange>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const ByteRange& x, const ByteRange& y) { return x.bytes == y.bytes; });
}

}  // namespace

absl::StatusOr<FileLayout> Reorder(const FileLayout& layout, absl::Span<const ExpertOrder> orders, uint32_t experts) {
  if (orders.size() * experts != layout.parts.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ORDER_INVALID",
                     absl::StrCat(orders.size(), " orders of ", experts, " for a layout of ", layout.parts.size(), " experts"));
  }
  FileLayout reordered{std::vector<std::vector<ByteRange>>(layout.parts.size()), layout.bytes};
  for (size_t layer = 0; layer < orders.size(); ++layer) {
    NS_RETURN_IF_ERROR(Annotate(ValidateOrder(orders[layer], experts), absl::StrCat("layer ", layer)));
    for (uint32_t place = 0; place < experts; ++place) {
      const std::vector<ByteRange>& parts = layout.parts[layer * experts + place];
      if (!SameSizes(parts, layout.parts[layer * experts])) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "LAYOUT_UNEVEN",
                         absl::StrCat("layer ", layer, ": its experts have different sizes in the file, none can stand in another's place"));
      }
      reordered.parts[layer * experts + orders[layer][place]] = parts;
    }
  }
  return reordered;
}

absl::StatusOr<PageCounts> PagesTouched(const Trace& trace, const FileLayout& layout, const PageOptions& options) {
  if (options.page_bytes == 0) return BadOptions("pages of 0 bytes");
  NS_RETURN_IF_ERROR(ValidateTrace(trace));
  NS_RETURN_IF_ERROR(CheckLayout(trace, layout));
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
