// The files a job uses beside its checkpoint: a text to calibrate with, an importance matrix, a text to measure on.
#ifndef NASHSWARM_CLIENT_CLI_DATA_FILES_H_
#define NASHSWARM_CLIENT_CLI_DATA_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/checkpoint_files.h"
#include "client/cli/rpc.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

// A file that can be pushed as data. NOT_FOUND / FILE_NOT_FOUND, INVALID_ARGUMENT / EMPTY_FILE, USAGE for a directory.
absl::StatusOr<LocalFile> SelectDataFile(const std::string& path);

// What a data field of a spec may hold besides a FILE.
enum class DataNames {
  kFilesOnly,
  kModelsToo,  // "models/ID" is a data file that the server has
};

// Checks every FILE that `spec` (as BuildSpec made it) names, before any work.
absl::Status CheckDataFiles(const v1::CompressionSpec& spec, DataNames names);
// Pushes every FILE that `spec` names and puts the name of its model in its place.
absl::Status PushDataFiles(const Session& session, DataNames names, v1::CompressionSpec* spec);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_DATA_FILES_H_
