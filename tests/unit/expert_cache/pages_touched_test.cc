#include "core/expert_cache/pages_touched.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/status.h"
#include "core/expert_cache/coactivation.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

using ::testing::ElementsAre;

// 2 layers of 3 experts. In the original order, pages of 10 bytes:
//   layer 0: 0 [0, 10)  1 [10, 25)  2 [25, 30);  layer 1: 0 [30, 50)  1 [50, 55)  2 [55, 90)
Trace HandMade() {
  Trace trace{2, 2, 3, 2};
  trace.sizes = {10, 15, 5, 20, 5, 35};
  trace.experts = {0, 2, 1, kNoExpert,  // pages 0, 2; 5
                   1, 2, 2, 1};         // pages 1 2, 2; 5-8, 5
  return trace;
}
std::vector<ExpertOrder> Original(const Trace& trace) {
  return std::vector<ExpertOrder>(trace.layers, OriginalOrder(trace.experts_per_layer));
}
PageCounts Pages(const Trace& trace, const std::vector<ExpertOrder>& orders, const PageOptions& options) {
  const auto counts = PagesTouched(trace, orders, options);
  if (!counts.ok()) ADD_FAILURE() << counts.status();
  return counts.ok() ? *counts : PageCounts{};
}

TEST(PagesTouched, LayoutByHand) {
  const Trace trace = HandMade();
  const std::vector<ExpertOrder> orders = {{2, 0, 1}, {0, 1, 2}};
  const auto packed = LayOutExperts(trace, orders, 1);
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_THAT(packed->offsets, ElementsAre(5, 15, 0, 30, 50, 55));
  EXPECT_EQ(packed->bytes, 90u);
  const auto aligned = LayOutExperts(trace, orders, 16);
  ASSERT_TRUE(aligned.ok()) << aligned.status();
  EXPECT_THAT(aligned->offsets, ElementsAre(16, 32, 0, 48, 80, 96));
  EXPECT_EQ(aligned->bytes, 131u);
}

TEST(PagesTouched, CountsByHand) {
  const Trace trace = HandMade();
  const PageCounts counts = Pages(trace, Original(trace), {.page_bytes = 10});
  EXPECT_EQ(counts.tokens, 2u);
  EXPECT_EQ(counts.touched, 3u + 6);
  EXPECT_EQ(counts.read, counts.touched);
  EXPECT_EQ(counts.runs, 3u + 2);
  EXPECT_DOUBLE_EQ(counts.touched_per_token(), 4.5);
  EXPECT_DOUBLE_EQ(counts.read_per_token(), 4.5);
  EXPECT_DOUBLE_EQ(counts.runs_per_token(), 2.5);
}

// The file has pages 0 to 8.
TEST(PagesTouched, ReadaheadReachesAsFarAsTheFile) {
  const Trace trace = HandMade();
  // 0 1 2 3, 5 6 | 1 2 3, 5 6 7 8: the last page has none behind it.
  PageCounts counts = Pages(trace, Original(trace), {.page_bytes = 10, .readahead_after = 1});
  EXPECT_EQ(counts.touched, 9u);
  EXPECT_EQ(counts.read, 6u + 7);
  EXPECT_EQ(counts.runs, 2u + 2);
  // 0 1 2, 4 5 | 0 1 2, 4 5 6 7 8
  counts = Pages(trace, Original(trace), {.page_bytes = 10, .readahead_before = 1});
  EXPECT_EQ(counts.read, 5u + 8);
  EXPECT_EQ(counts.runs, 2u + 2);
  counts = Pages(trace, Original(trace),
                 {.page_bytes = 10, .readahead_before = ~uint64_t{0}, .readahead_after = ~uint64_t{0}});
  EXPECT_EQ(counts.read, 9u + 9);
  EXPECT_EQ(counts.runs, 2u);
  EXPECT_EQ(counts.touched, 9u);
}

