// The directory one engine task sees: task.json, in/, out/, model/ and data/ (see core/engine/README.md).
#ifndef NASHSWARM_SERVER_WORKER_WORK_DIRECTORY_H_
#define NASHSWARM_SERVER_WORKER_WORK_DIRECTORY_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "server/store/task_store.h"

namespace nashswarm::server {

// Removed with the object. One thread.
class WorkDirectory {
 public:
  static absl::StatusOr<WorkDirectory> Create(const std::string& root, const std::string& name);
  WorkDirectory(WorkDirectory&& other) noexcept
      : path_(std::move(other.path_)), links_(std::move(other.links_)) {
    other.path_.clear();
    other.links_.clear();
  }
  WorkDirectory& operator=(WorkDirectory&&) = delete;
  ~WorkDirectory();

  const std::string& path() const { return path_; }
  std::string model_path() const;

  // Blobs appear as files, verified; nothing is copied where the store can link. What is damaged or gone is DATA_LOSS /
  // BLOB_DAMAGED or BLOB_MISSING and names the file as its owner does. `blobs` outlives this object. `between` as in BlobStore.
  absl::Status AddModel(BlobStore& blobs, const std::vector<ModelFile>& files, const Between& between);
  // The same for a reader that looks at no weight: of large safetensors files in a store that is not local only the header is
  // brought here. The rest of such a file is a hole: it has its size, and takes no space.
  absl::Status AddModelHeaders(BlobStore& blobs, const std::vector<ModelFile>& files);
  // `lost` gets the digests of all that are damaged or gone, when there are any.
  absl::Status AddInputs(BlobStore& blobs, const std::vector<TaskOutput>& inputs, const Between& between,
                         std::vector<std::string>* lost);
  // Each file appears under its purpose in data/.
  absl::Status AddData(BlobStore& blobs, const std::vector<DataFile>& data, const Between& between);
  std::string data_path(const std::string& purpose) const;
  absl::Status WriteTask(const Json& task);

  // Moves every file below out/ into the store. Anything but plain files is INTERNAL / ENGINE_PROTOCOL. `between` is
  // called before each file; its error ends the work.
  absl::StatusOr<std::vector<TaskOutput>> StoreOutputs(TaskStore& tasks, BlobStore& blobs,
                                                       const std::function<absl::Status()>& between);

 private:
  explicit WorkDirectory(std::string path) : path_(std::move(path)) {}
  absl::Status Link(BlobStore& blobs, const std::string& sha256, const std::string& path, const Between& between);

  std::string path_;
  std::vector<std::pair<BlobStore*, std::string>> links_;  // of blobs
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_WORK_DIRECTORY_H_
