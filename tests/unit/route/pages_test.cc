#include "core/route/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/unit/route/tiny_model.h"

namespace nashswarm::route {
namespace {

constexpr uint64_t kPage = 4096, kExpertPages = 3;

// One layer of four experts, each of three whole pages, in a file of its own.
struct Experts {
  TemporaryDirectory directory = testing::MakeTemporaryDirectory();
  ExpertFiles files;
  Experts() {
    const std::string path = directory.path() + "/experts.bin";
    testing::WriteTestFile(path, std::string(4 * kExpertPages * kPage, 'x'));
    files.files = {{path, 0, 4 * kExpertPages * kPage}};
    files.layers = 1;
    files.experts = 4;
    files.layout.bytes = 4 * kExpertPages * kPage;
    for (uint64_t e = 0; e < 4; ++e) files.layout.parts.push_back({{e * kExpertPages * kPage, kExpertPages * kPage}});
  }
};

// Experts 0 and 2, 1 and 3 are used together, always.
expert_cache::Trace Pairs() {
  expert_cache::Trace trace{4, 1, 4, 2};
  trace.experts = {0, 2, 1, 3, 2, 0, 3, 1};
  trace.sizes.assign(4, kExpertPages * kPage);
  return trace;
}

TEST(PagesTest, ExpertsUsedTogetherComeTogether) {
  const auto orders = OrderByUse(Pairs());
  ASSERT_TRUE(orders.ok()) << orders.status();
  ASSERT_EQ(orders->size(), 1u);
  const auto place = [&](uint32_t expert) {
    return std::find((*orders)[0].begin(), (*orders)[0].end(), expert) - (*orders)[0].begin();
  };
  EXPECT_EQ(std::abs(place(0) - place(2)), 1);
  EXPECT_EQ(std::abs(place(1) - place(3)), 1);
}

TEST(PagesTest, OrdersAreComparedOnTheTrace) {
  const Experts experts;
  const expert_cache::Trace trace = Pairs();
  const auto together = OrderByUse(trace);
  const auto pages = ComparePages(experts.files, trace, *together, {}, NoProgress);
  ASSERT_TRUE(pages.ok()) << pages.status();
  EXPECT_EQ(pages->file, "experts.bin");
  ASSERT_EQ(pages->orders.size(), 3u);
  EXPECT_EQ(pages->orders[0].order, "original");
  EXPECT_EQ(pages->orders[1].order, "random");
  EXPECT_EQ(pages->orders[2].order, "together");
  const double touched = 2.0 * kExpertPages * kPage / static_cast<double>(pages->page_bytes);
  for (const report::OrderRow& row : pages->orders) {
    EXPECT_EQ(row.touched, touched) << row.order;
    EXPECT_FALSE(row.resident.has_value());
  }
  EXPECT_EQ(pages->orders[0].runs, 2);
  EXPECT_EQ(pages->orders[2].runs, 1);
  EXPECT_NE(pages->not_measured, "");
}

// What is touched must be read; readahead reads more, and never less.
TEST(PagesTest, MeasuredPagesHoldWhatIsTouched) {
  const Experts experts;
  const expert_cache::Trace trace = Pairs();
  const auto pages = ComparePages(experts.files, trace, *OrderByUse(trace), {.measure = true, .tokens = 3}, NoProgress);
  ASSERT_TRUE(pages.ok()) << pages.status();
  if (!pages->not_measured.empty()) GTEST_SKIP() << "SKIPPED: pages cannot be measured here: " << pages->not_measured;
  EXPECT_EQ(pages->tokens, 3u);
  for (const report::OrderRow& row : pages->orders) {
    ASSERT_TRUE(row.faulted.has_value() && row.resident.has_value());
    EXPECT_NEAR(*row.faulted, row.touched, 1e-9);  // each page alone, and every token touches as many
    EXPECT_GE(*row.resident, row.touched);
    EXPECT_LE(*row.resident, static_cast<double>(4 * kExpertPages * kPage / pages->page_bytes));
  }
}

TEST(PagesTest, ExpertsOfDifferentSizesKeepTheirPlaces) {
  Experts experts;
  experts.files.layout.parts[0][0].bytes -= 100;
  const expert_cache::Trace trace = Pairs();
  const auto pages = ComparePages(experts.files, trace, *OrderByUse(trace), {}, NoProgress);
  ASSERT_TRUE(pages.ok()) << pages.status();
  ASSERT_EQ(pages->orders.size(), 1u);
  EXPECT_EQ(pages->orders[0].order, "original");
}

TEST(PagesTest, OfAModelOnDisk) {
  const TinyModel tiny("mixtral");
  const auto files = FindExperts(tiny.checkpoint(), tiny.mapping());
  ASSERT_TRUE(files.ok());
  expert_cache::Trace trace{1, 2, 4, 2};
  trace.experts = {0, 1, 2, 3};
  trace.sizes = files->sizes();
  const auto pages = ComparePages(*files, trace, *OrderByUse(trace), {}, NoProgress);
  ASSERT_TRUE(pages.ok()) << pages.status();
  // Four experts of three matrices of 96 x 64 floats.
  const double bytes = 4.0 * 3 * 96 * 64 * 4;
  EXPECT_GE(pages->orders[0].touched, bytes / static_cast<double>(pages->page_bytes));
  EXPECT_LE(pages->orders[0].touched, bytes / static_cast<double>(pages->page_bytes) + 12);
}

TEST(PagesTest, AFileThatIsGoneIsAnError) {
  Experts experts;
  experts.files.files[0].path += ".not";
  const expert_cache::Trace trace = Pairs();
  const auto pages = ComparePages(experts.files, trace, *OrderByUse(trace), {.measure = true}, NoProgress);
  EXPECT_TRUE(absl::IsNotFound(pages.status())) << pages.status();
}

}  // namespace
}  // namespace nashswarm::route
