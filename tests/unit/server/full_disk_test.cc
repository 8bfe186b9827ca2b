// What of a store works when others have filled the disk, and what may not fill it. On a small file system in memory, where one can be
// mounted.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/directory_blob_store.h"
#include "server/store/disk_room.h"
#include "server/store/sql/ballast.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kMiB = 1 << 20;

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::make_unique<TemporaryDirectory>(*TemporaryDirectory::Create());
    if (mount("tmpfs", path().c_str(), "tmpfs", 0, "size=64m") != 0) {
      directory_.reset();
      GTEST_SKIP() << "no file system can be mounted here";
    }
  }
  void TearDown() override {
    store_.reset();
    if (directory_ == nullptr) return;
    EXPECT_EQ(umount2(path().c_str(), MNT_DETACH), 0);
  }
  const std::string& path() const { return directory_->path(); }
  std::string ballast() const { return path() + "/test.db-ballast"; }
  absl::Status Open(int64_t ballast_bytes) {
    store_.reset();
    auto database = sql::OpenSqlite(path() + "/test.db", sql::SystemNowMicros, ballast_bytes);
    if (!database.ok()) return database.status();
    auto store = SqlStore::Open(*std::move(database));
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  }
  void Fill() {
    const int fd = open((path() + "/of-others").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string piece(4096, 'x');
    while (write(fd, piece.data(), piece.size()) > 0) {
    }
    close(fd);
    ASSERT_EQ(FreeDisk(path()), 0);
  }
  void Clear() { unlink((path() + "/of-others").c_str()); }
  // Fails as soon as the journal has no room.
  absl::Status Write() { return store_->RegisterBlob(DigestOf(absl::StrCat("blob ", next_++))); }
  void UseUpTheJournal() {
    for (int i = 0; i < 10'000; ++i) {
      const absl::Status written = Write();
      if (written.ok()) continue;
      EXPECT_EQ(ReasonOf(written), "NO_SPACE") << written;
      return;
    }
    FAIL() << "the journal never filled the disk";
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::unique_ptr<SqlStore> store_;
  int next_ = 0;
};

TEST_F(FullDiskTest, WithoutBallastNothingCanBeDeleted) {
  ASSERT_TRUE(Open(0).ok());
  MakeModel(*store_, "m", "content");
  Fill();
  UseUpTheJournal();
  EXPECT_EQ(ReasonOf(store_->DeleteModel(kDefaultTenant, "m")), "NO_SPACE") << "else the next test shows nothing";
}

TEST_F(FullDiskTest, EndsAndDeletesGetThroughAndNothingElseDoes) {
  ASSERT_TRUE(Open(sql::kBallastBytes).ok());
  MakeModel(*store_, "m", "content");
  MakeModel(*store_, "n", "other content");
  const std::string job = MakeJob(*store_, "n");
  const auto task = Must(store_->ClaimTask("w", 1000 * kSecond));
  ASSERT_TRUE(task.has_value());
  NewUpload request;
  request.tenant = kDefaultTenant;
  request.ttl_us = 1000 * kSecond;
  request.files = {{"w.bin", 10, "", false}};
  const std::string upload = Must(store_->CreateUpload(request)).name().substr(8);
  Fill();
  UseUpTheJournal();
  EXPECT_EQ(ReasonOf(store_->CreateUpload(request).status()), "NO_SPACE");
  EXPECT_TRUE(store_->DeleteModel(kDefaultTenant, "m").ok());
  // What the first delete left of its piece may be used up, too.
  for (const auto& end : std::vector<std::function<absl::Status()>>{
           [&] { return store_->AbortUpload(kDefaultTenant, upload); },
           [&] { return store_->RemakeInputs(task->lease, {}, {}).status(); },
           [&] { return store_->CancelJob(kDefaultTenant, job).status(); },
           [&] { return store_->DeleteJob(kDefaultTenant, job); },
           [&] { return store_->DeleteModel(kDefaultTenant, "n"); },
           [&] { return store_->ForgetAllButResults(0); },
       }) {
    Fill();
    UseUpTheJournal();
    const absl::Status ended = end();
    EXPECT_TRUE(ended.ok()) << ended;
  }
  Clear();
  ASSERT_TRUE(Write().ok());
  EXPECT_EQ(Must(FileSize(ballast())), 64 * kMiB / 10) << "set aside again, a tenth of a small disk";
}

TEST_F(FullDiskTest, ADatabaseOpensOnAFullDisk) {
  ASSERT_TRUE(Open(sql::kBallastBytes).ok());
  MakeModel(*store_, "m", "content");
  store_.reset();
  Fill();
  const absl::Status opened = Open(sql::kBallastBytes);
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_TRUE(store_->GetModel(kDefaultTenant, "m").ok());
  EXPECT_TRUE(store_->DeleteModel(kDefaultTenant, "m").ok());
}

TEST_F(FullDiskTest, UploadsLeaveTheReserve) {
  DiskRoom room(path(), 8 * kMiB);
  const auto blobs = Must(DirectoryBlobStore::OpenAt(path() + "/blobs", &room));
  const auto first = Must(blobs->CreateStaged("u/1")), second = Must(blobs->CreateStaged("u/2"));
  const std::string piece(kMiB, 'x');
  absl::Status status;
  for (int i = 0; i < 64 && status.ok(); ++i) status = (i % 2 == 0 ? first : second)->Append(piece);
  EXPECT_EQ(ReasonOf(status), "NO_SPACE");
  EXPECT_EQ(status.message().find(path()), std::string::npos) << "clients learn no directory";
  EXPECT_GE(FreeDisk(path()), 8 * kMiB);
  EXPECT_LT(FreeDisk(path()), 10 * kMiB) << "and no more than the reserve";
  // Joining pieces takes their size once more.
  ASSERT_TRUE(first->Sync().ok());
  const std::vector<StagedPart> parts = {{"u/1", kMiB}, {"u/2", kMiB}};
  EXPECT_EQ(ReasonOf(blobs->CommitStaged(parts, DigestOf(piece + piece))), "NO_SPACE");
}

TEST(DiskRoomTest, WhatOneHoldsOthersDoNotSee) {
  const TemporaryDirectory directory = *TemporaryDirectory::Create();
  const int64_t free = FreeDisk(directory.path());
  DiskRoom room(directory.path(), 0);
  {
    const DiskRoom::Hold hold = Must(room.Take("the upload", free / 2));
    EXPECT_EQ(ReasonOf(room.Take("the upload", free / 4 * 3).status()), "NO_SPACE");
    EXPECT_LT(room.Left(), free / 4 * 3);
  }
  EXPECT_TRUE(room.Take("the upload", free / 2).ok()) << "given back";
  EXPECT_EQ(ReasonOf(DiskRoom(directory.path(), INT64_MAX / 2).Check("the upload", 1)), "NO_SPACE");
}

// While a file was joined of its pieces, uploads were refused that would have fitted.
TEST(DiskRoomTest, WhatIsWrittenIsNotHeldAnyMore) {
  DiskRoom room("/no/such/directory", 0);  // no disk changes under the test: INT64_MAX bytes are free
  {
    DiskRoom::Hold hold = Must(room.Take("the upload", 100));
    EXPECT_EQ(room.Left(), INT64_MAX - 100);
    hold.Written(60);
    EXPECT_EQ(room.Left(), INT64_MAX - 40);
    const DiskRoom::Hold moved = std::move(hold);
    EXPECT_EQ(room.Left(), INT64_MAX - 40);
  }
  EXPECT_EQ(room.Left(), INT64_MAX) << "and what was not is given back";
}

}  // namespace
}  // namespace nashswarm::server
