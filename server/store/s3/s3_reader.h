// BlobReader by ranged requests, with a read-ahead buffer that grows while the reads follow each other.
#ifndef NASHSWARM_SERVER_STORE_S3_S3_READER_H_
#define NASHSWARM_SERVER_STORE_S3_S3_READER_H_

#include <cstdint>
#include <string>

#include "server/store/blob_store.h"
#include "server/store/s3/s3_client.h"

namespace nashswarm::server {

class S3Reader : public BlobReader {
 public:
  // `client` is borrowed. No request says which version it means: nothing but a damaged object is ever replaced, and whoever reads
  // one that nobody has verified compares the digest (checked_reader.h).
  S3Reader(S3Client* client, std::string key, int64_t size) : client_(client), key_(std::move(key)), size_(size) {}

  int64_t size() const override { return size_; }
  absl::Status ReadAt(int64_t offset, int64_t size, char* out) override;

 private:
  absl::Status Get(int64_t offset, int64_t size, char* out);

  S3Client* const client_;
  const std::string key_;
  const int64_t size_;
  std::string buffer_;
  int64_t buffer_offset_ = 0;
  int64_t window_ = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_READER_H_
