#include "server/store/file_staged_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace nashswarm::server
