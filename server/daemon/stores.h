// The stores that --jobs and --blobs name.
#ifndef NASHSWARM_SERVER_DAEMON_STORES_H_
#define NASHSWARM_SERVER_DAEMON_STORES_H_

#include <memory>
#include <string>
#include <vector>
#include <string>

#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/daemon/data_directory.h"
#include "server/store/job_store.h"

namespace nashswarm::server {

absl::StatusOr<std::unique_ptr<JobStore>> OpenJobStore(const ServerConfig& config, const DataDirectory& directory);
absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const ServerConfig& config, const DataDirectory& directory);

// Where they and the data directory are on this machine.
std::vector<std::string> DirectoriesOf(const ServerConfig& config, const DataDirectory& directory);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_STORES_H_
