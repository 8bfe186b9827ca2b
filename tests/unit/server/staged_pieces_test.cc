#include "server/store/s3/staged_pieces.h"

#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kMiB = 1 << 20;

std::vector<Slice> Pieces(const std::vector<int64_t>& sizes) {
  std::vector<Slice> slices;
  for (const int64_t size : sizes) slices.push_back({absl::StrCat("p", slices.size()), size, 0, size});
  return slices;
}

// The plan says every byte once and in order, and S3 will accept it.
void ExpectSound(const std::vector<Slice>& slices, const std::vector<PlannedPart>& plan) {
  std::vector<Slice> joined;
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_TRUE(i + 1 == plan.size() || plan[i].size() >= kMinPartBytes) << "part " << i;
    EXPECT_TRUE(!plan[i].copied || plan[i].slices.size() == 1);
    for (const Slice& slice : plan[i].slices) {
      EXPECT_GT(slice.size(), 0);
      if (!joined.empty() && joined.back().key == slice.key && joined.back().end == slice.begin) {
        joined.back().end = slice.end;
      } else {
        joined.push_back(slice);
      }
    }
  }
  EXPECT_LE(plan.size(), static_cast<size_t>(kMaxParts));
  ASSERT_EQ(joined.size(), slices.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    EXPECT_EQ(joined[i].key, slices[i].key);
    EXPECT_EQ(joined[i].begin, slices[i].begin);
    EXPECT_EQ(joined[i].end, slices[i].end);
  }
}

int64_t ReadBytes(const std::vector<PlannedPart>& plan) {
  int64_t bytes = 0;
  for (const PlannedPart& part : plan) bytes += part.copied ? 0 : part.size();
  return bytes;
}

TEST(StagedPiecesTest, OneTebibyteFitsIntoTenThousandParts) {
  int64_t offset = 0, count = 0, largest = 0;
  for (; offset < int64_t{1} << 40; ++count) {
    const int64_t size = PieceBytes(offset);
    EXPECT_GE(size, 8 * kMiB);
    largest = std::max(largest, size);
    offset += size;
  }
  EXPECT_LT(count, kMaxParts);
  EXPECT_EQ(largest, 128 * kMiB);
}

TEST(StagedPiecesTest, NamesSortByOffset) {
  EXPECT_EQ(PieceName(0), "00000000000000000000");
  EXPECT_LT(PieceName(9), PieceName(10));
  EXPECT_EQ(PieceName(int64_t{1} << 62).size(), 20u);
}

TEST(StagedPiecesTest, LargePiecesAreOnlyCopied) {
  const auto slices = Pieces({8 * kMiB, 8 * kMiB, 3});
  const auto plan = PlanParts(slices);
  ExpectSound(slices, plan);
  EXPECT_EQ(plan.size(), 3u);
  EXPECT_EQ(ReadBytes(plan), 0);
}

TEST(StagedPiecesTest, SmallPiecesAreJoinedWithNoMoreThanNeeded) {
  const auto slices = Pieces({8 * kMiB, 1, 128 * kMiB, 2 * kMiB});
  const auto plan = PlanParts(slices);
  ExpectSound(slices, plan);
  EXPECT_EQ(plan.size(), 4u);
  EXPECT_EQ(ReadBytes(plan), kMinPartBytes);
}

TEST(StagedPiecesTest, EveryMixOfSizesIsSound) {
  const std::vector<int64_t> sizes = {1, kMiB, 4 * kMiB, kMinPartBytes - 1, kMinPartBytes, 9 * kMiB, 11 * kMiB};
  for (size_t n = 1, total = sizes.size(); n <= 4; ++n, total *= sizes.size()) {
    for (size_t code = 0; code < total; ++code) {
      std::vector<int64_t> chosen;
      for (size_t i = 0, rest = code; i < n; ++i, rest /= sizes.size()) chosen.push_back(sizes[rest % sizes.size()]);
      const auto slices = Pieces(chosen);
      ExpectSound(slices, PlanParts(slices));
    }
  }
}

TEST(StagedPiecesTest, TooManyPiecesAreJoined) {
  const auto slices = Pieces(std::vector<int64_t>(30000, 6 * kMiB));
  ExpectSound(slices, PlanParts(slices));
}

TEST(StagedPiecesTest, HolesAndMissingEndsAreDataLoss) {
  const std::vector<S3Object> whole = {{"s/" + PieceName(0), 5}, {"s/" + PieceName(5), 5}};
  const auto slices = Must(SlicesOf("s/", whole, 7));
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[1].size(), 2);
  EXPECT_FALSE(slices[1].IsWhole());
  EXPECT_EQ(Must(SlicesOf("s/", whole, 5)).size(), 1u);
  EXPECT_EQ(ReasonOf(SlicesOf("s/", whole, 11).status()), "BLOB_TRUNCATED");
  EXPECT_EQ(ReasonOf(SlicesOf("s/", {whole[1]}, 5).status()), "BLOB_TRUNCATED");
  EXPECT_EQ(ReasonOf(SlicesOf("s/", {whole[0], {"s/" + PieceName(6), 5}}, 9).status()), "BLOB_TRUNCATED");
}

}  // namespace
}  // namespace nashswarm::server
