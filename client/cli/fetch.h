// A small file of an artifact, read into memory.
#ifndef NASHSWARM_CLIENT_CLI_FETCH_H_
#define NASHSWARM_CLIENT_CLI_FETCH_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/rpc.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

// The verified content; asks again after lost connections. `limit` bounds what a server can make us hold:
// RESOURCE_EXHAUSTED / FILE_TOO_LARGE. DATA_LOSS when what arrives is not what the artifact names.
absl::StatusOr<std::string> FetchFile(const Session& session, const std::string& artifact, const v1::FileEntry& file,
                                      int64_t limit);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_FETCH_H_
