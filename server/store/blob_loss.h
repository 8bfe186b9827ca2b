// Lost content, said for those whose file it is.
#ifndef NASHSWARM_SERVER_STORE_BLOB_LOSS_H_
#define NASHSWARM_SERVER_STORE_BLOB_LOSS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace nashswarm::server {

// DATA_LOSS / BLOB_MISSING or BLOB_DAMAGED.
bool IsBlobLoss(const absl::Status& status);

// What a BlobStore says of a blob that is not there (NOT_FOUND / BLOB_NOT_FOUND) or not whole (DATA_LOSS), as BLOB_MISSING and
// BLOB_DAMAGED of `file`, with `remedy` for its hint. Any other status as it is.
absl::Status ExplainBlobLoss(const absl::Status& status, const std::string& sha256, std::string_view file,
                             std::string_view remedy);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_BLOB_LOSS_H_
