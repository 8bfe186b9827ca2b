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

// The wanted files of a Hugging Face directory, sorted by name; subdirectories are not entered, symbolic links are
// followed. An error that says what is missing when there are no safetensors weights or no config.json.
absl::StatusOr<std::vector<LocalFile>> SelectFiles(const std::string& directory);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_CHECKPOINT_FILES_H_
