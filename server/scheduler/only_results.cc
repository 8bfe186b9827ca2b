#include "server/scheduler/only_results.h"

#include <chrono>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace nashswarm::server {
namespace {

// A batch bounds how long the list of what goes is.
constexpr int kBatch = 500;

}  // namespace

absl::Status KeepOnlyResults(MaintenanceStore& store, BlobStore& blobs, int64_t max_bytes) {
  NS_RETURN_IF_ERROR(store.ForgetAllButResults(max_bytes));
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> groups, blobs.ListStagedGroups());
  for (const std::string& group : groups) NS_RETURN_IF_ERROR(blobs.RemoveStaged(group));
  NS_RETURN_IF_ERROR(blobs.RemoveLeftovers(std::chrono::seconds(0)));
  while (true) {
    NS_ASSIGN_OR_RETURN(const std::vector<BlobDigest> garbage, store.UnreferencedBlobs(/*grace_us=*/0, kBatch));
    bool removed = false;
    for (const BlobDigest& blob : garbage) {
      NS_ASSIGN_OR_RETURN(const bool gone,
                          store.RemoveBlob(blob.sha256, /*grace_us=*/0, [&] { return blobs.Remove(blob.sha256); }));
      removed = removed || gone;
    }
    if (!removed) return absl::OkStatus();
  }
}

}  // namespace nashswarm::server
