// ParallelFor from many threads at once, with errors, and the numbers it sums.
#include <atomic>
#include <thread>
#include <vector>

#include "core/base/parallel.h"
#include "gtest/gtest.h"

namespace nashswarm {
namespace {

TEST(ThreadsTest, ParallelForOrdersWhatItsBodiesWrite) {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([caller] {
      for (int round = 0; round < 50; ++round) {
        std::vector<int> out(200);  // each written by one body, read after all of them
        ASSERT_TRUE(ParallelFor(4, out.size(), [&](uint64_t i) {
                      out[i] = static_cast<int>(i) + caller;
                      return absl::OkStatus();
                    }).ok());
        for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<int>(i) + caller);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadsTest, TheSmallestErrorIsReturned) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    const absl::Status status = ParallelFor(4, 100, [&](uint64_t i) -> absl::Status {
      ++ran;
      if (i >= 3) return absl::InternalError(std::to_string(i));
      return absl::OkStatus();
    });
    ASSERT_EQ(status.message(), "3");
    ASSERT_LE(ran, 100);
  }
}

}  // namespace
}  // namespace nashswarm
