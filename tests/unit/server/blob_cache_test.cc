#include "server/store/s3/blob_cache.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

class BlobCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobCache> Open(int64_t max_bytes) {
    return Must(BlobCache::OpenAt(Path("cache"), max_bytes, [this](const std::string& sha256, const ByteSink& sink) {
      ++downloads_;
      for (const std::string& content : contents_) {
        if (Sha256Of(content) != sha256) continue;
        const std::string sent = broken_ ? content.substr(1) : content;
        if (during_download_) during_download_();
        return sink(absl::MakeConstSpan(sent.data(), sent.size()));
      }
      return MakeError(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND", "no such blob");
    }, [this](const BlobDamage& damage) { damages_.push_back(damage.sha256); }));
  }
  std::string Path(const std::string& name) { return directory_.path() + "/" + name; }
  std::string Link(BlobCache& cache, const std::string& content) {
    const std::string path = Path(absl::StrCat("link", next_++));
    const absl::Status status = cache.LinkInto(Sha256Of(content), path);
    return status.ok() ? Must(ReadFile(path)) : ReasonOf(status);
  }
  int AskAtOnce(BlobCache& cache);

  TemporaryDirectory directory_ = *TemporaryDirectory::Create();
  std::vector<std::string> contents_ = {"aaaa", "bbbb", "cccc"};
  std::atomic<int> downloads_ = 0, next_ = 0;
  bool broken_ = false;
  std::vector<std::string> damages_;
  std::function<void()> during_download_;
};

TEST_F(BlobCacheTest, DownloadsOnceAndChecks) {
  auto cache = Open(100);
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(downloads_, 1);
  EXPECT_EQ(Link(*cache, "unknown"), "BLOB_NOT_FOUND");
  broken_ = true;
  EXPECT_EQ(Link(*cache, "bbbb"), "DIGEST_MISMATCH");
  broken_ = false;
  EXPECT_EQ(Link(*cache, "bbbb"), "bbbb") << "a failure is not remembered";
  EXPECT_THAT(Must(ListFiles(Path("cache/tmp"))), ::testing::IsEmpty());
}

TEST_F(BlobCacheTest, WhatLostItsBytesHereIsDownloadedAgain) {
  auto cache = Open(100);
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  for (int i = 1; i <= 2; ++i) {
    const std::string file = Path("cache/sha256/") + Must(ListFiles(Path("cache/sha256"))).at(0);
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    std::ofstream(file, std::ios::trunc) << "aaaA";
    // As if time had passed since it was written: the kernel's clock of files ticks every few milliseconds.
    std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) - std::chrono::seconds(1));
    if (i == 2) {
      EXPECT_EQ(ReasonOf(cache->Open(Sha256Of("aaaa")).status()), "BLOB_NOT_FOUND");
    }
    EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
    EXPECT_EQ(downloads_, i + 1);
    EXPECT_THAT(damages_, ::testing::SizeIs(i));
  }
}

TEST_F(BlobCacheTest, TheLeastRecentlyUsedGoesAndLinksStay) {
  auto cache = Open(8);
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");  // link0
  EXPECT_EQ(Link(*cache, "bbbb"), "bbbb");  // link1
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(Link(*cache, "cccc"), "cccc");  // bbbb goes
  EXPECT_EQ(cache->size_bytes(), 8);
  EXPECT_EQ(Must(ListFiles(Path("cache/sha256"))).size(), 2u);
  EXPECT_TRUE(cache->Open(Sha256Of("aaaa")).ok());
  EXPECT_EQ(ReasonOf(cache->Open(Sha256Of("bbbb")).status()), "BLOB_NOT_FOUND");
  EXPECT_EQ(Must(ReadFile(Path("link1"))), "bbbb");
  EXPECT_EQ(downloads_, 3);
  EXPECT_EQ(Link(*cache, "bbbb"), "bbbb");
  EXPECT_EQ(downloads_, 4);
}

// A worker that lives for months remembered every file that had ever been in its cache.
TEST_F(BlobCacheTest, WhatIsGoneIsNotRememberedAsVerified) {
  auto cache = Open(8);
  for (const char* content : {"aaaa", "bbbb", "cccc"}) EXPECT_EQ(Link(*cache, content), content);  // link0 to link2
  EXPECT_EQ(cache->known_files(), 3u) << "aaaa is not in the cache any more, and is linked";
  ASSERT_TRUE(cache->Unlink(Path("link0")).ok());
  EXPECT_EQ(cache->known_files(), 2u);
  ASSERT_TRUE(cache->Unlink(Path("link2")).ok());
  cache->Remove(Sha256Of("cccc"));
  EXPECT_EQ(cache->known_files(), 1u);
  ASSERT_TRUE(cache->Unlink(Path("link1")).ok());
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");  // link3
  EXPECT_EQ(Link(*cache, "cccc"), "cccc");  // link4; bbbb goes
  EXPECT_EQ(cache->known_files(), 2u);
}