// Against sets of pages, byte by byte.
TEST(PagesTouched, AgreesWithSetsOfPages) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Trace trace = RandomTrace(seed, {.tokens = 40, .layers = 3, .experts = 6, .top_k = 2, .largest = 40});
    const std::vector<ExpertOrder> orders = {{5, 0, 3, 1, 2, 4}, {0, 1, 2, 3, 4, 5}, {2, 4, 1, 5, 0, 3}};
    const PageOptions options = {.page_bytes = 1 + seed * 2, .alignment = 1ull << (seed % 5),
                                 .readahead_before = seed % 3, .readahead_after = seed % 4};
    const auto layout = LayOutExperts(trace, orders, options.alignment);
    ASSERT_TRUE(layout.ok()) << layout.status();
    const auto last = static_cast<int64_t>((layout->bytes - 1) / options.page_bytes);
    uint64_t touched = 0, read = 0, runs = 0;
    for (uint32_t token = 0; token < trace.tokens; ++token) {
      std::set<int64_t> pages, all;
      for (uint32_t layer = 0; layer < trace.layers; ++layer) {
        for (const uint16_t expert : trace.Slots(token, layer)) {
          if (expert == kNoExpert) continue;
          const ExpertKey key = trace.Key(layer, expert);
          for (uint64_t byte = 0; byte < trace.sizes[key]; ++byte) {
            pages.insert(static_cast<int64_t>((layout->offsets[key] + byte) / options.page_bytes));
          }
        }
      }
      for (const int64_t page : pages) {
        for (int64_t p = page - static_cast<int64_t>(options.readahead_before);
             p <= page + static_cast<int64_t>(options.readahead_after); ++p) {
          if (p >= 0 && p <= last) all.insert(p);
        }
      }
      touched += pages.size();
      read += all.size();
      for (const int64_t page : all) runs += all.contains(page - 1) ? 0 : 1;
    }
    const PageCounts counts = Pages(trace, orders, options);
    ASSERT_EQ(counts.touched, touched) << seed;
    ASSERT_EQ(counts.read, read) << seed;
    ASSERT_EQ(counts.runs, runs) << seed;
  }
}

// What this is for: pairs that are used together but lie apart, brought together, need fewer pages.
TEST(PagesTouched, OrderByCoactivationNeedsFewerPages) {
  const uint32_t experts = 16;
  Trace trace{400, 1, experts, 2};
  trace.sizes.assign(experts, 100);
  std::mt19937_64 random(1);
  for (uint32_t token = 0; token < trace.tokens; ++token) {
    const auto first = static_cast<uint16_t>(random() % 8);
    trace.experts.push_back(first);
    trace.experts.push_back(static_cast<uint16_t>(random() % 10 == 0 ? (first + 1) % experts : first + 8));
  }
  const auto counts = CountCoactivation(trace);
  ASSERT_TRUE(counts.ok()) << counts.status();
  const auto order = OrderExperts(counts->Together(0), experts);
  ASSERT_TRUE(order.ok()) << order.status();
  const PageOptions options = {.page_bytes = 200, .readahead_before = 1, .readahead_after = 1};
  const PageCounts before = Pages(trace, Original(trace), options), after = Pages(trace, {*order}, options);
  EXPECT_LT(after.read_per_token(), before.read_per_token() * 0.8);
  EXPECT_LT(after.runs_per_token(), before.runs_per_token() * 0.8);
}

TEST(PagesTouched, NoTokensNeedNoPages) {
  const PageCounts counts = Pages(Trace{}, {}, {});
  EXPECT_EQ(counts.read, 0u);
  EXPECT_EQ(counts.read_per_token(), 0);
}

TEST(PagesTouched, RefusesWhatIsNoLayout) {
  const Trace trace = HandMade();
  const auto reason = [&](const std::vector<ExpertOrder>& orders, const PageOptions& options) {
    return ReasonOf(PagesTouched(trace, orders, options).status());
  };
  EXPECT_EQ(reason(Original(trace), {}), "");
  EXPECT_EQ(reason({{0, 1, 2}}, {}), "ORDER_INVALID");
  EXPECT_EQ(reason({{0, 1, 2}, {0, 1, 1}}, {}), "ORDER_INVALID");
  EXPECT_EQ(reason(Original(trace), {.page_bytes = 0}), "LAYOUT_OPTIONS");
  EXPECT_EQ(reason(Original(trace), {.alignment = 0}), "LAYOUT_OPTIONS");
  EXPECT_EQ(reason(Original(trace), {.alignment = 24}), "LAYOUT_OPTIONS");
  EXPECT_EQ(reason(Original(trace), {.alignment = 1ull << 31}), "LAYOUT_OPTIONS");
}

}  // namespace
}  // namespace nashswarm::expert_cache
