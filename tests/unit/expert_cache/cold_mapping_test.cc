#include "core/expert_cache/cold_mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::expert_cache {
namespace {

constexpr uint64_t kPages = 600;  // the last one not whole

uint64_t PageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

// Whether the file system drops pages when asked, found out with system calls alone.
bool CanDrop(const std::string& path, uint64_t size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> resident((size + PageBytes() - 1) / PageBytes(), 1);
  if (data != MAP_FAILED) {
    mincore(data, size, resident.data());
    munmap(data, size);
  }
  close(fd);
  return std::none_of(resident.begin(), resident.end(), [](unsigned char flags) { return (flags & 1) != 0; });
}

class ColdMappingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    size_ = kPages * PageBytes() - 100;
    testing::WriteTestFile(path_, std::string(size_, 'x'));
    if (!CanDrop(path_, size_)) GTEST_SKIP() << path_ << ": this file system keeps its pages: set TMPDIR to a disk";
  }
  std::unique_ptr<ColdMapping> Open(Readahead readahead) {
    auto mapping = ColdMapping::Open(path_, readahead);
    if (!mapping.ok()) ADD_FAILURE() << mapping.status();
    return *std::move(mapping);
  }
  static uint64_t Resident(const absl::StatusOr<uint64_t>& pages) {
    if (!pages.ok()) ADD_FAILURE() << pages.status();
    return pages.value_or(~uint64_t{0});
  }

  TemporaryDirectory dir_ = testing::MakeTemporaryDirectory();
  std::string path_ = dir_.path() + "/experts";
  uint64_t size_ = 0;
};

TEST_F(ColdMappingTest, DropsWhatWasJustWritten) {
  testing::WriteTestFile(path_, std::string(size_, 'y'));
  EXPECT_EQ(Resident(ResidentPages(path_, 0, size_)), kPages);
  const auto mapping = Open(Readahead::kNormal);
  EXPECT_EQ(mapping->size(), size_);
  EXPECT_EQ(mapping->pages(), kPages);
  EXPECT_EQ(mapping->page_bytes(), PageBytes());
  EXPECT_EQ(Resident(mapping->ResidentPages()), kPages);
  NS_ASSERT_OK(mapping->Drop());
  EXPECT_EQ(Resident(mapping->ResidentPages()), 0u);
  EXPECT_EQ(Resident(ResidentPages(path_, 0, size_)), 0u);
}

TEST_F(ColdMappingTest, WithoutReadaheadThereIsWhatWasTouched) {
  const auto mapping = Open(Readahead::kNone);
  const uint64_t page = PageBytes();
  NS_ASSERT_OK(mapping->Drop());
  NS_ASSERT_OK(mapping->Touch(10 * page - 1, 2));  // the last byte of a page and the first of the next
  EXPECT_EQ(Resident(mapping->ResidentPages()), 2u);
  NS_ASSERT_OK(mapping->Touch(100 * page, 3 * page));
  NS_ASSERT_OK(mapping->Touch(size_ - 1, 1));
  NS_ASSERT_OK(mapping->Touch(300 * page, 0));
  EXPECT_EQ(Resident(mapping->ResidentPages()), 6u);
  // By ranges: what lies in part in a page counts.
  EXPECT_EQ(Resident(mapping->ResidentPages(9 * page, 2 * page)), 2u);
  EXPECT_EQ(Resident(mapping->ResidentPages(10 * page, page)), 1u);
  EXPECT_EQ(Resident(mapping->ResidentPages(10 * page - 1, 1)), 1u);
  EXPECT_EQ(Resident(mapping->ResidentPages(11 * page, 89 * page)), 0u);
  EXPECT_EQ(Resident(mapping->ResidentPages(102 * page + 5, page)), 1u);
  EXPECT_EQ(Resident(mapping->ResidentPages(10 * page, 0)), 0u);
  EXPECT_EQ(Resident(ResidentPages(path_, 100 * page, 3 * page)), 3u);
}

