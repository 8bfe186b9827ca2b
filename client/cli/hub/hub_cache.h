// The directory that programs for the Hugging Face hub share (https://huggingface.co/docs/huggingface_hub/guides/manage-cache):
//   models--ORG--NAME/refs/REVISION        the commit that a branch or tag is at
//   models--ORG--NAME/blobs/ETAG           content; ETAG.incomplete while it comes
//   models--ORG--NAME/snapshots/COMMIT/FILE -> ../../blobs/ETAG
//   .locks/models--ORG--NAME/ETAG.lock     held by whoever downloads it
#ifndef NASHSWARM_CLIENT_CLI_HUB_HUB_CACHE_H_
#define NASHSWARM_CLIENT_CLI_HUB_HUB_CACHE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/files.h"
#include "client/cli/hub/hub_settings.h"
#include "client/cli/interrupt.h"

namespace nashswarm::cli {

class HubCache {
 public:
  HubCache(const HubSettings& settings, const std::string& repository);

  // The commit that `revision` was at when it was last asked for, or is itself; "" when nobody has asked.
  std::string CommitOf(const std::string& revision) const;
  absl::Status RememberCommit(const std::string& revision, const std::string& commit) const;

  std::string SnapshotOf(const std::string& commit) const;
  // `etag` must be a plain name: see IsPlainName.
  std::string BlobOf(const std::string& etag) const;
  // A link in the snapshot; replaces another of that name.
  absl::Status AddToSnapshot(const std::string& commit, const std::string& file, const std::string& etag) const;
  // Waits for other downloads of the same content to end. Held until the descriptor is closed.
  absl::StatusOr<UniqueFd> Lock(const std::string& etag, Interrupt& interrupt) const;
  // RESOURCE_EXHAUSTED / NO_SPACE when `bytes` more do not fit.
  absl::Status CheckSpace(int64_t bytes) const;

 private:
  std::string root_, locks_;
};

// Letters, digits, '-' and '_' alone.
bool IsPlainName(const std::string& text);

// Whether the file's content is what its etag says: SHA-256, or Git's SHA-1 of small files. DATA_LOSS / HUB_CORRUPT.
// An etag of another kind says nothing.
absl::Status CheckContent(const std::string& path, const std::string& etag, Interrupt& interrupt);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_HUB_HUB_CACHE_H_
