// Names for files on their way to another name, in a directory that several processes, even of several containers,
// may share; and the end of those whose process died.
#ifndef NASHSWARM_SERVER_STORE_TEMPORARY_FILES_H_
#define NASHSWARM_SERVER_STORE_TEMPORARY_FILES_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"

namespace nashswarm::server {

// A path in `directory` that nobody else will come up with.
std::string TemporaryName(const std::string& directory);

// Removes the files of `directory` that nobody wrote to for `older_than`.
absl::Status RemoveOldFiles(const std::string& directory, std::chrono::seconds older_than);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_TEMPORARY_FILES_H_
