// BlobStore on S3, with a bounded local cache:
//   <prefix>sha256/ab/abcd...                       finished blobs
//   <prefix>staging/<group>/<name>/<offset>         pieces of upload parts (staged_pieces.h)
//   <prefix>damaged/abcd...                         blobs that were set aside; nothing removes them
//   <cache_dir>/                                    blobs that were needed as files here (blob_cache.h)
//
// What is checked, and when:
//   - Every byte we send is covered by the request's signature (x-amz-content-sha256): the server refuses others.
//     PutFile of one request signs the blob's own digest; larger files are sent in parts, each signed for what was read.
//   - CommitStaged of up to 8 MiB reads everything and compares the digest. Larger ones are put together by the server;
//     only pieces too small for that are read, and each is compared with the digest it was sent with. The sizes of all
//     pieces and of the result are compared. That `digest` is the concatenation's is then the word of the caller, who
//     hashed what it gave to Append.
//   - LinkInto compares the digest of everything it downloads, and of what it finds in the cache. Open reads nothing in the cache
//     that has not been compared since the process started.
//   - Verify reads an object once, then goes by its ETag and size. So does whoever stores: an object under the blob's name that
//     is not known to be right is replaced.
// A blob appears whole or not at all: a PUT and the completion of a multipart upload are atomic.
// Staging keys carry the epoch of their writer, so two writers of one key are not expected; CreateStaged looks for
// objects under the key, since not every server honours If-None-Match.
// The credential needs s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListBucket and
// ListBucketMultipartUploads; without ListBucket, AWS says 403 instead of 404 for what is not there.
#ifndef NASHSWARM_SERVER_STORE_S3_S3_BLOB_STORE_H_
#define NASHSWARM_SERVER_STORE_S3_S3_BLOB_STORE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/store/blob_store.h"
#include "server/store/s3/blob_cache.h"
#include "server/store/s3/s3_client.h"
#include "server/store/s3/staged_pieces.h"

namespace nashswarm::server {

class S3BlobStore : public BlobStore {
 public:
  struct Options {
    S3Client::Options client;
    std::string cache_dir;
    int64_t cache_bytes = int64_t{64} << 30;
    // Files above this are sent in parts, several at a time, of at least this size.
    int64_t part_bytes = int64_t{64} << 20;
  };
  // Also looks whether the bucket is there and may be listed.
  static absl::StatusOr<std::unique_ptr<S3BlobStore>> OpenAt(Options options);

  absl::StatusOr<bool> Has(const std::string& sha256) override;
  absl::Status PutFile(const std::string& path, const BlobDigest& digest) override;
  absl::Status Verify(const BlobDigest& digest, const Between& between) override;
  absl::Status LinkInto(const std::string& sha256, const std::string& path, const Between& between) override;
  absl::Status Unlink(const std::string& path) override { return cache_->Unlink(path); }
  bool IsLocal() const override { return false; }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& sha256) override;
  absl::Status Remove(const std::string& sha256) override;
  absl::StatusOr<std::unique_ptr<StagedWriter>> CreateStaged(const std::string& key) override;
  absl::Status ReadStaged(const StagedPart& part,
                          const std::function<absl::Status(absl::Span<const char>)>& sink) override;
  absl::Status CommitStaged(absl::Span<const StagedPart> parts, const BlobDigest& digest) override;
  absl::Status RemoveStaged(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> ListStagedGroups() override;
  absl::Status RemoveLeftovers(std::chrono::seconds older_than) override;

  S3Client& client() { return client_; }
  BlobCache& cache() { return *cache_; }

 private:
  explicit S3BlobStore(Options options);
  std::string KeyOf(const std::string& sha256) const;
  // "<prefix>staging/<key>/"
  absl::StatusOr<std::string> StagedPrefixOf(const std::string& key) const;
  absl::Status Download(const std::string& sha256, const ByteSink& sink);
  // Reads the object and compares its digest; a wrong one is set aside, as is one that is not of this size.
  absl::Status VerifyStored(const std::string& sha256, std::optional<int64_t> size, const Between& between);
  // `bad` is of the object that was read. One that has taken its place meanwhile stays.
  absl::Status SetAside(const std::string& sha256, const S3Client::State& bad, const absl::Status& damage);
  absl::StatusOr<bool> IsStill(const std::string& key, const S3Client::State& state);
  bool Knows(const std::string& sha256, const S3Client::State& state);
  void Remember(const std::string& sha256, const S3Client::State& state);
  absl::Status RememberStored(const BlobDigest& digest);  // what has just been put there

  // These are in s3_blob_store_commit.cc.
  absl::StatusOr<bool> IsStored(const BlobDigest& digest);  // and verified
  absl::Status SendFile(int file, const std::string& path, const BlobDigest& digest);
  absl::StatusOr<std::vector<Slice>> SlicesOfPart(const StagedPart& part);
  absl::Status ReadSlice(const Slice& slice, const ByteSink& sink);
  absl::StatusOr<std::string> ReadSlices(absl::Span<const Slice> slices);
  absl::Status CommitSmall(absl::Span<const Slice> slices, const BlobDigest& digest);
  absl::Status CommitLarge(absl::Span<const Slice> slices, const BlobDigest& digest);
  // Runs make_part(key, upload, i) for all i in [0, count), several at a time, and completes or aborts the upload.
  using MakePart = std::function<absl::StatusOr<S3Part>(const std::string& key, const std::string& upload, uint64_t i)>;
  absl::Status PutInParts(const std::string& key, uint64_t count, const MakePart& make_part);
  absl::Status PutBlobInParts(const BlobDigest& digest, uint64_t count, const MakePart& make_part);
  // Of the object that was in this state; S3_PRECONDITION_FAILED when it is no more.
  absl::Status Copy(const std::string& from, const S3Client::State& state, const std::string& to);

  const Options options_;
  S3Client client_;
  std::unique_ptr<BlobCache> cache_;
  std::mutex verified_mutex_;
  std::map<std::string, S3Client::State> verified_;  // by raw digest
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_BLOB_STORE_H_
