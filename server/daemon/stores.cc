#include "server/daemon/stores.h"

#include "core/base/file.h"
#include "core/base/status.h"
#include "server/store/directory_blob_store.h"
#include "server/store/s3/s3_blob_store.h"
#include "server/store/sql/ballast.h"
#include "server/store/sql/postgres.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"

namespace nashswarm::server {
namespace {

constexpr std::string_view kSqlite = "sqlite:", kFile = "file:", kS3 = "s3://";

// What follows `prefix`, or `otherwise` when the name is empty.
std::string PathOf(const std::string& name, std::string_view prefix, const std::string& otherwise) {
  return name.empty() ? otherwise : name.substr(prefix.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const ServerConfig& config, const DataDirectory& directory) {
  std::unique_ptr<sql::Database> database;
  if (IsPostgres(config.jobs)) {
    NS_ASSIGN_OR_RETURN(database, sql::OpenPostgres(config.jobs, {config.database_connections}));
  } else {
    NS_ASSIGN_OR_RETURN(database, sql::OpenSqlite(PathOf(config.jobs, kSqlite, directory.database()),
                                                  sql::SystemNowMicros, sql::kBallastBytes));
  }
  return SqlStore::Open(std::move(database));
}

int64_t DiskReserve(const ServerConfig& config, const std::string& directory) {
  return config.disk_reserve_bytes >= 0 ? config.disk_reserve_bytes : UsualReserve(directory);
}

absl::StatusOr<std::unique_ptr<DiskRoom>> OpenDiskRoom(const ServerConfig& config, const DataDirectory& directory) {
  if (config.blobs.starts_with(kS3)) return nullptr;
  const std::string blobs = PathOf(config.blobs, kFile, directory.blobs());
  NS_RETURN_IF_ERROR(MakeDirectories(blobs));
  return std::make_unique<DiskRoom>(blobs, DiskReserve(config, blobs));
}

absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const ServerConfig& config, const DataDirectory& directory,
                                                         DiskRoom* room) {
  if (!config.blobs.starts_with(kS3)) {
    return DirectoryBlobStore::OpenAt(PathOf(config.blobs, kFile, directory.blobs()), room);
  }
  S3BlobStore::Options options;
  NS_ASSIGN_OR_RETURN(options.client.location, ParseS3Url(config.blobs));
  NS_ASSIGN_OR_RETURN(options.client.credentials, LoadS3Credentials());
  options.cache_dir = directory.cache();
  options.cache_bytes = config.cache_bytes;
  return S3BlobStore::OpenAt(std::move(options));
}

std::vector<std::string> DirectoriesOf(const ServerConfig& config, const DataDirectory& directory) {
  std::vector<std::string> out = {directory.path()};
  if (config.blobs.starts_with(kFile)) out.push_back(PathOf(config.blobs, kFile, ""));
  if (config.jobs.starts_with(kSqlite)) out.push_back(DirName(PathOf(config.jobs, kSqlite, "")));
  return out;
}

}  // namespace nashswarm::server
