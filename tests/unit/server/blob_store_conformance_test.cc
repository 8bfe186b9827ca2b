// What every BlobStore promises (server/store/blob_store.h). Each implementation is one more factory below.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/directory_blob_store.h"
#include "tests/unit/server/s3_test_server.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

struct BlobStoreUnderTest {
  std::unique_ptr<TemporaryDirectory> directory;
  std::unique_ptr<BlobStore> store;
  std::string why_not;  // there is none
  bool readers_outlive_removal = true;
  // Puts other bytes under the digest, behind the store's back.
  std::function<void(const std::string& sha256, const std::string& content)> damage;
};
using BlobStoreFactory = std::function<BlobStoreUnderTest()>;

class BlobStoreConformanceTest : public ::testing::TestWithParam<std::pair<const char*, BlobStoreFactory>> {
 protected:
  BlobStoreConformanceTest()
      : under_test_(GetParam().second()), scratch_(*TemporaryDirectory::Create()) {}
  void SetUp() override {
    if (!under_test_.why_not.empty()) GTEST_SKIP() << under_test_.why_not;
    ASSERT_NE(under_test_.store, nullptr);
    store().OnDamage([this](const BlobDamage& damage) { damages_.push_back(damage); });
  }
  std::string LinkReason(const std::string& sha256) {
    return ReasonOf(store().LinkInto(sha256, absl::StrCat(scratch_.path(), "/link", next_++), {}));
  }
  BlobStore& store() { return *under_test_.store; }

  std::string File(const std::string& content) {
    const std::string path = absl::StrCat(scratch_.path(), "/f", next_++);
    EXPECT_TRUE(WriteFileDurably(path, content).ok());
    return path;
  }
  std::string Read(const std::string& sha256) {
    auto reader = store().Open(sha256);
    if (!reader.ok()) return reader.status().ToString();
    std::string content(static_cast<size_t>((*reader)->size()), '\0');
    EXPECT_TRUE((*reader)->ReadAt(0, (*reader)->size(), content.data()).ok());
    return content;
  }
  StagedPart Stage(const std::string& key, const std::string& content) {
    auto writer = Must(store().CreateStaged(key));
    EXPECT_TRUE(writer->Append(absl::MakeConstSpan(content.data(), content.size())).ok());
    EXPECT_TRUE(writer->Sync().ok());
    return {key, static_cast<int64_t>(content.size())};
  }

  BlobStoreUnderTest under_test_;
  TemporaryDirectory scratch_;
  int next_ = 0;
  std::vector<BlobDamage> damages_;
};

