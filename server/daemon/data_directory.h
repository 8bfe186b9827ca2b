// The data directory: what is where in it, that its owner alone may enter, and that one process at a time uses it.
//   lock               flock'ed while a nashswarmd runs
//   nashswarm.db       Store; nashswarm.db-ballast: room for deletes on a full disk
//   blobs/             BlobStore
//   cache/             copies of blobs that are kept in S3
//   work/              of running tasks; emptied at start
#ifndef NASHSWARM_SERVER_DAEMON_DATA_DIRECTORY_H_
#define NASHSWARM_SERVER_DAEMON_DATA_DIRECTORY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace nashswarm::server {

class DataDirectory {
 public:
  // Creates what is missing. FAILED_PRECONDITION / DATA_DIR_IN_USE while another process holds the lock.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& path);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  const std::string& path() const { return path_; }  // absolute
  std::string database() const { return path_ + "/nashswarm.db"; }
  std::string blobs() const { return path_ + "/blobs"; }
  std::string cache() const { return path_ + "/cache"; }
  std::string work() const { return path_ + "/work"; }

 private:
  DataDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  std::string path_;
  int lock_fd_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_DATA_DIRECTORY_H_
