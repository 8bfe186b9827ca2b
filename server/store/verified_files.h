// VerifiedFiles: which files are known to hold the content that their digest names, so that a large one is not hashed every
// time it is used. Kept in this process alone: after a start every file is read once more.
//
// A file counts as the one that was verified while its device, inode, size, mtime and ctime are the same. A link or unlink
// of ours changes the ctime too, so those go through Over().
#ifndef NASHSWARM_SERVER_STORE_VERIFIED_FILES_H_
#define NASHSWARM_SERVER_STORE_VERIFIED_FILES_H_

#include <sys/stat.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/store/blob_store.h"

namespace nashswarm::server {

// DATA_LOSS / BLOB_DAMAGED: what is stored under the digest is other content; `found` says what.
absl::Status DamagedError(const std::string& sha256, const std::string& found);

// Thread-safe. Files are named by descriptors, which may be of O_PATH but where a file is read.
class VerifiedFiles {
 public:
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    int64_t size = 0, mtime_ns = 0, ctime_ns = 0;

    bool operator==(const Identity&) const = default;
    // The same bytes, as far as the kernel tells: other names of a file change its ctime alone.
    bool SameContent(const Identity& other) const;
  };
  static std::optional<Identity> Identify(int fd);

  // ok when the file has this SHA-256: it is read unless that is known. DamagedError otherwise. `between` as in BlobStore.
  absl::Status Verify(int fd, const std::string& sha256, const Between& between);
  bool Knows(int fd, const std::string& sha256);
  // The file was hashed while it was as `before`; forgotten unless it still is.
  void Remember(int fd, const Identity& before, const std::string& sha256);

  // The file holds just what this process has written into it, of which somebody else has the digest.
  void NoteWritten(int fd);
  bool IsAsWritten(int fd);

  // Runs `change`, which gives the file another name or takes one away (0, or -1 with errno); what is known of it stays known.
  int Over(int fd, const std::function<int()>& change);

  size_t size();  // how many files it remembers

 private:
  using Inode = std::pair<dev_t, ino_t>;
  struct Known {
    Identity identity;
    std::string sha256;  // "": as written
  };
  bool KnowsLocked(const Identity& identity, const std::string& sha256) const;

  std::mutex mutex_;  // guards what follows
  std::condition_variable read_;
  std::map<Inode, Known> known_;
  std::set<Inode> reading_;  // being hashed: whoever else wants to know waits
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_VERIFIED_FILES_H_
