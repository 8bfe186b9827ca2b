#include "server/worker/work_directory.h"

#include <algorithm>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/store/blob_loss.h"

namespace nashswarm::server {
namespace {

namespace fs = std::filesystem;

// A file that is smaller is brought here whole.
constexpr int64_t kWorthAHole = 32 << 20;
// The format's own bound on a header.
constexpr uint64_t kMaxHeaderBytes = 100 << 20;

constexpr char kPushAgain[] = "push the model again, then retry the job: nashswarm jobs retry";

// The beginning of a safetensors file, at its own size. A header that cannot be is cut where it stops to make sense, for the
// engine to complain about.
absl::Status CopyHeader(BlobStore& blobs, const std::string& sha256, const std::string& path) {
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(path)));
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, blobs.Open(sha256));
  const auto size = static_cast<uint64_t>(reader->size());
  uint64_t header = 0;  // little-endian, like every machine this runs on
  NS_RETURN_IF_ERROR(reader->ReadAt(0, sizeof(header), reinterpret_cast<char*>(&header)));
  std::string bytes(sizeof(header) + std::min({header, size - sizeof(header), kMaxHeaderBytes}), '\0');
  NS_RETURN_IF_ERROR(reader->ReadAt(0, static_cast<int64_t>(bytes.size()), bytes.data()));
  NS_RETURN_IF_ERROR(WriteFileUnsynced(path, bytes));
  std::error_code error;
  fs::resize_file(path, size, error);
  return error ? ErrnoError(error.value(), path) : absl::OkStatus();
}

// Plain files below `root` as sorted relative paths. Unlike ListFiles this refuses everything else: a symbolic link out
// of the directory must not become an output.
absl::StatusOr<std::vector<std::string>> ListOutputs(const std::string& root) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    const fs::file_status status = it->symlink_status(error);
    if (error) break;
    const std::string name = fs::path(it->path()).lexically_relative(root).string();
    if (fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status) || !ValidateRelativePath(name).ok()) {
      return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL",
                       absl::StrCat("the engine's output '", name, "' is not a plain file"));
    }
    names.push_back(name);
  }
  if (error) return ErrnoError(error.value(), root);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<WorkDirectory> WorkDirectory::Create(const std::string& root, const std::string& name) {
  WorkDirectory directory(JoinPath(root, name));
  NS_RETURN_IF_ERROR(RemoveTree(directory.path_));
  for (const char* child : {"in", "out", "model"}) {
    NS_RETURN_IF_ERROR(MakeDirectories(JoinPath(directory.path_, child)));
  }
  return directory;
}

WorkDirectory::~WorkDirectory() {
  for (const auto& [blobs, path] : links_) blobs->Unlink(path).IgnoreError();
  if (!path_.empty()) RemoveTree(path_).IgnoreError();
}

std::string WorkDirectory::model_path() const { return JoinPath(path_, "model"); }

absl::Status WorkDirectory::Link(BlobStore& blobs, const std::string& sha256, const std::string& path,
                                 const Between& between) {
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(path)));
  NS_RETURN_IF_ERROR(blobs.LinkInto(sha256, path, between));
  links_.emplace_back(&blobs, path);
  return absl::OkStatus();
}

absl::Status WorkDirectory::AddModel(BlobStore& blobs, const std::vector<ModelFile>& files, const Between& between) {
  for (const ModelFile& file : files) {
    const absl::Status linked = Link(blobs, file.digest.sha256, JoinPath(model_path(), file.path), between);
    NS_RETURN_IF_ERROR(ExplainBlobLoss(linked, file.digest.sha256, file.path, kPushAgain));
  }
  return absl::OkStatus();
}

absl::Status WorkDirectory::AddModelHeaders(BlobStore& blobs, const std::vector<ModelFile>& files) {
  for (const ModelFile& file : files) {
    const std::string path = JoinPath(model_path(), file.path);
    const bool whole = blobs.IsLocal() || file.digest.size_bytes < kWorthAHole || !file.path.ends_with(".safetensors");
    const absl::Status added =
        whole ? Link(blobs, file.digest.sha256, path, {}) : CopyHeader(blobs, file.digest.sha256, path);
    NS_RETURN_IF_ERROR(ExplainBlobLoss(added, file.digest.sha256, file.path, "push the model again"));
  }
  return absl::OkStatus();
}

absl::Status WorkDirectory::AddInputs(BlobStore& blobs, const std::vector<TaskOutput>& inputs, const Between& between,
                                      std::vector<std::string>* lost) {
  absl::Status first;
  for (const TaskOutput& input : inputs) {
    const absl::Status linked =
        ExplainBlobLoss(Link(blobs, input.digest.sha256, JoinPath(JoinPath(path_, "in"), input.name), between),
                        input.digest.sha256, input.name, "it is made again");
    if (IsBlobLoss(linked)) {
      lost->push_back(input.digest.sha256);
      if (first.ok()) first = linked;
    } else {
      NS_RETURN_IF_ERROR(linked);
    }
  }
  return first;
}

std::string WorkDirectory::data_path(const std::string& purpose) const {
  return JoinPath(JoinPath(path_, "data"), purpose);
}

absl::Status WorkDirectory::AddData(BlobStore& blobs, const std::vector<DataFile>& data, const Between& between) {
  for (const DataFile& file : data) {
    const absl::Status linked = Link(blobs, file.digest.sha256, data_path(file.purpose), between);
    NS_RETURN_IF_ERROR(ExplainBlobLoss(linked, file.digest.sha256, absl::StrCat("the ", file.purpose, " data"),
                                       "push the data file again, then retry the job: nashswarm jobs retry"));
  }
  return absl::OkStatus();
}

absl::Status WorkDirectory::WriteTask(const Json& task) {
  return WriteFileDurably(JoinPath(path_, "task.json"), task.dump(2, ' ', false, Json::error_handler_t::replace));
}

absl::StatusOr<std::vector<TaskOutput>> WorkDirectory::StoreOutputs(TaskStore& tasks, BlobStore& blobs,
                                                                    const std::function<absl::Status()>& between) {
  const std::string out = JoinPath(path_, "out");
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListOutputs(out));
  std::vector<TaskOutput> outputs;
  for (const std::string& name : names) {
    NS_RETURN_IF_ERROR(between());
    const std::string path = JoinPath(out, name);
    BlobDigest digest;
    NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
    NS_ASSIGN_OR_RETURN(digest.sha256, Sha256OfFile(path));
    digest.size_bytes = static_cast<int64_t>(size);
    NS_RETURN_IF_ERROR(tasks.RegisterBlob(digest));  // first: see blob_store.h
    NS_RETURN_IF_ERROR(blobs.PutFile(path, digest));
    outputs.push_back({name, digest});
  }
  return outputs;
}

}  // namespace nashswarm::server
