#include "server/services/manifest.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/hash.h"

namespace nashswarm::server {

BlobDigest ManifestDigest(std::vector<ModelFile> files) {
  std::sort(files.begin(), files.end(), [](const ModelFile& a, const ModelFile& b) { return a.path < b.path; });
  std::string text;
  for (const ModelFile& file : files) {
    absl::StrAppend(&text, ToHex(file.digest.sha256), " ", file.digest.size_bytes, " ", file.path, "\n");
  }
  return {Sha256Of(text), static_cast<int64_t>(text.size())};
}

}  // namespace nashswarm::server
