// BlobStore on a local directory:
//   <root>/sha256/ab/abcd...   finished blobs, read-only
//   <root>/staging/<group>/    growing upload parts
//   <root>/tmp/                files on their way to a name
//   <root>/damaged/            blobs that were set aside, by their digest; nothing removes them
// Several processes may use one directory.
#ifndef NASHSWARM_SERVER_STORE_DIRECTORY_BLOB_STORE_H_
#define NASHSWARM_SERVER_STORE_DIRECTORY_BLOB_STORE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "server/store/blob_store.h"
#include "server/store/disk_room.h"
#include "server/store/verified_files.h"

namespace nashswarm::server {

class DirectoryBlobStore : public BlobStore {
 public:
  // Whatever is visible in the store afterwards is durable: a process before this one may have died between giving a blob its
  // name and syncing the directory, and Has() would believe the name.
  // `room`: asked before uploads grow; outlives the store. None: they may fill the disk.
  static absl::StatusOr<std::unique_ptr<DirectoryBlobStore>> OpenAt(const std::string& root, DiskRoom* room = nullptr);

  absl::StatusOr<bool> Has(const std::string& sha256) override;
  absl::Status PutFile(const std::string& path, const BlobDigest& digest) override;
  absl::Status Verify(const BlobDigest& digest, const Between& between) override;
  absl::Status LinkInto(const std::string& sha256, const std::string& path, const Between& between) override;
  absl::Status Unlink(const std::string& path) override;
  bool IsLocal() const override { return true; }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& sha256) override;
  absl::Status Remove(const std::string& sha256) override;
  absl::StatusOr<std::unique_ptr<StagedWriter>> CreateStaged(const std::string& key) override;
  absl::Status ReadStaged(const StagedPart& part,
                          const std::function<absl::Status(absl::Span<const char>)>& sink) override;
  absl::Status CommitStaged(absl::Span<const StagedPart> parts, const BlobDigest& digest) override;
  absl::Status RemoveStaged(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> ListStagedGroups() override;
  absl::Status RemoveLeftovers(std::chrono::seconds older_than) override;

  size_t known_files() { return verified_.size(); }  // that are remembered as verified: no more than there are

 private:
  DirectoryBlobStore(std::string root, DiskRoom* room) : root_(std::move(root)), room_(room) {}
  std::string PathOf(const std::string& sha256) const;
  std::string StagedPathOf(const std::string& key) const;
  // The blob's final path, its directory made durable.
  absl::StatusOr<std::string> PreparePath(const std::string& sha256);

  // ok when the open blob has this digest; otherwise it is set aside.
  absl::Status CheckOpen(int fd, const std::string& sha256, const Between& between);
  absl::Status SetAside(int fd, const std::string& sha256, const absl::Status& damage);
  // Gives the staged file the blob's name.
  absl::Status LinkStaged(int fd, const std::string& source, const std::string& target, const BlobDigest& digest);

  std::string root_;
  DiskRoom* const room_;
  VerifiedFiles verified_;
  // By the first byte of a digest: sha256/<byte> is there and durable.
  std::array<std::atomic<bool>, 256> durable_{};
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_DIRECTORY_BLOB_STORE_H_
