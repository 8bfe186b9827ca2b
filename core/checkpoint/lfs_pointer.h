// Files that Git LFS was to replace and did not: a text of three lines that says which file belongs there. A clone without
// git-lfs leaves a directory full of them.
// Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
#ifndef NASHSWARM_CORE_CHECKPOINT_LFS_POINTER_H_
#define NASHSWARM_CORE_CHECKPOINT_LFS_POINTER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace nashswarm::checkpoint {

// What every pointer begins with.
inline constexpr std::string_view kLfsPointerBeginning = "version https://git-lfs.github.com/spec/";

// DATA_LOSS / LFS_POINTER, with the size of the real file, when `file` is a pointer. `what` names it.
absl::Status RefuseLfsPointer(absl::Span<const uint8_t> file, std::string_view what);

// The same for the configuration and the tokenizer in a model's directory, by their names there. Reads files of at most a kilobyte.
absl::Status CheckNoLfsPointers(const std::string& directory);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_LFS_POINTER_H_
