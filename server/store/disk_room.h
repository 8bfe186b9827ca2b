// What may still be written to a file system: what is free on it, less a reserve for those who must be able to write whatever
// happens, the database before all. Uploads and joins of their parts ask here first.
#ifndef NASHSWARM_SERVER_STORE_DISK_ROOM_H_
#define NASHSWARM_SERVER_STORE_DISK_ROOM_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::server {

// Bytes that may still be written below `directory`; INT64_MAX when the system does not say.
int64_t FreeDisk(const std::string& directory);
// Bytes of the file system of `directory`, used or not; INT64_MAX when the system does not say.
int64_t DiskSize(const std::string& directory);
// What is kept free where nobody has said how much: 1 GiB, or a tenth of a smaller disk.
int64_t UsualReserve(const std::string& directory);

// RESOURCE_EXHAUSTED / NO_SPACE: `what` needs `bytes`, and `left` are left to it. For clients: it names no directory.
absl::Status NoRoom(std::string_view what, int64_t bytes, int64_t left);

// Thread-safe.
class DiskRoom {
 public:
  // Room for bytes that are about to be written, until it goes.
  class Hold {
   public:
    explicit Hold(DiskRoom* room = nullptr, int64_t bytes = 0) : room_(room), bytes_(bytes) {}
    Hold(Hold&& other) noexcept : room_(std::exchange(other.room_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() { Written(bytes_); }

    // So many of the bytes are in a file: the disk itself counts them from now on.
    void Written(int64_t bytes) {
      bytes = std::min(bytes, bytes_);
      bytes_ -= bytes;
      if (room_ != nullptr) room_->held_ -= bytes;
    }

   private:
    DiskRoom* room_;
    int64_t bytes_;
  };

  DiskRoom(std::string directory, int64_t reserve_bytes)
      : directory_(std::move(directory)), reserve_bytes_(reserve_bytes) {}

  // Never below 0.
  int64_t Left() const;
  absl::Status Check(std::string_view what, int64_t bytes) const;
  // Many may write at a time: what one holds the others do not see as free.
  absl::StatusOr<Hold> Take(std::string_view what, int64_t bytes);

 private:
  const std::string directory_;
  const int64_t reserve_bytes_;
  std::atomic<int64_t> held_{0};
};

// Of a store that may have no room to ask: `room` may be null.
absl::StatusOr<DiskRoom::Hold> TakeRoom(DiskRoom* room, std::string_view what, int64_t bytes);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_DISK_ROOM_H_