TEST_P(BlobStoreConformanceTest, PutThenReadLinkRemove) {
  const BlobDigest digest = DigestOf("hello");
  EXPECT_FALSE(Must(store().Has(digest.sha256)));
  const std::string file = File("hello");
  ASSERT_TRUE(store().PutFile(file, digest).ok());
  EXPECT_FALSE(PathExists(file));
  EXPECT_TRUE(Must(store().Has(digest.sha256)));
  EXPECT_EQ(Read(digest.sha256), "hello");
  ASSERT_TRUE(store().PutFile(File("hello"), digest).ok()) << "again is fine";
  const std::string link = scratch_.path() + "/linked";
  ASSERT_TRUE(store().LinkInto(digest.sha256, link, {}).ok());
  EXPECT_EQ(Must(ReadFile(link)), "hello");
  ASSERT_TRUE(store().Unlink(link).ok());
  ASSERT_TRUE(store().Unlink(link).ok()) << "absent is fine";
  EXPECT_FALSE(PathExists(link));

  auto reader = Must(store().Open(digest.sha256));
  ASSERT_TRUE(store().Remove(digest.sha256).ok());
  ASSERT_TRUE(store().Remove(digest.sha256).ok()) << "absent is fine";
  EXPECT_FALSE(Must(store().Has(digest.sha256)));
  char middle[3];
  const absl::Status late = reader->ReadAt(1, 3, middle);
  if (under_test_.readers_outlive_removal) {
    ASSERT_TRUE(late.ok()) << "an open reader outlives the removal";
  }
  if (late.ok()) {
    EXPECT_EQ(std::string(middle, 3), "ell");
  } else {
    EXPECT_EQ(ReasonOf(late), "BLOB_NOT_FOUND");
  }
  EXPECT_EQ(ReasonOf(store().Open(digest.sha256).status()), "BLOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store().LinkInto(digest.sha256, link + "2", {})), "BLOB_NOT_FOUND");
}

TEST_P(BlobStoreConformanceTest, StagedPartsBecomeOneBlob) {
  const StagedPart whole = Stage("u1/a-1", "single");
  ASSERT_TRUE(store().CommitStaged({whole}, DigestOf("single")).ok());
  EXPECT_EQ(Read(Sha256Of("single")), "single");
  ASSERT_TRUE(store().CommitStaged({whole}, DigestOf("single")).ok()) << "after a crash in between: again";

  const std::vector<StagedPart> parts = {Stage("u1/b-1", "one "), Stage("u1/b-2", "two "), Stage("u1/b-3", "three")};
  ASSERT_TRUE(store().CommitStaged(parts, DigestOf("one two three")).ok());
  EXPECT_EQ(Read(Sha256Of("one two three")), "one two three");
  ASSERT_TRUE(store().CommitStaged({}, DigestOf("")).ok());
  EXPECT_EQ(Read(Sha256Of("")), "");
}

TEST_P(BlobStoreConformanceTest, OnlyTheCommittedPrefixOfAPartCounts) {
  StagedPart part = Stage("u1/a-1", "durable, and a tail that was never committed");
  part.size_bytes = 7;
  ASSERT_TRUE(store().CommitStaged({part}, DigestOf("durable")).ok());
  EXPECT_EQ(Read(Sha256Of("durable")), "durable");
  std::string seen;
  ASSERT_TRUE(store()
                  .ReadStaged(part,
                              [&](absl::Span<const char> bytes) {
                                seen.append(bytes.data(), bytes.size());
                                return absl::OkStatus();
                              })
                  .ok());
  EXPECT_EQ(seen, "durable");
}

TEST_P(BlobStoreConformanceTest, JoinedPartsAreChecked) {
  const std::vector<StagedPart> parts = {Stage("u1/a-1", "x"), Stage("u1/a-2", "y")};
  EXPECT_EQ(ReasonOf(store().CommitStaged(parts, {Sha256Of("z"), 2})), "DIGEST_MISMATCH");
  EXPECT_FALSE(Must(store().Has(Sha256Of("z"))));
}

TEST_P(BlobStoreConformanceTest, StagingIsListedAndRemovedByGroup) {
  Stage("u1/a-1", "x");
  Stage("u2/a-1", "y");
  EXPECT_THAT(Must(store().ListStagedGroups()), ::testing::UnorderedElementsAre("u1", "u2"));
  EXPECT_FALSE(store().CreateStaged("u1/a-1").ok()) << "a key is used once";
  EXPECT_FALSE(store().CreateStaged("../escape").ok());
  ASSERT_TRUE(store().RemoveStaged("u1").ok());
  ASSERT_TRUE(store().RemoveStaged("u1").ok());
  EXPECT_THAT(Must(store().ListStagedGroups()), ::testing::ElementsAre("u2"));
  EXPECT_FALSE(store().ReadStaged({"u1/a-1", 1}, [](auto) { return absl::OkStatus(); }).ok());
}

TEST_P(BlobStoreConformanceTest, NothingIsLeftOverAfterUse) {
  const StagedPart part = Stage("u1/a-1", "x");
  ASSERT_TRUE(store().PutFile(File("y"), DigestOf("y")).ok());
  ASSERT_TRUE(store().RemoveLeftovers(std::chrono::seconds(-60)).ok());
  ASSERT_TRUE(store().CommitStaged({part}, DigestOf("x")).ok());
  EXPECT_EQ(Read(Sha256Of("x")), "x");
  EXPECT_EQ(Read(Sha256Of("y")), "y");
}

// link(2) on a name that is replaced at that moment says ENOENT: a task lost its input while another job stored the same
// bytes again.
TEST_P(BlobStoreConformanceTest, LinksWhileTheSameBytesArePutAgain) {
  const BlobDigest digest = DigestOf("same");
  ASSERT_TRUE(store().PutFile(File("same"), digest).ok());
  std::atomic<bool> done{false};
  std::thread other([&] {
    for (int i = 0; !done; ++i) {
      const std::string path = absl::StrCat(scratch_.path(), "/other", i);
      EXPECT_TRUE(WriteFileUnsynced(path, "same").ok());
      EXPECT_TRUE(store().PutFile(path, digest).ok());
    }
  });
  for (int i = 0; i < 3000 && !HasFailure(); ++i) {
    const std::string link = scratch_.path() + "/linked";
    const absl::Status linked = store().LinkInto(digest.sha256, link, {});
    EXPECT_TRUE(linked.ok()) << linked;
    std::filesystem::remove(link);
  }
  done = true;
  other.join();
}

// A flipped byte gave a task that succeeded with a wrong result.
TEST_P(BlobStoreConformanceTest, WhatIsUsedIsVerifiedAndWhatIsDamagedIsSetAside) {
  const BlobDigest digest = DigestOf("hello");
  ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
  EXPECT_TRUE(store().Verify(digest, {}).ok());
  EXPECT_EQ(LinkReason(digest.sha256), "");
  for (const char* damage : {"hellO", "hell", "hello, more", ""}) {
    SCOPED_TRACE(damage);
    damages_.clear();
    under_test_.damage(digest.sha256, damage);
    EXPECT_EQ(LinkReason(digest.sha256), "BLOB_DAMAGED");
    ASSERT_EQ(damages_.size(), 1u);
    EXPECT_EQ(damages_[0].sha256, digest.sha256);
    EXPECT_THAT(damages_[0].kept_at, ::testing::HasSubstr("damaged/" + ToHex(digest.sha256)));
    EXPECT_FALSE(Must(store().Has(digest.sha256))) << "so that it is asked for again";
    EXPECT_EQ(LinkReason(digest.sha256), "BLOB_NOT_FOUND");
    ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
    EXPECT_EQ(LinkReason(digest.sha256), "");
    EXPECT_EQ(Read(digest.sha256), "hello");
  }
}

TEST_P(BlobStoreConformanceTest, VerifyLooksAtSizeAndContent) {
  const BlobDigest digest = DigestOf("hello");
  EXPECT_EQ(ReasonOf(store().Verify(digest, {})), "BLOB_NOT_FOUND");
  for (const char* damage : {"hellO", "hell"}) {
    ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
    EXPECT_TRUE(store().Verify(digest, {}).ok());
    under_test_.damage(digest.sha256, damage);
    EXPECT_EQ(ReasonOf(store().Verify(digest, {})), "BLOB_DAMAGED");
    EXPECT_EQ(ReasonOf(store().Verify(digest, {})), "BLOB_NOT_FOUND");
  }
}

TEST_P(BlobStoreConformanceTest, WhoeverReadsAllOfADamagedBlobIsTold) {
  const BlobDigest digest = DigestOf("hello");
  ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
  under_test_.damage(digest.sha256, "hellO");
  auto reader = Must(store().Open(digest.sha256));
  char bytes[5];
  ASSERT_TRUE(reader->ReadAt(0, 3, bytes).ok());
  EXPECT_EQ(ReasonOf(reader->ReadAt(3, 2, bytes)), "BLOB_DAMAGED");
  EXPECT_EQ(damages_.size(), 1u);
  EXPECT_FALSE(Must(store().Has(digest.sha256)));
}

// The right bytes, stored again while somebody was still reading the damaged ones, were taken away in their place.
TEST_P(BlobStoreConformanceTest, WhatHasTakenADamagedBlobsPlaceStays) {
  const BlobDigest digest = DigestOf("hello");
  ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
  under_test_.damage(digest.sha256, "hellO");
  auto reader = Must(store().Open(digest.sha256));
  char bytes[5];
  ASSERT_TRUE(reader->ReadAt(0, 3, bytes).ok());
  ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
  EXPECT_EQ(ReasonOf(reader->ReadAt(3, 2, bytes)), "BLOB_DAMAGED");
  EXPECT_TRUE(Must(store().Has(digest.sha256)));
  EXPECT_TRUE(store().Verify(digest, {}).ok());
  EXPECT_EQ(damages_.size(), 0u);
}

// Sending a file again was answered with the damaged copy of it.
TEST_P(BlobStoreConformanceTest, StoringAgainPutsADamagedBlobRight) {
  const BlobDigest digest = DigestOf("hello");
  const StagedPart part = Stage("u1/a-1", "hello");
  ASSERT_TRUE(store().CommitStaged({part}, digest).ok());
  for (const char* damage : {"hellO", "hell"}) {
    under_test_.damage(digest.sha256, damage);
    ASSERT_TRUE(store().CommitStaged({Stage(absl::StrCat("u1/b-", next_++), "hello")}, digest).ok());
    EXPECT_EQ(Read(digest.sha256), "hello");
    under_test_.damage(digest.sha256, damage);
    ASSERT_TRUE(store().PutFile(File("hello"), digest).ok());
    EXPECT_EQ(Read(digest.sha256), "hello");
  }
}

// Several processes share one directory: starting one took the files away that another was writing.
TEST(DirectoryBlobStoreTest, StartingLeavesTheFilesOfOthersUntilTheyAreOld) {
  const TemporaryDirectory directory = *TemporaryDirectory::Create();
  auto first = Must(DirectoryBlobStore::OpenAt(directory.path()));
  const std::string others = directory.path() + "/tmp/of-another-process";
  ASSERT_TRUE(WriteFileDurably(others, "half").ok());
  auto second = Must(DirectoryBlobStore::OpenAt(directory.path()));
  EXPECT_TRUE(PathExists(others));
  ASSERT_TRUE(second->RemoveLeftovers(std::chrono::hours(24)).ok());
  EXPECT_TRUE(PathExists(others));
  ASSERT_TRUE(second->RemoveLeftovers(std::chrono::seconds(-60)).ok());
  EXPECT_FALSE(PathExists(others));
}

// A server that lives for months remembered every part that had ever been uploaded.
TEST(DirectoryBlobStoreTest, WhatIsGoneIsNotRememberedAsVerified) {
  const TemporaryDirectory directory = *TemporaryDirectory::Create();
  const auto store = Must(DirectoryBlobStore::OpenAt(directory.path()));
  const auto stage = [&](const std::string& key, const std::string& content) {
    const auto writer = Must(store->CreateStaged(key));
    EXPECT_TRUE(writer->Append(content).ok());
    EXPECT_TRUE(writer->Sync().ok());
  };
  stage("u1/a", "one");
  stage("u1/b", "two");
  ASSERT_TRUE(store->CommitStaged({{"u1/a", 3}}, DigestOf("one")).ok());
  EXPECT_EQ(store->known_files(), 2u);
  ASSERT_TRUE(store->RemoveStaged("u1").ok());
  EXPECT_EQ(store->known_files(), 1u) << "the blob";
  EXPECT_TRUE(store->Verify(DigestOf("one"), [] { return absl::CancelledError("no need to read it"); }).ok());
  ASSERT_TRUE(store->Remove(Sha256Of("one")).ok());
  EXPECT_EQ(store->known_files(), 0u);
}

BlobStoreUnderTest MakeDirectory() {
  BlobStoreUnderTest made;
  made.directory = std::make_unique<TemporaryDirectory>(*TemporaryDirectory::Create());
  made.store = Must(DirectoryBlobStore::OpenAt(made.directory->path() + "/blobs"));
  made.damage = [root = made.directory->path()](const std::string& sha256, const std::string& content) {
    const std::string hex = ToHex(sha256);
    const std::string path = absl::StrCat(root, "/blobs/sha256/", hex.substr(0, 2), "/", hex);
    // Into the same file: under that name alone, other bytes were another file.
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    std::filesystem::resize_file(path, 0);
    std::ofstream(path, std::ios::in | std::ios::out) << content;
    // As if time had passed since it was written.
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::seconds(1));
  };
  return made;
}

