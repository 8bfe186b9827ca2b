#include "core/checkpoint/lfs_pointer.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::checkpoint {
namespace {

constexpr uint64_t kMaxPointerBytes = 1024;  // the specification's limit

// Who pulls the weights alone leaves pointers of what is of no use here: of other frameworks' weights, of what lies deeper.
// Weight files are looked at when they are opened.
bool IsNeeded(const std::string& name) {
  for (const char* end : {".json", ".model", ".txt", ".jinja"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  return false;
}

}  // namespace

absl::Status RefuseLfsPointer(absl::Span<const uint8_t> file, std::string_view what) {
  if (file.size() > kMaxPointerBytes) return absl::OkStatus();
  const absl::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!absl::StartsWith(text, ToAbsl(kLfsPointerBeginning))) return absl::OkStatus();
  std::string of = "of a file that is not here";
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t bytes = 0;
    if (absl::ConsumePrefix(&line, "size ") && absl::SimpleAtoi(line, &bytes)) of = absl::StrCat("of a file of ", bytes, " bytes");
  }
  return MakeError(absl::StatusCode::kDataLoss, "LFS_POINTER",
                   absl::StrCat(ToAbsl(what), ": is a Git LFS pointer ", of, ", not the file itself"),
                   "in the clone that it comes from: git lfs install && git lfs pull; or download the files again");
}

absl::Status CheckNoLfsPointers(const std::string& directory) {
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListOwnFiles(directory));
  for (const std::string& name : names) {
    if (!IsNeeded(name)) continue;
    const std::string path = JoinPath(directory, name);
    NS_ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(path));
    if (bytes > kMaxPointerBytes) continue;
    NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
    NS_RETURN_IF_ERROR(RefuseLfsPointer({reinterpret_cast<const uint8_t*>(content.data()), content.size()}, name));
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::checkpoint
