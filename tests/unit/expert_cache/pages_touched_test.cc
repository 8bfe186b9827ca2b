#include "core/expert_cache/pages_touched.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/status.h"
#include "core/expert_cache/coactivation.h"
#include "tests/unit/expert_cache/random_traces.h"

namespace nashswarm::expert_cache {
namespace {

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
// Layer after layer without gaps, each layer's experts in its order.
FileLayout Packed(const Trace& trace, const std::vector<ExpertOrder>& orders) {
  FileLayout layout{std::vector<std::vector<ByteRange>>(trace.sizes.size()), 0};
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    for (const uint32_t expert : orders[layer]) {
      const ExpertKey key = trace.Key(layer, expert);
      layout.parts[key] = {{layout.bytes, trace.sizes[key]}};
      layout.bytes += trace.sizes[key];
    }
  }
  return layout;
}
PageCounts Pages(const Trace& trace, const std::vector<ExpertOrder>& orders, const PageOptions& options) {
  const auto counts = PagesTouched(trace, Packed(trace, orders), options);
  if (!counts.ok()) ADD_FAILURE() << counts.status();
  return counts.ok() ? *counts : PageCounts{};
}

// Two layers of two experts, each in two stacks of a tensor; the second expert is asked to stand first.
TEST(PagesTouched, ReorderingExchangesPlaces) {
  const FileLayout layout{{{{0, 10}, {100, 5}}, {{10, 10}, {105, 5}}, {{20, 3}}, {{30, 3}}}, 200};
  const auto reordered = Reorder(layout, std::vector<ExpertOrder>{{1, 0}, {0, 1}}, 2);
  ASSERT_TRUE(reordered.ok()) << reordered.status();
  EXPECT_EQ(reordered->bytes, 200u);
  EXPECT_EQ(reordered->parts[1][0].offset, 0u);
  EXPECT_EQ(reordered->parts[1][1].offset, 100u);
  EXPECT_EQ(reordered->parts[0][0].offset, 10u);
  EXPECT_EQ(reordered->parts[0][1].offset, 105u);
  EXPECT_EQ(reordered->parts[3][0].offset, 30u);
  // Three experts: the one that order names first takes the first place, not the other way round.
  const FileLayout three{{{{0, 1}}, {{1, 1}}, {{2, 1}}}, 3};
  const auto turned = Reorder(three, std::vector<ExpertOrder>{{1, 2, 0}}, 3);
  ASSERT_TRUE(turned.ok());
  EXPECT_EQ(turned->parts[1][0].offset, 0u);
  EXPECT_EQ(turned->parts[2][0].offset, 1u);
  EXPECT_EQ(turned->parts[0][0].offset, 2u);
}

TEST(PagesTouched, ReorderingRefusesWhatHasNoPlace) {
  const FileLayout layout{{{{0, 1}}, {{1, 2}}}, 3}, even{{{{0, 1}}, {{1, 1}}}, 3};
  EXPECT_EQ(ReasonOf(Reorder(layout, std::vector<ExpertOrder>{{0, 1}}, 2).status()), "LAYOUT_UNEVEN");
  EXPECT_EQ(ReasonOf(Reorder(even, std::vector<ExpertOrder>{{0, 1}}, 2).status()), "");
  EXPECT_EQ(ReasonOf(Reorder(even, std::vector<ExpertOrder>{{0, 0}}, 2).status()), "ORDER_INVALID");
  EXPECT_EQ(ReasonOf(Reorder(even, std::vector<ExpertOrder>{{0, 1}, {0, 1}}, 2).status()), "ORDER_INVALID");
}

TEST(PagesTouched, PartsOfAnExpertCountOnceWhereTheyShareAPage) {
  Trace trace{1, 1, 2, 1};
  trace.sizes = {8, 8};
  trace.experts = {1};
  const FileLayout layout{{{{0, 4}, {40, 4}}, {{4, 4}, {8, 4}, {44, 4}}}, 50};
  const auto counts = PagesTouched(trace, layout, {.page_bytes = 10});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->touched, 3u);  // pages 0, 1 and 4
  EXPECT_EQ(counts->runs, 2u);
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
    const PageOptions options = {.page_bytes = 1 + seed * 2, .readahead_before = seed % 3, .readahead_after = seed % 4};
    const FileLayout layout = Packed(trace, orders);
    const auto last = static_cast<int64_t>((layout.bytes - 1) / options.page_bytes);
    uint64_t touched = 0, read = 0, runs = 0;
    for (uint32_t token = 0; token < trace.tokens; ++token) {
      std::set<int64_t> pages, all;
      for (uint32_t layer = 0; layer < trace.layers; ++layer) {
        for (const uint16_t expert : trace.Slots(token, layer)) {
          if (expert == kNoExpert) continue;
          const ExpertKey key = trace.Key(layer, expert);
          for (uint64_t byte = 0; byte < trace.sizes[key]; ++byte) {
            pages.insert(static_cast<int64_t>((layout.parts[key][0].offset + byte) / options.page_bytes));
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
  const auto reason = [&](const FileLayout& layout, const PageOptions& options) {
    return ReasonOf(PagesTouched(trace, layout, options).status());
  };
  FileLayout layout = Packed(trace, Original(trace));
  EXPECT_EQ(reason(layout, {}), "");
  EXPECT_EQ(reason(layout, {.page_bytes = 0}), "LAYOUT_OPTIONS");
  layout.bytes = 89;
  EXPECT_EQ(reason(layout, {}), "RANGE_INVALID");
  layout.parts.pop_back();
  EXPECT_EQ(reason(layout, {}), "LAYOUT_OPTIONS");
}

}  // namespace
}  // namespace nashswarm::expert_cache
