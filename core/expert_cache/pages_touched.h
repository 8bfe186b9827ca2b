// How many pages of a file a token needs when the experts lie in it in a given order: predicted from a trace, to
// compare orders before one is written and measured (cold_mapping.h).
#ifndef NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_
#define NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/expert_cache/expert_order.h"
#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

struct FileLayout {
  std::vector<uint64_t> offsets;  // where each expert begins, by ExpertKey
  uint64_t bytes = 0;             // of the file
};

// Layer after layer from offset 0, each layer's experts in its order (orders[layer]), each expert at a multiple of
// `alignment`, which is a power of two up to 2^30; 1 packs them. Errors: those of ValidateTrace; INVALID_ARGUMENT /
// ORDER_INVALID for orders that are not one permutation per layer, / LAYOUT_OPTIONS for another alignment.
absl::StatusOr<FileLayout> LayOutExperts(const Trace& trace, absl::Span<const ExpertOrder> orders, uint64_t alignment);

struct PageOptions {
  uint64_t page_bytes = 4096;
  uint64_t alignment = 1;  // as LayOutExperts
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

// O(tokens x uses log uses), with the uses of a token in all layers. Errors: those of LayOutExperts, and LAYOUT_OPTIONS
// for pages of 0 bytes.
absl::StatusOr<PageCounts> PagesTouched(const Trace& trace, absl::Span<const ExpertOrder> orders,
                                        const PageOptions& options);

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_PAGES_TOUCHED_H_