TEST_F(ColdMappingTest, DropsWhatWasTouched) {
  const auto mapping = Open(Readahead::kNone);
  NS_ASSERT_OK(mapping->Touch(0, size_));
  EXPECT_EQ(Resident(mapping->ResidentPages()), kPages);
  NS_ASSERT_OK(mapping->Drop());
  EXPECT_EQ(Resident(mapping->ResidentPages()), 0u);
}

// How much the kernel reads is its own affair; that it is counted is ours.
TEST_F(ColdMappingTest, CountsWhatTheKernelReadAhead) {
  const auto mapping = Open(Readahead::kNormal);
  NS_ASSERT_OK(mapping->Drop());
  NS_ASSERT_OK(mapping->Touch(300 * PageBytes(), 1));
  const uint64_t resident = Resident(mapping->ResidentPages());
  if (resident == 1) GTEST_SKIP() << "the device of " << path_ << " has its readahead switched off";
  EXPECT_GT(resident, 1u);
}

// What another mapping has in use cannot be dropped, and it is said.
TEST_F(ColdMappingTest, SaysWhenPagesStay) {
  const auto mapping = Open(Readahead::kNone);
  auto other = Open(Readahead::kNone);
  NS_ASSERT_OK(mapping->Drop());
  NS_ASSERT_OK(other->Touch(5 * PageBytes(), 1));
  const absl::Status status = mapping->Drop();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "PAGES_NOT_DROPPED");
  EXPECT_NE(HintOf(status), "");
  other.reset();
  NS_EXPECT_OK(mapping->Drop());
}

TEST_F(ColdMappingTest, RefusesBytesOutsideTheFile) {
  const auto mapping = Open(Readahead::kNormal);
  NS_EXPECT_OK(mapping->Touch(size_, 0));
  EXPECT_EQ(ReasonOf(mapping->Touch(size_, 1)), "RANGE_INVALID");
  EXPECT_EQ(ReasonOf(mapping->Touch(1, size_)), "RANGE_INVALID");
  EXPECT_EQ(ReasonOf(mapping->Touch(1, ~uint64_t{0})), "RANGE_INVALID");
  EXPECT_EQ(ReasonOf(mapping->ResidentPages(size_ - 1, 2).status()), "RANGE_INVALID");
}

TEST(ColdMapping, RefusesFilesThatCannotBeMapped) {
  const TemporaryDirectory dir = testing::MakeTemporaryDirectory();
  EXPECT_EQ(ReasonOf(ColdMapping::Open(dir.path() + "/none", Readahead::kNormal).status()), "FILE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(ResidentPages(dir.path() + "/none", 0, 1).status()), "FILE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(ColdMapping::Open(dir.path(), Readahead::kNormal).status()), "FILE_EMPTY");
  testing::WriteTestFile(dir.path() + "/empty", "");
  EXPECT_EQ(ReasonOf(ColdMapping::Open(dir.path() + "/empty", Readahead::kNormal).status()), "FILE_EMPTY");
}

TEST(ColdMapping, SaysThatFilesInMemoryCannotBeMeasured) {
  struct statfs info;
  if (statfs("/dev/shm", &info) != 0 || info.f_type != TMPFS_MAGIC) GTEST_SKIP() << "/dev/shm is no tmpfs here";
  const auto dir = TemporaryDirectory::Create("/dev/shm");
  if (!dir.ok()) GTEST_SKIP() << dir.status();
  const std::string path = dir->path() + "/file";
  testing::WriteTestFile(path, "");
  // A hole, of which no page is there: nothing stays, and yet nothing is to be measured.
  ASSERT_EQ(truncate(path.c_str(), 100'000), 0);
  const auto mapping = ColdMapping::Open(path, Readahead::kNormal);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  EXPECT_EQ(ReasonOf((*mapping)->Drop()), "PAGES_NOT_DROPPED");
  EXPECT_EQ((*mapping)->Drop().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace nashswarm::expert_cache
