#include "core/coding/trellis.h"

#include <gtest/gtest.h>

#include <set>

namespace nashswarm::coding {
namespace {

TEST(CodingTrellisTest, StatesFollowParities) {
  // s = (b2 b1 b0) -> (b0, b2 ^ b0, b1 ^ b0 ^ parity), by hand.
  const int even[kTrellisStates] = {0, 7, 1, 6, 2, 5, 3, 4};
  for (int s = 0; s < kTrellisStates; ++s) {
    EXPECT_EQ(NextState(s, 0), even[s]);
    EXPECT_EQ(NextState(s, 1), even[s] ^ 1);
    EXPECT_EQ(NextState(s, -1), even[s] ^ 1);
    EXPECT_EQ(NextState(s, -2), even[s]);
    EXPECT_EQ(QuantizerOf(s), s % 2);
  }
}

TEST(CodingTrellisTest, PreviousInvertsNext) {
  for (int s = 0; s < kTrellisStates; ++s) {
    for (int k : {-3, -2, -1, 0, 1, 2, 7}) EXPECT_EQ(PreviousState(NextState(s, k), k), s);
  }
}

// Two branches leave a state and two arrive: every state is reached in three steps.
TEST(CodingTrellisTest, EveryStateIsReached) {
  std::set<int> reached = {0};
  for (int step = 0; step < 3; ++step) {
    std::set<int> next;
    for (int s : reached) next.insert({NextState(s, 0), NextState(s, 1)});
    reached = next;
  }
  EXPECT_EQ(reached.size(), 8u);
}

TEST(CodingTrellisTest, ReconstructionNumbers) {
  EXPECT_EQ(Reconstruction(0, 3), 6);
  EXPECT_EQ(Reconstruction(1, 3), 5);
  EXPECT_EQ(Reconstruction(0, -3), -6);
  EXPECT_EQ(Reconstruction(1, -3), -5);
  EXPECT_EQ(Reconstruction(1, 0), 0);
  EXPECT_EQ(Reconstruction(1, 1 << 30), (int64_t{1} << 31) - 1);
}

}  // namespace
}  // namespace nashswarm::coding