BlobStoreUnderTest MakeS3() {
  BlobStoreUnderTest made;
  made.why_not = WhyNoS3Server();
  if (!made.why_not.empty()) return made;
  made.directory = std::make_unique<TemporaryDirectory>(*TemporaryDirectory::Create());
  made.store = Must(S3BlobStore::OpenAt(S3TestStore(made.directory->path() + "/cache")));
  made.damage = [store = static_cast<S3BlobStore*>(made.store.get())](const std::string& sha256,
                                                                      const std::string& content) {
    const std::string hex = ToHex(sha256);
    const std::string key = absl::StrCat(store->client().location().prefix, "sha256/", hex.substr(0, 2), "/", hex);
    ASSERT_TRUE(
        store->client().PutObject(key, S3Payload::Of(absl::MakeConstSpan(content.data(), content.size()))).ok());
    store->cache().Remove(sha256);
  };
  made.readers_outlive_removal = false;
  return made;
}

INSTANTIATE_TEST_SUITE_P(S3Server, BlobStoreConformanceTest,
                         ::testing::Values(std::pair<const char*, BlobStoreFactory>("s3", MakeS3)),
                         [](const auto& info) { return std::string(info.param.first); });

INSTANTIATE_TEST_SUITE_P(Directory, BlobStoreConformanceTest,
                         ::testing::Values(std::pair<const char*, BlobStoreFactory>("directory", MakeDirectory)),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace nashswarm::server
