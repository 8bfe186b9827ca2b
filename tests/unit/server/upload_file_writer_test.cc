// UploadFileWriter against a store whose disk stalls and fails.
#include "server/services/upload_file_writer.h"

#include <condition_variable>
#include <mutex>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kTtl = 1000 * kSecond;

// What happens to one staged part.
struct Disk {
  std::mutex mutex;
  std::condition_variable changed;
  int64_t appended = 0;
  int syncs = 0;
  int failing_sync = 0;      // the number of the sync that fails
  int64_t sync_waits_for = 0;  // the first sync ends only once so many bytes are appended
  bool waited_in_vain = false;
};

class FakeStagedWriter : public StagedWriter {
 public:
  explicit FakeStagedWriter(Disk* disk) : disk_(*disk) {}
  absl::Status Append(absl::Span<const char> bytes) override {
    std::lock_guard<std::mutex> lock(disk_.mutex);
    disk_.appended += static_cast<int64_t>(bytes.size());
    disk_.changed.notify_all();
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    std::unique_lock<std::mutex> lock(disk_.mutex);
    ++disk_.syncs;
    disk_.changed.notify_all();
    if (disk_.syncs == disk_.failing_sync) return absl::UnavailableError("EIO");
    disk_.waited_in_vain |= !disk_.changed.wait_for(lock, std::chrono::seconds(20),
                                                    [&] { return disk_.appended >= disk_.sync_waits_for; });
    return absl::OkStatus();
  }

 private:
  Disk& disk_;
};

class FakeBlobStore : public BlobStore {
 public:
  explicit FakeBlobStore(Disk* disk) : disk_(disk) {}
  absl::StatusOr<std::unique_ptr<StagedWriter>> CreateStaged(const std::string&) override {
    return std::make_unique<FakeStagedWriter>(disk_);
  }
  absl::StatusOr<bool> Has(const std::string&) override { return false; }
  absl::Status PutFile(const std::string&, const BlobDigest&) override { return Unused(); }
  absl::Status Verify(const BlobDigest&, const Between&) override { return Unused(); }
  absl::Status LinkInto(const std::string&, const std::string&, const Between&) override { return Unused(); }
  absl::Status Unlink(const std::string&) override { return Unused(); }
  bool IsLocal() const override { return true; }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string&) override { return Unused(); }
  absl::Status Remove(const std::string&) override { return Unused(); }
  absl::Status ReadStaged(const StagedPart&, const std::function<absl::Status(absl::Span<const char>)>&) override {
    return Unused();
  }
  absl::Status CommitStaged(absl::Span<const StagedPart>, const BlobDigest&) override { return absl::OkStatus(); }
  absl::Status RemoveStaged(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> ListStagedGroups() override { return Unused(); }
  absl::Status RemoveLeftovers(std::chrono::seconds) override { return Unused(); }

 private:
  static absl::Status Unused() { return absl::UnimplementedError("not part of this test"); }
  Disk* disk_;
};

class UploadFileWriterTest : public ::testing::Test {
 protected:
  UploadFileWriterTest() : directory_(*TemporaryDirectory::Create()), blobs_(&disk_) {
    jobs_ = Must(SqlStore::Open(Must(sql::OpenSqlite(directory_.path() + "/test.db"))));
    NewUpload request;
    request.tenant = kDefaultTenant;
    request.ttl_us = kTtl;
    request.files = {{"w.bin", 40, "", false}};
    id_ = Must(jobs_->CreateUpload(request)).name().substr(8);
  }
  std::unique_ptr<UploadFileWriter> Open(int64_t offset, int64_t part_bytes) {
    return std::make_unique<UploadFileWriter>(
        jobs_.get(), &blobs_, Must(jobs_->OpenUploadFile(kDefaultTenant, id_, "w.bin", offset)), part_bytes, kTtl);
  }
  int64_t Committed() { return Must(jobs_->GetUpload(kDefaultTenant, id_)).files(0).committed_size(); }
  std::string Bytes(int from, int size) { return std::string("0123456789012345678901234567890123456789", from, size); }
  v1::Digest Digest() {
    v1::Digest digest;
    digest.set_sha256(Sha256Of(Bytes(0, 40)));
    digest.set_size_bytes(40);
    return digest;
  }

  TemporaryDirectory directory_;
  Disk disk_;
  FakeBlobStore blobs_;
  std::unique_ptr<Store> jobs_;
  std::string id_;
};

TEST_F(UploadFileWriterTest, BytesAreWrittenWhileOthersBecomeDurable) {
  disk_.sync_waits_for = 8;
  const auto writer = Open(0, 8);
  for (int i = 0; i < 40; i += 4) ASSERT_TRUE(writer->Push(Bytes(i, 4)).ok());
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_FALSE(disk_.waited_in_vain) << "nothing was written during the first sync";
  EXPECT_EQ(writer->committed(), 40);
  EXPECT_TRUE(writer->Finish(Digest()).ok());
}

TEST_F(UploadFileWriterTest, NoMoreThanAPartIsNotDurable) {
  disk_.sync_waits_for = 13;  // never while the first sync runs: a part is 12 bytes
  const auto writer = Open(0, 12);
  for (int i = 0; i < 20; i += 4) ASSERT_TRUE(writer->Push(Bytes(i, 4)).ok());
  {
    std::unique_lock<std::mutex> lock(disk_.mutex);
    disk_.changed.wait_for(lock, std::chrono::seconds(20), [&] { return disk_.syncs == 1 && disk_.appended == 12; });
    disk_.changed.wait_for(lock, std::chrono::milliseconds(100), [&] { return disk_.appended > 12; });
    EXPECT_EQ(disk_.appended, 12);
    disk_.sync_waits_for = 0;
    disk_.changed.notify_all();
  }
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_EQ(writer->committed(), 20);
}

TEST_F(UploadFileWriterTest, WhatFollowsAFailedSyncIsLost) {
  disk_.failing_sync = 2;
  const auto writer = Open(0, 8);
  absl::Status pushed;
  for (int i = 0; i < 40 && pushed.ok(); i += 4) pushed = writer->Push(Bytes(i, 4));
  EXPECT_EQ(writer->Close().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(disk_.syncs, 2) << "a second try that succeeds proves nothing";
  EXPECT_GE(Committed(), 4);
  EXPECT_LE(Committed(), 8);
  EXPECT_EQ(Committed(), writer->committed());
}

TEST_F(UploadFileWriterTest, TheHashGoesOnInTheNextStream) {
  {
    const auto writer = Open(0, 8);
    for (int i = 0; i < 20; i += 4) ASSERT_TRUE(writer->Push(Bytes(i, 4)).ok());
  }  // the client has vanished
  const auto writer = Open(20, 8);  // ReadStaged would fail here
  for (int i = 20; i < 40; i += 4) ASSERT_TRUE(writer->Push(Bytes(i, 4)).ok());
  ASSERT_TRUE(writer->Close().ok());
  ASSERT_TRUE(jobs_->RegisterBlob(DigestOf(Bytes(0, 40))).ok());
  EXPECT_TRUE(writer->Finish(Digest()).ok());
}

}  // namespace
}  // namespace nashswarm::server
