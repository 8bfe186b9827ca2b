// ModelStore: what whoever shows models and artifacts needs of the store. What every part of the store promises: store.h.
#ifndef NASHSWARM_SERVER_STORE_MODEL_STORE_H_
#define NASHSWARM_SERVER_STORE_MODEL_STORE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/store/blob_store.h"
#include "server/store/page.h"

namespace nashswarm::server {

class ModelStore {
 public:
  virtual ~ModelStore() = default;

  // ---- models. Unknown id: NOT_FOUND / MODEL_NOT_FOUND.

  virtual absl::StatusOr<v1::Model> GetModel(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<Page<v1::Model>> ListModels(const std::string& tenant, const PageRequest& page) = 0;
  // FAILED_PRECONDITION / MODEL_IN_USE while an unfinished job works on it or reads it as data.
  virtual absl::Status DeleteModel(const std::string& tenant, const std::string& id) = 0;

  // ---- artifacts. Unknown id: NOT_FOUND / ARTIFACT_NOT_FOUND.

  virtual absl::StatusOr<v1::Artifact> GetArtifact(const std::string& tenant, const std::string& id) = 0;
  virtual absl::StatusOr<Page<v1::Artifact>> ListArtifacts(const std::string& tenant, const PageRequest& page) = 0;
  virtual absl::Status DeleteArtifact(const std::string& tenant, const std::string& id) = 0;
  // The file `path` of "models/{id}" or "artifacts/{id}". NOT_FOUND / FILE_NOT_FOUND when the owner has no such file.
  virtual absl::StatusOr<BlobDigest> FindFile(const std::string& tenant, const std::string& owner,
                                              const std::string& path) = 0;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_MODEL_STORE_H_
