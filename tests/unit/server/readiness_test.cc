#include "server/daemon/readiness.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;

bool Becomes(const Readiness& readiness, bool ready) {
  for (int i = 0; i < 1000; ++i) {
    if (readiness.Now().ok() == ready) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

TEST(ReadinessTest, NeedsBothServingAndStoresThatAnswer) {
  std::atomic<bool> answers{true};
  Readiness readiness([&] { return answers ? absl::OkStatus() : absl::UnavailableError("no database"); }, milliseconds(1),
                      milliseconds(60'000));
  EXPECT_FALSE(readiness.Now().ok()) << "nobody has said that it serves";
  readiness.SetServing(true);
  EXPECT_TRUE(Becomes(readiness, true));
  answers = false;
  EXPECT_TRUE(Becomes(readiness, false));
  EXPECT_NE(readiness.Now().message().find("no database"), std::string::npos);
  answers = true;
  EXPECT_TRUE(Becomes(readiness, true));
  readiness.SetServing(false);
  EXPECT_FALSE(readiness.Now().ok());
}

TEST(ReadinessTest, AStoreThatHangsIsNoticedAndHangsNobodyElse) {
  std::atomic<bool> hangs{false}, release{false};
  Readiness readiness(
      [&] {
        while (hangs && !release) std::this_thread::sleep_for(milliseconds(1));
        return absl::OkStatus();
      },
      milliseconds(1), milliseconds(200));
  readiness.SetServing(true);
  EXPECT_TRUE(Becomes(readiness, true));
  hangs = true;
  EXPECT_TRUE(Becomes(readiness, false));
  release = true;
  EXPECT_TRUE(Becomes(readiness, true));
}

}  // namespace
}  // namespace nashswarm::server