TEST_F(BlobCacheTest, ABlobLargerThanTheCacheIsHandedOutAndForgotten) {
  auto cache = Open(3);
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(cache->size_bytes(), 0);
  EXPECT_THAT(Must(ListFiles(Path("cache/sha256"))), ::testing::IsEmpty());
}

// 8 threads ask for one blob; the first download begins when all of them are there or about to be.
int BlobCacheTest::AskAtOnce(BlobCache& cache) {
  std::atomic<int> asking = 0, good = 0;
  during_download_ = [&] {
    while (asking < 8) std::this_thread::yield();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      ++asking;
      good += Link(cache, "aaaa") == "aaaa";
    });
  }
  for (std::thread& thread : threads) thread.join();
  return good;
}

TEST_F(BlobCacheTest, ManyAskAtOnceAndOneDownloads) {
  EXPECT_EQ(AskAtOnce(*Open(100)), 8);
  EXPECT_EQ(downloads_, 1);
}

TEST_F(BlobCacheTest, WhoeverWaitsGetsABlobLargerThanTheCache) { EXPECT_EQ(AskAtOnce(*Open(3)), 8); }

TEST_F(BlobCacheTest, FilesThatAnotherProcessRemovedAreDownloadedAgain) {
  auto cache = Open(100);
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  ASSERT_TRUE(RemoveTree(Path("cache/sha256")).ok());
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(downloads_, 2);
}

TEST_F(BlobCacheTest, AnotherProcessFindsWhatIsThereUnlessTheMachineWentDown) {
  EXPECT_EQ(Link(*Open(100), "aaaa"), "aaaa");
  auto again = Open(100);
  EXPECT_EQ(again->size_bytes(), 4);
  EXPECT_EQ(Link(*again, "aaaa"), "aaaa");
  EXPECT_EQ(downloads_, 1);
  ASSERT_TRUE(WriteFileDurably(Path("cache/boot-id"), "another").ok());
  EXPECT_EQ(Open(100)->size_bytes(), 0);
}

// Whoever went on with a download after a restart got whatever was in the file.
TEST_F(BlobCacheTest, WhatAnotherProcessLeftIsNotReadBeforeItIsVerified) {
  EXPECT_EQ(Link(*Open(100), "aaaa"), "aaaa");
  auto again = Open(100);
  EXPECT_EQ(ReasonOf(again->Open(Sha256Of("aaaa")).status()), "BLOB_NOT_FOUND");
  EXPECT_EQ(Link(*again, "aaaa"), "aaaa");
  EXPECT_EQ(downloads_, 1);
  EXPECT_TRUE(again->Open(Sha256Of("aaaa")).ok());
}

TEST_F(BlobCacheTest, AdoptedFilesNeedNoDownload) {
  auto cache = Open(100);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(WriteFileDurably(Path("own"), "aaaa").ok());
    ASSERT_TRUE(cache->Adopt(Sha256Of("aaaa"), Path("own")).ok());
    EXPECT_FALSE(PathExists(Path("own")));
  }
  EXPECT_EQ(Link(*cache, "aaaa"), "aaaa");
  EXPECT_EQ(downloads_, 0);
  cache->Remove(Sha256Of("aaaa"));
  EXPECT_EQ(cache->size_bytes(), 0);
  EXPECT_FALSE(cache->Open(Sha256Of("aaaa")).ok());
}

TEST_F(BlobCacheTest, OverFileSystemsItIsACopyThatStays) {
  const auto other = TemporaryDirectory::Create("/dev/shm");
  if (!other.ok()) GTEST_SKIP() << "no second file system: " << other.status();
  auto cache = Open(3);
  const std::string path = other->path() + "/link";
  ASSERT_TRUE(cache->LinkInto(Sha256Of("aaaa"), path).ok());
  EXPECT_EQ(Must(ReadFile(path)), "aaaa") << "evicted by now";
}

}  // namespace
}  // namespace nashswarm::server
