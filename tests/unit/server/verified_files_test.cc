#include "server/store/verified_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <future>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

class VerifiedFilesTest : public ::testing::Test {
 protected:
  VerifiedFilesTest() {
    EXPECT_TRUE(WriteFileUnsynced(path_, "content").ok());
    fd_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
  }
  ~VerifiedFilesTest() override { close(fd_); }
  // As damage on the disk, or somebody who covers it up, would leave it.
  void FlipAByteAndRestoreTheTime() {
    struct stat before;
    ASSERT_EQ(fstat(fd_, &before), 0);
    ASSERT_EQ(pwrite(fd_, "C", 1, 0), 1);
    const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
    ASSERT_EQ(futimens(fd_, times.data()), 0);
  }

  const TemporaryDirectory directory_ = *TemporaryDirectory::Create();
  const std::string path_ = directory_.path() + "/blob";
  const std::string sha256_ = Sha256Of("content");
  VerifiedFiles verified_;
  int fd_ = -1;
};

TEST_F(VerifiedFilesTest, WhatWasReadOnceIsKnown) {
  EXPECT_FALSE(verified_.Knows(fd_, sha256_));
  EXPECT_TRUE(verified_.Verify(fd_, sha256_, {}).ok());
  EXPECT_TRUE(verified_.Knows(fd_, sha256_));
  EXPECT_FALSE(verified_.Knows(fd_, Sha256Of("other")));
  EXPECT_EQ(ReasonOf(verified_.Verify(fd_, Sha256Of("other"), {})), "BLOB_DAMAGED");
}

TEST_F(VerifiedFilesTest, AWriteIsNoticedAlsoWhenItsTimeIsPutBack) {
  ASSERT_TRUE(verified_.Verify(fd_, sha256_, {}).ok());
  usleep(20'000);  // the kernel's clock of files ticks every few milliseconds
  FlipAByteAndRestoreTheTime();
  EXPECT_FALSE(verified_.Knows(fd_, sha256_));
  EXPECT_EQ(ReasonOf(verified_.Verify(fd_, sha256_, {})), "BLOB_DAMAGED");
}

// Each task links a model's files and unlinks them: a large one was read again for every task.
TEST_F(VerifiedFilesTest, OurOwnLinksCostNoSecondRead) {
  ASSERT_TRUE(verified_.Verify(fd_, sha256_, {}).ok());
  const std::string name = directory_.path() + "/name";
  for (int i = 0; i < 3; ++i) {
    usleep(20'000);
    ASSERT_EQ(verified_.Over(fd_, [&] { return link(path_.c_str(), name.c_str()); }), 0);
    EXPECT_TRUE(verified_.Knows(fd_, sha256_));
    usleep(20'000);
    ASSERT_EQ(verified_.Over(fd_, [&] { return unlink(name.c_str()); }), 0);
    EXPECT_TRUE(verified_.Knows(fd_, sha256_));
  }
  FlipAByteAndRestoreTheTime();
  ASSERT_EQ(verified_.Over(fd_, [&] { return link(path_.c_str(), name.c_str()); }), 0);
  EXPECT_FALSE(verified_.Knows(fd_, sha256_)) << "a link must not cover it up";
}

TEST_F(VerifiedFilesTest, WhatThisProcessWroteIsKnownUntilItChanges) {
  EXPECT_FALSE(verified_.IsAsWritten(fd_));
  verified_.NoteWritten(fd_);
  EXPECT_TRUE(verified_.IsAsWritten(fd_));
  usleep(20'000);
  ASSERT_EQ(pwrite(fd_, "C", 1, 0), 1);
  EXPECT_FALSE(verified_.IsAsWritten(fd_));
}

TEST_F(VerifiedFilesTest, ReadingCanBeStopped) {
  const absl::Status stopped = verified_.Verify(fd_, sha256_, [] { return absl::CancelledError("stop"); });
  EXPECT_TRUE(absl::IsCancelled(stopped));
  EXPECT_FALSE(verified_.Knows(fd_, sha256_));
  EXPECT_TRUE(verified_.Verify(fd_, sha256_, {}).ok());
}

// Whoever waited for another's reading could not be stopped, and showed no sign of life, for as long as that took.
TEST_F(VerifiedFilesTest, WaitingForAnotherReaderCanBeStopped) {
  std::promise<void> started, go_on;
  auto first = std::async(std::launch::async, [&] {
    return verified_.Verify(fd_, sha256_, [&, begun = false]() mutable {
      if (!std::exchange(begun, true)) {
        started.set_value();
        go_on.get_future().wait();
      }
      return absl::OkStatus();
    });
  });
  started.get_future().wait();
  auto second = std::async(std::launch::async, [&] {
    return verified_.Verify(fd_, sha256_, [] { return absl::CancelledError("stop"); });
  });
  EXPECT_EQ(second.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  go_on.set_value();
  EXPECT_TRUE(absl::IsCancelled(second.get()));
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(verified_.Knows(fd_, sha256_));
}

}  // namespace
}  // namespace nashswarm::server
