// Paths from the network. Stands alone, so that it can be fuzzed beside the server's own check.
#ifndef NASHSWARM_CLIENT_CLI_SAFE_PATH_H_
#define NASHSWARM_CLIENT_CLI_SAFE_PATH_H_

#include <string_view>

namespace nashswarm::cli {

// Whether a path from the network stays below the directory it is joined to.
bool IsSafeRelativePath(std::string_view path);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_SAFE_PATH_H_
