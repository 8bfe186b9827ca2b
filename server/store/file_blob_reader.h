// BlobReader of a local file: in a directory store, or cached from another one.
#ifndef NASHSWARM_SERVER_STORE_FILE_BLOB_READER_H_
#define NASHSWARM_SERVER_STORE_FILE_BLOB_READER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/blob_store.h"

namespace nashswarm::server {

// Exactly `size` bytes at `offset`; a shorter file is DATA_LOSS / BLOB_TRUNCATED.
absl::Status ReadExactly(int fd, int64_t offset, int64_t size, char* out, const std::string& what);

// A reader that owns `fd`, which outlives the file's name. `sha256` (32 raw bytes) is for messages.
absl::StatusOr<std::unique_ptr<BlobReader>> ReaderOf(int fd, const std::string& sha256);

// errno of an operation on a blob's file: ENOENT is NOT_FOUND / BLOB_NOT_FOUND.
absl::Status BlobError(int error, const std::string& sha256);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_FILE_BLOB_READER_H_
