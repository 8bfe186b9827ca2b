#include "server/store/blob_loss.h"

#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr char kMissing[] = "BLOB_MISSING", kDamaged[] = "BLOB_DAMAGED";

}  // namespace

bool IsBlobLoss(const absl::Status& status) {
  return absl::IsDataLoss(status) && (ReasonOf(status) == kMissing || ReasonOf(status) == kDamaged);
}

absl::Status ExplainBlobLoss(const absl::Status& status, const std::string& sha256, std::string_view file,
                             std::string_view remedy) {
  if (ReasonOf(status) == "BLOB_NOT_FOUND") {
    return MakeError(absl::StatusCode::kDataLoss, kMissing,
                     absl::StrCat(ToAbsl(file), ": its content sha256:", ToHex(sha256), " is not in the blob store"), remedy);
  }
  if (!absl::IsDataLoss(status)) return status;
  return MakeError(absl::StatusCode::kDataLoss, kDamaged,
                   absl::StrCat(ToAbsl(file), ": the server's copy of it is damaged"), remedy);
}

}  // namespace nashswarm::server
