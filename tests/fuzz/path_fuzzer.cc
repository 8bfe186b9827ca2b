// Paths from outside: one that the server accepts stays below the directory it is joined to, in every reading of it, and the
// client accepts it as well.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "client/cli/safe_path.h"
#include "core/base/file.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

bool StaysBelow(const std::string& root, const std::string& path) {
  const std::string joined = nashswarm::JoinPath(root, path);
  const std::string plain = std::filesystem::path(joined).lexically_normal().string();
  return plain == joined && plain.size() > root.size() && plain.starts_with(root) && plain[root.size()] == '/';
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path(reinterpret_cast<const char*>(data), size);
  if (nashswarm::cli::IsSafeRelativePath(path)) Require(StaysBelow("/r", path) && path.find('\0') == path.npos);
  if (!nashswarm::ValidateRelativePath(path).ok()) return 0;
  Require(StaysBelow("/root/of/all", path));
  Require(nashswarm::cli::IsSafeRelativePath(path));
  // A control character would break a line of a log or a manifest, a backslash is a separator elsewhere.
  Require(std::none_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '\\'; }));
  const std::string directory = nashswarm::DirName(path), name = nashswarm::BaseName(path);
  Require(!name.empty() && (directory == "." ? name : nashswarm::JoinPath(directory, name)) == path);
  return 0;
}
