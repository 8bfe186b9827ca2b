#include "server/store/file_staged_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <random>

#include "core/base/file.h"

namespace nashswarm::server {
namespace {

// Sizes that fill blocks, that do not, and syncs in the middle of one: the file always holds what was appended before a sync.
TEST(FileStagedWriterTest, TheFileHoldsWhatWasAppendedWhereverASyncFalls) {
  const auto directory = TemporaryDirectory::Create();
  ASSERT_TRUE(directory.ok());
  const std::string path = directory->path() + "/part";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  VerifiedFiles verified;
  FileStagedWriter writer(fd, path, nullptr, &verified);
  std::mt19937_64 random(3);
  std::string expected;
  const std::vector<size_t> sizes = {8 << 20, 1, 4095, 1 << 20, (4 << 20) + 5, 4096, 3 << 20, 100, 9 << 20, 7};
  for (size_t n = 0; n < sizes.size(); ++n) {
    std::string bytes(sizes[n], '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_TRUE(writer.Append(bytes).ok());
    expected += bytes;
    if (n % 3 == 2) continue;  // the next one lies behind a block that is half full
    ASSERT_TRUE(writer.Sync().ok());
    ASSERT_TRUE(*ReadFile(path) == expected) << n;
  }
  ASSERT_TRUE(writer.Sync().ok());
  EXPECT_TRUE(*ReadFile(path) == expected);
}

// No file may grow beyond this, as if the disk were full there.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_signal_(std::signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &old_), 0);
    const rlimit limit = {bytes, old_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &old_), 0);
    std::signal(SIGXFSZ, old_signal_);
  }

 private:
  rlimit old_{};
  void (*const old_signal_)(int);
};

// The block was forgotten, and a Sync said that bytes were durable which the file did not have.
TEST(FileStagedWriterTest, ABlockThatCannotBeWrittenIsNotSaidToBeDurable) {
  const auto directory = TemporaryDirectory::Create();
  ASSERT_TRUE(directory.ok());
  for (const bool synced_in_between : {false, true}) {
    const std::string path = directory->path() + (synced_in_between ? "/synced" : "/part");
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    ASSERT_GE(fd, 0);
    VerifiedFiles verified;
    FileStagedWriter writer(fd, path, nullptr, &verified);
    const std::string begin(8 << 20, 'a'), held(3 << 20, 'b'), more(2 << 20, 'c');
    ASSERT_TRUE(writer.Append(begin).ok());
    ASSERT_TRUE(writer.Append(absl::MakeConstSpan(held.data(), 1 << 20)).ok());
    if (synced_in_between) {
      ASSERT_TRUE(writer.Sync().ok());
    }
    ASSERT_TRUE(writer.Append(absl::MakeConstSpan(held.data(), 2 << 20)).ok());
    {
      const FileSizeLimit limit(9 << 20);
      EXPECT_FALSE(writer.Append(more).ok());
      const bool durable = writer.Sync().ok();  // where nothing can be written past the cache, it was before there was a limit
      EXPECT_TRUE(!durable || *FileSize(path) >= begin.size() + held.size()) << *FileSize(path);
    }
    ASSERT_TRUE(writer.Sync().ok()) << "there is room again";
    EXPECT_TRUE(ReadFile(path)->starts_with(begin + held));
  }
}

}  // namespace
}  // namespace nashswarm::server
