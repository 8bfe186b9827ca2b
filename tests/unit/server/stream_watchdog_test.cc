#include "server/services/stream_watchdog.h"

#include <future>

#include "gtest/gtest.h"
#include "server/services/context.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StreamPaceTest : public ::testing::Test {
 protected:
  // A wait that ends with bytes.
  void Wait(seconds duration, int64_t bytes) {
    pace_.WaitBegins(now_);
    now_ += duration;
    pace_.WaitEnds(now_, bytes);
  }
  StreamPace::Time now_{std::chrono::hours(1)};
  StreamPace pace_{{.idle = seconds(60), .min_bytes_per_second = 1000, .window = seconds(60)}};
};

TEST_F(StreamPaceTest, SilenceIsTooSlow) {
  pace_.WaitBegins(now_);
  EXPECT_FALSE(pace_.TooSlow(now_ + milliseconds(59'999)));
  EXPECT_TRUE(pace_.TooSlow(now_ + seconds(60)));
}

TEST_F(StreamPaceTest, ABytePerMinuteIsTooSlow) {
  Wait(seconds(55), 1);
  EXPECT_FALSE(pace_.TooSlow(now_));
  pace_.WaitBegins(now_);
  EXPECT_FALSE(pace_.TooSlow(now_ + seconds(4)));
  EXPECT_TRUE(pace_.TooSlow(now_ + seconds(5))) << "a whole window with one byte";
}

TEST_F(StreamPaceTest, ASlowWindowIsSeenWhenItsLastWaitEndsToo) {
  Wait(seconds(59), 1);
  Wait(seconds(2), 1);
  EXPECT_TRUE(pace_.TooSlow(now_));
}

TEST_F(StreamPaceTest, JustFastEnoughGoesOnForEver) {
  for (int i = 0; i < 600; ++i) {
    Wait(seconds(7), 7100);
    ASSERT_FALSE(pace_.TooSlow(now_)) << i;
  }
}

TEST_F(StreamPaceTest, TimeThatWeTakeDoesNotCount) {
  for (int i = 0; i < 100; ++i) {
    Wait(seconds(0), 1);
    now_ += seconds(3600);  // a slow disk
    ASSERT_FALSE(pace_.TooSlow(now_)) << i;
  }
}

TEST_F(StreamPaceTest, ZeroIsNoLimit) {
  StreamPace pace{{.idle = milliseconds(0), .min_bytes_per_second = 0}};
  pace.WaitBegins(now_);
  EXPECT_FALSE(pace.TooSlow(now_ + std::chrono::hours(1000)));
}

TEST(StreamWatchdogTest, CancelsTheSlowOneOnce) {
  StreamWatchdog watchdog;
  std::atomic<int> other{0}, calls{0};
  std::promise<void> cancelled;
  StreamWatchdog::Watch good(&watchdog, {.idle = seconds(600)}, [&] { ++other; });
  StreamWatchdog::Watch slow(&watchdog, {.idle = milliseconds(1)}, [&] {
    if (++calls == 1) cancelled.set_value();
  });
  good.WaitBegins();
  EXPECT_FALSE(slow.cancelled());
  slow.WaitBegins();
  ASSERT_EQ(cancelled.get_future().wait_for(seconds(30)), std::future_status::ready);
  slow.WaitEnds(0);
  EXPECT_TRUE(slow.cancelled());
  EXPECT_FALSE(good.cancelled());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(other, 0);
}

TEST(StreamSlotsTest, ATenantCannotTakeAllAndOthersKeepTheirs) {
  using Taken = StreamSlots::Taken;
  StreamSlots slots(3);
  EXPECT_EQ(slots.TryTake("a", 2), Taken::kYes);
  EXPECT_EQ(slots.TryTake("a", 2), Taken::kYes);
  EXPECT_EQ(slots.TryTake("a", 2), Taken::kNoneLeftForTenant);
  EXPECT_EQ(slots.TryTake("b", 2), Taken::kYes);
  EXPECT_EQ(slots.TryTake("b", 2), Taken::kNoneLeft);
  slots.Return("a");
  EXPECT_EQ(slots.TryTake("a", 2), Taken::kYes);
  slots.Return("b");
  EXPECT_EQ(slots.TryTake("c", 0), Taken::kNoneLeftForTenant);
  EXPECT_EQ(slots.TryTake("c", 1), Taken::kYes);
}

}  // namespace
}  // namespace nashswarm::server
