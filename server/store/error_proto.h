// absl::Status -> the API's Error, with its reason, hint and other metadata in one ErrorInfo.
#ifndef NASHSWARM_SERVER_STORE_ERROR_PROTO_H_
#define NASHSWARM_SERVER_STORE_ERROR_PROTO_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::server {

// The same error with one more ErrorInfo.metadata entry.
absl::Status WithMetadata(absl::Status status, std::string_view key, const std::string& value);

// Directories of this machine that clients have no business with: errors on their way out name the files below them without
// these. Process-wide; called while the server starts, before the first error leaves.
void HideDirectories(std::vector<std::string> directories);

v1::Error ToErrorProto(const absl::Status& status);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_ERROR_PROTO_H_
