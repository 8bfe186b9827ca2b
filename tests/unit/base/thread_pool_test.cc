#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace nashswarm {
namespace {

TEST(ThreadPoolTest, EveryItemOnceInEveryStep) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const uint64_t count : {0u, 1u, 2u, 7u, 1000u}) {
      for (int step = 0; step < 50; ++step) {
        std::vector<std::atomic<int>> seen(count);
        std::atomic<bool> known_threads{true};
        EXPECT_TRUE(pool.Run(count, [&](uint64_t i, int thread) {
                          ++seen[i];
                          if (thread < 0 || thread >= threads) known_threads = false;
                          return absl::OkStatus();
                        }).ok());
        for (const auto& times : seen) ASSERT_EQ(times, 1);
        ASSERT_TRUE(known_threads);
      }
    }
  }
}

TEST(ThreadPoolTest, AThreadDoesOneItemAtATime) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> at_work(4);
  std::atomic<bool> shared{false};
  EXPECT_TRUE(pool.Run(5000, [&](uint64_t, int thread) {
                    if (++at_work[thread] != 1) shared = true;
                    --at_work[thread];
                    return absl::OkStatus();
                  }).ok());
  EXPECT_FALSE(shared);
}

TEST(ThreadPoolTest, AnErrorEndsTheStepAndNotThePool) {
  ThreadPool pool(3);
  std::atomic<int> ran{0};
  const absl::Status status = pool.Run(100000, [&](uint64_t i, int) {
    ++ran;
    return i >= 10 ? absl::InternalError(std::to_string(i)) : absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_LT(ran, 100000);
  EXPECT_TRUE(pool.Run(10, [](uint64_t, int) { return absl::OkStatus(); }).ok());
}

TEST(ThreadPoolTest, TheErrorIsThatOfTheSmallestItem) {
  ThreadPool pool(1);
  const absl::Status status = pool.Run(10, [](uint64_t i, int) { return absl::InternalError(std::to_string(i)); });
  EXPECT_EQ(status.message(), "0");
}

}  // namespace
}  // namespace nashswarm
