// How many pages of a file a token needs where its experts lie: predicted from a trace, to compare orders of the experts
// before a file is written, and to hold against what is measured (cold_mapping.h).
#ifndef NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_
#define NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/expert_cache/expert_order.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

struct ByteRange {
  uint64_t offset = 0, bytes = 0;
};

struct FileLayout {
  // By ExpertKey: what of the file an expert needs. One range, or one in each of the tensors it is spread over.
  std::vector<std::vector<ByteRange>> parts;
  uint64_t bytes = 0;  // of the file
};

// The layout of a file whose experts stand in other places: in layer l, expert orders[l][p] has the parts that expert p has
// here. INVALID_ARGUMENT / ORDER_INVALID for orders that are not one permutation per layer of `experts`;
// FAILED_PRECONDITION / LAYOUT_UNEVEN when the experts of a layer have parts of different sizes, so that none can take the
// place of another.
absl::StatusOr<FileLayout> Reorder(const FileLayout& layout, absl::Span<const ExpertOrder> orders, uint32_t experts);

struct PageOptions {
  uint64_t page_bytes = 4096;
  // Pages that the kernel reads around each run of touched ones, as far as the file goes. A fault on a mapping of Linux
  // reads a window around the page, by default 128 KiB: 16 pages of 4 KiB before and 15 behind.
  uint64_t readahead_before = 0;
  uint64_t readahead_after = 0;
};

// Sums over tokens; in each token a page counts once. Nothing is kept from one token to the next.
struct PageCounts {
  uint64_t tokens = 0;
  uint64_t touched = 0;  // pages that hold bytes of an expert which the token uses
  uint64_t read = 0;     // and those around them that are read with them
  uint64_t runs = 0;     // stretches of neighbouring pages that are read: places to seek to

  double touched_per_token() const { return PerToken(touched); }
  double read_per_token() const { return PerToken(read); }
  double runs_per_token() const { return PerToken(runs); }

 private:
  double PerToken(uint64_t sum) const {
    return tokens == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(tokens);
  }
};

// O(tokens x parts log parts), with the parts that a token uses in all layers. Errors: those of ValidateTrace;
// INVALID_ARGUMENT / LAYOUT_OPTIONS for pages of 0 bytes or a layout of another number of experts, OUT_OF_RANGE /
// RANGE_INVALID for parts outside the file.
absl::StatusOr<PageCounts> PagesTouched(const Trace& trace, const FileLayout& layout, const PageOptions& options);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_
