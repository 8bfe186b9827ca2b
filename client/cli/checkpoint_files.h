// Which files of a directory make up a checkpoint that is worth sending.
#ifndef NASHSWARM_CLIENT_CLI_CHECKPOINT_FILES_H_
#define NASHSWARM_CLIENT_CLI_CHECKPOINT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::cli {

struct LocalFile {
  std::string name;  // the path in the model: a plain file name
  std::string path;  // where it is on this machine
  int64_t size = 0;
};

enum class FileKind { kWanted, kIgnored, kPickle };
// By name alone. Pickle files (*.bin, *.pt, ...) run code when loaded and are never sent.
FileKind ClassifyFile(const std::string& name);

bool IsSafetensors(const std::string& name);
// Mistral's repositories hold every weight twice: sharded, and as consolidated.safetensors, which is left out then.
std::vector<std::string> WithoutSecondCopy(std::vector<std::string> names);

// The wanted files of a Hugging Face directory, sorted by name; subdirectories are not entered. Symbolic links are followed
// where they lead to weights, within the directory or to the blobs of a Hugging Face cache; DATA_LOSS / LINK_OUTSIDE
// elsewhere. An error that says what is missing when there are no safetensors weights or no config.json.
absl::StatusOr<std::vector<LocalFile>> SelectFiles(const std::string& directory);

// Whether a path relative to a checkpoint is one of those whose files are looked at: no folder, or the one of chat templates.
bool IsPlaceOfCheckpoint(const std::string& path);

// What people call the model in `directory`: ORG/NAME of a directory in the hub's cache, else the directory's own name; as much of
// it as an artifact's name may have. "" for a name that is none for people: not UTF-8, or with control characters.
std::string NameOfCheckpoint(const std::string& directory);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_CHECKPOINT_FILES_H_
