// A bounded local copy of blobs that live elsewhere: files named by their digest, the least recently used one goes
// first. A file handed out is a hard link (or a copy), so evicting never takes it away from whoever has it.
// Several processes may share the directory: a file that another one removed is downloaded again.
#ifndef NASHSWARM_SERVER_STORE_S3_BLOB_CACHE_H_
#define NASHSWARM_SERVER_STORE_S3_BLOB_CACHE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/blob_store.h"
#include "server/store/s3/http_pool.h"
#include "server/store/verified_files.h"

namespace nashswarm::server {

class BlobCache {
 public:
  // Streams the whole blob into the sink.
  using Download = std::function<absl::Status(const std::string& sha256, const ByteSink& sink)>;

  // `max_bytes` bounds what is kept when nobody waits for it; files linked elsewhere occupy the disk longer.
  // `on_damage` hears of every file here that was found to hold other bytes, and was dropped.
  static absl::StatusOr<std::unique_ptr<BlobCache>> OpenAt(const std::string& root, int64_t max_bytes, Download download,
                                                           std::function<void(const BlobDamage&)> on_damage = {});

  // Shows the blob at `path`, downloading it when it is not here: once, however many ask. What arrives is checked
  // against its digest (DATA_LOSS / DIGEST_MISMATCH); what is here and is not what it was is downloaded again.
  absl::Status LinkInto(const std::string& sha256, const std::string& path, const Between& between = {});
  absl::Status Unlink(const std::string& path);  // of what LinkInto made
  // NOT_FOUND when it is not here, or nothing in this process has verified it yet: whoever reads a part of it has verified what is
  // stored, not what is here.
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& sha256);
  // Takes the file `path` as this blob's content when that costs nothing; the file is gone afterwards in any case.
  absl::Status Adopt(const std::string& sha256, const std::string& path);
  void Remove(const std::string& sha256);
  absl::Status RemoveLeftovers(std::chrono::seconds older_than);

  int64_t size_bytes();
  size_t known_files() { return verified_.size(); }  // that are remembered as verified: no more than there are

 private:
  struct Entry {
    int64_t size_bytes = 0;
    int users = 0;             // threads at work on it; with any, it is not evicted
    bool present = false;      // counted in size_bytes_ and in use_order_
    bool downloading = false;
    uint64_t round = 0;        // of downloads that ended, with `result`
    absl::Status result;
    std::list<std::string>::iterator use;
  };

  BlobCache(std::string root, int64_t max_bytes, Download download, std::function<void(const BlobDamage&)> on_damage)
      : root_(std::move(root)),
        max_bytes_(max_bytes),
        download_(std::move(download)),
        on_damage_(std::move(on_damage)) {}
  std::string PathOf(const std::string& sha256) const;
  absl::Status Scan();
  absl::StatusOr<int64_t> Fetch(const std::string& sha256);
  absl::Status LinkVerified(const std::string& sha256, const std::string& path, const Between& between);
  void NoteDamage(const std::string& sha256, const absl::Status& damage);
  void Drop(const std::string& sha256);  // the file, and what is remembered of it
  // These need mutex_.
  absl::Status MakePresent(std::unique_lock<std::mutex>& lock, const std::string& sha256, Entry* entry);
  void SetPresent(const std::string& sha256, Entry* entry, int64_t size_bytes);
  void SetAbsent(Entry* entry);
  void Touch(Entry* entry);
  void Release(const std::string& sha256, Entry* entry);  // one user less; `entry` may be gone afterwards
  void Evict();

  const std::string root_;
  const int64_t max_bytes_;
  const Download download_;
  const std::function<void(const BlobDamage&)> on_damage_;
  VerifiedFiles verified_;
  std::mutex mutex_;
  std::condition_variable downloaded_;
  std::map<std::string, Entry> entries_;  // by raw digest; with users an entry is never erased
  std::list<std::string> use_order_;      // the least recently used first
  int64_t size_bytes_ = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_BLOB_CACHE_H_
