#include "server/store/checked_reader.h"

#include <fcntl.h>

#include <cerrno>

#include "core/base/status.h"
#include "server/store/file_blob_reader.h"

namespace nashswarm::server {

absl::Status CheckedReader::ReadAt(int64_t offset, int64_t size, char* out) {
  NS_RETURN_IF_ERROR(inner_->ReadAt(offset, size, out));
  in_order_ = in_order_ && offset == hashed_;
  if (!in_order_ || size == 0) return absl::OkStatus();
  hash_.Update(out, static_cast<uint64_t>(size));
  hashed_ += size;
  if (hashed_ < inner_->size()) return absl::OkStatus();
  in_order_ = false;
  const std::string actual = hash_.Finish();
  const absl::Status end = actual == sha256_
                               ? absl::OkStatus()
                               : DamagedError(sha256_, absl::StrCat("its content is sha256:", ToHex(actual)));
  on_end_(end);
  return end;
}

absl::StatusOr<std::unique_ptr<BlobReader>> OpenChecked(const std::string& path, const std::string& sha256,
                                                        VerifiedFiles* verified,
                                                        std::function<void(int fd, const absl::Status&)> on_damage) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return BlobError(errno, sha256);
  NS_ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, ReaderOf(fd, sha256));
  const auto before = VerifiedFiles::Identify(fd);
  if (!before.has_value() || verified->Knows(fd, sha256)) return reader;
  // The descriptor is the inner reader's, which lives as long as the function.
  return std::make_unique<CheckedReader>(
      std::move(reader), sha256, [=, on_damage = std::move(on_damage)](const absl::Status& end) {
        if (!end.ok()) return on_damage(fd, end);
        verified->Remember(fd, *before, sha256);
      });
}

}  // namespace nashswarm::server
