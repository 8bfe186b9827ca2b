#include "server/store/disk_room.h"

#include <sys/statvfs.h>

#include <algorithm>

#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kUsualReserve = int64_t{1} << 30;
constexpr int64_t kSmallDiskShare = 10;

using FileSystem = struct statvfs;

int64_t BytesOf(const std::string& directory, fsblkcnt_t FileSystem::*blocks) {
  FileSystem info;
  if (statvfs(directory.c_str(), &info) != 0) return INT64_MAX;
  return static_cast<int64_t>(info.*blocks) * static_cast<int64_t>(info.f_frsize);
}

}  // namespace

int64_t FreeDisk(const std::string& directory) { return BytesOf(directory, &FileSystem::f_bavail); }

int64_t DiskSize(const std::string& directory) { return BytesOf(directory, &FileSystem::f_blocks); }

int64_t UsualReserve(const std::string& directory) {
  return std::min(kUsualReserve, DiskSize(directory) / kSmallDiskShare);
}

absl::Status NoRoom(std::string_view what, int64_t bytes, int64_t left) {
  return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE",
                   absl::StrCat(ToAbsl(what), " needs ", bytes, " bytes, and the server has room for ", left),
                   "delete models, artifacts and uploads that are no longer needed and try again: what has arrived is kept. "
                   "The server keeps --disk-reserve bytes free");
}

int64_t DiskRoom::Left() const { return std::max<int64_t>(0, FreeDisk(directory_) - reserve_bytes_ - held_); }

absl::Status DiskRoom::Check(std::string_view what, int64_t bytes) const {
  const int64_t left = Left();
  return bytes <= left ? absl::OkStatus() : NoRoom(what, bytes, left);
}

absl::StatusOr<DiskRoom::Hold> DiskRoom::Take(std::string_view what, int64_t bytes) {
  const int64_t held = held_ += bytes;
  Hold hold(this, bytes);
  const int64_t left = FreeDisk(directory_) - reserve_bytes_ - (held - bytes);
  if (bytes > left) return NoRoom(what, bytes, std::max<int64_t>(0, left));
  return hold;
}

absl::StatusOr<DiskRoom::Hold> TakeRoom(DiskRoom* room, std::string_view what, int64_t bytes) {
  return room == nullptr ? DiskRoom::Hold() : room->Take(what, bytes);
}

}  // namespace nashswarm::server
