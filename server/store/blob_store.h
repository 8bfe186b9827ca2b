// BlobStore: immutable content, addressed by its SHA-256, and the staging area where uploads grow.
//
// Every method may be called from any thread. Errors: NOT_FOUND / BLOB_NOT_FOUND for unknown content,
// RESOURCE_EXHAUSTED / NO_SPACE when the medium is full, UNAVAILABLE for I/O trouble. What a method says is stored is
// durable when it returns.
//
// Content is checked where it is used: a blob whose bytes are not what its digest names is DATA_LOSS / BLOB_DAMAGED, once. It
// is set aside, kept for whoever runs the server and told to OnDamage, and from then on it is not there, so that it is asked
// for again. What was verified is remembered, so a blob that nothing has touched is not read again for it.
//
// Who keeps a blob alive: the Store's references. Call its RegisterBlob (or TouchOwnBlob) BEFORE relying on a
// blob being there; that call renews its grace period, so garbage collection leaves it until the reference is written.
#ifndef NASHSWARM_SERVER_STORE_BLOB_STORE_H_
#define NASHSWARM_SERVER_STORE_BLOB_STORE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::server {

struct BlobDigest {
  std::string sha256;  // 32 raw bytes
  int64_t size_bytes = 0;

  bool operator==(const BlobDigest&) const = default;
};

// Called now and then during long work; its error ends the work. May be empty.
using Between = std::function<absl::Status()>;

// A blob that was set aside.
struct BlobDamage {
  std::string sha256;   // what it should be, 32 raw bytes
  std::string found;    // what is wrong with it
  std::string kept_at;  // where it can be looked at; "" for a copy that another one takes the place of
};

// Reads one blob. Owned by the caller, one thread at a time. After the blob is removed it goes on reading, or it says
// NOT_FOUND / BLOB_NOT_FOUND, where the bytes are somewhere else; it never gives other bytes.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual int64_t size() const = 0;
  // Exactly `size` bytes from `offset` into `out`; the caller stays inside [0, size()). Whoever reads everything in order gets
  // BLOB_DAMAGED with the last bytes at the latest; whoever reads a part alone calls BlobStore::Verify first.
  virtual absl::Status ReadAt(int64_t offset, int64_t size, char* out) = 0;
};

// Appends to one staged part. Owned by the caller. One thread appends; another may Sync meanwhile.
class StagedWriter {
 public:
  virtual ~StagedWriter() = default;
  // After an error nothing more is appended; a Sync still speaks of what was appended before it.
  virtual absl::Status Append(absl::Span<const char> bytes) = 0;
  // Makes everything durable that was appended before the call.
  virtual absl::Status Sync() = 0;
};

// A durable piece of an unfinished file: the first `size_bytes` of what was written under `key`.
struct StagedPart {
  std::string key;
  int64_t size_bytes = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Before the store is used. The function is called from any thread.
  void OnDamage(std::function<void(const BlobDamage&)> told) { on_damage_ = std::move(told); }

  // Whether something is stored under the digest; what, Verify says.
  virtual absl::StatusOr<bool> Has(const std::string& sha256) = 0;

  // ok when what is stored has the digest's size, and its SHA-256.
  virtual absl::Status Verify(const BlobDigest& digest, const Between& between) = 0;

  // Takes the local file `path` (its content is known to have `digest`) into the store; the file is gone afterwards.
  // Storing what is there already is not an error.
  virtual absl::Status PutFile(const std::string& path, const BlobDigest& digest) = 0;

  // Shows the blob, verified, as a plain read-only file at `path`, whose directory exists. The caller never writes to it.
  virtual absl::Status LinkInto(const std::string& sha256, const std::string& path, const Between& between) = 0;
  // Takes away what LinkInto has put there. Another way of removing it only costs reading the blob once more.
  virtual absl::Status Unlink(const std::string& path) = 0;

  // Whether LinkInto costs nothing, however large the blob. Otherwise it brings the whole content to this machine.
  virtual bool IsLocal() const = 0;

  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& sha256) = 0;

  // ok when absent. Only garbage collection calls this, inside MaintenanceStore::RemoveBlob.
  virtual absl::Status Remove(const std::string& sha256) = 0;

  // Starts a new, empty part. A key is "<group>/<name>", used once, both of [a-z0-9-].
  virtual absl::StatusOr<std::unique_ptr<StagedWriter>> CreateStaged(const std::string& key) = 0;
  // Streams the part's first `size_bytes` bytes through `sink`.
  virtual absl::Status ReadStaged(const StagedPart& part,
                                  const std::function<absl::Status(absl::Span<const char>)>& sink) = 0;
  // Makes the concatenation of `parts` a blob. The parts stay until RemoveStaged: a crash in between loses nothing.
  // `digest` was computed over exactly these bytes; when they pass through this process again, or have changed since this
  // process wrote them, it is checked again (DATA_LOSS / DIGEST_MISMATCH).
  virtual absl::Status CommitStaged(absl::Span<const StagedPart> parts, const BlobDigest& digest) = 0;
  // ok when absent. `key` is a whole key or a group.
  virtual absl::Status RemoveStaged(const std::string& key) = 0;
  // Groups with no durable byte may be left out.
  virtual absl::StatusOr<std::vector<std::string>> ListStagedGroups() = 0;

  // Frees what processes that died left behind and no name leads to: temporary files, unfinished multipart uploads.
  // `older_than` must be longer than any single PutFile or CommitStaged takes, in whatever process: a day will do.
  virtual absl::Status RemoveLeftovers(std::chrono::seconds older_than) = 0;

 protected:
  void TellOfDamage(const BlobDamage& damage) const {
    if (on_damage_) on_damage_(damage);
  }

 private:
  std::function<void(const BlobDamage&)> on_damage_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_BLOB_STORE_H_
