// CheckedReader: a BlobReader of content that nobody has verified yet. Reads that follow each other from the first byte on
// are hashed as they go, and the last of them fails when the content is not what the digest names.
#ifndef NASHSWARM_SERVER_STORE_CHECKED_READER_H_
#define NASHSWARM_SERVER_STORE_CHECKED_READER_H_

#include <functional>
#include <memory>
#include <string>

#include "core/base/hash.h"
#include "server/store/blob_store.h"
#include "server/store/verified_files.h"

namespace nashswarm::server {

class CheckedReader : public BlobReader {
 public:
  // `on_end` is told what the hash said, once, when everything was read in order: ok, or DATA_LOSS / BLOB_DAMAGED.
  using OnEnd = std::function<void(const absl::Status&)>;
  CheckedReader(std::unique_ptr<BlobReader> inner, std::string sha256, OnEnd on_end)
      : inner_(std::move(inner)), sha256_(std::move(sha256)), on_end_(std::move(on_end)) {}

  int64_t size() const override { return inner_->size(); }
  absl::Status ReadAt(int64_t offset, int64_t size, char* out) override;

 private:
  const std::unique_ptr<BlobReader> inner_;
  const std::string sha256_;
  const OnEnd on_end_;
  Sha256 hash_;
  int64_t hashed_ = 0;
  bool in_order_ = true;
};

// A reader of the file, checked as it is read unless `verified` knows it. `on_damage` gets the open file and what is wrong.
// NOT_FOUND / BLOB_NOT_FOUND. `verified` outlives the reader.
absl::StatusOr<std::unique_ptr<BlobReader>> OpenChecked(const std::string& path, const std::string& sha256,
                                                        VerifiedFiles* verified,
                                                        std::function<void(int fd, const absl::Status&)> on_damage);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_CHECKED_READER_H_
