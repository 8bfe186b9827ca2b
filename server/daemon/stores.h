// The stores that --jobs and --blobs name.
#ifndef NASHSWARM_SERVER_DAEMON_STORES_H_
#define NASHSWARM_SERVER_DAEMON_STORES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/daemon/data_directory.h"
#include "server/store/disk_room.h"
#include "server/store/store.h"

namespace nashswarm::server {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const ServerConfig& config, const DataDirectory& directory);
// What uploads may take of the disk that blobs are kept on; null where they are not kept on one.
absl::StatusOr<std::unique_ptr<DiskRoom>> OpenDiskRoom(const ServerConfig& config, const DataDirectory& directory);
// `room` is of the same configuration and outlives the store.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const ServerConfig& config, const DataDirectory& directory,
                                                         DiskRoom* room);

// --disk-reserve, for the disk of this directory.
int64_t DiskReserve(const ServerConfig& config, const std::string& directory);

// Where they and the data directory are on this machine.
std::vector<std::string> DirectoriesOf(const ServerConfig& config, const DataDirectory& directory);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_STORES_H_
