// A model on this machine, ready to run: a checkpoint directory, an artifact directory or any GGUF file. An nsq artifact is
// unpacked into a temporary directory first.
#ifndef NASHSWARM_CORE_ENGINE_LOCAL_MODEL_H_
#define NASHSWARM_CORE_ENGINE_LOCAL_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf.h"
#include "core/forward/weights.h"
#include "core/model/architecture.h"
#include "core/route/expert_files.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::engine {

// What to call the model at `path`: its file or directory, whatever way the path takes there.
std::string ModelName(const std::string& path);

// The error of a model at `path`, in the user's terms: behind its path, unless it names it already. Readers of a checkpoint name its
// files as they are within it.
absl::Status OfModel(const absl::Status& error, const std::string& path);
// NOT_FOUND / FILE_NOT_FOUND; a name that could be one of the hub gets a hint.
absl::Status NoSuchModel(const std::string& path);

class LocalModel {
 public:
  // Reads headers and hyperparameters. NOT_FOUND when there is nothing at `path`.
  static absl::StatusOr<LocalModel> Open(const std::string& path);

  const std::shared_ptr<const forward::Weights>& weights() const { return weights_; }
  bool is_checkpoint() const { return checkpoint_ != nullptr; }
  const model::Model& mapping() const { return *mapping_; }  // of a checkpoint only
  uint64_t weight_bytes() const { return weight_bytes_; }    // of the weight files
  absl::StatusOr<std::unique_ptr<tokenizer::Tokenizer>> OpenTokenizer() const;
  // In the files as they are on disk; of an nsq artifact coded, not unpacked. UNIMPLEMENTED / GGUF_SPLIT of a split GGUF model.
  absl::StatusOr<route::ExpertFiles> FindExperts() const;

 private:
  static absl::StatusOr<LocalModel> OpenAt(const std::string& path);
  absl::Status UnpackFirst();
  absl::Status OpenDirectory();
  // The error without the directory that an artifact was unpacked to.
  absl::Status ByGivenPath(const absl::Status& status) const;

  std::string path_;        // of an nsq artifact: of what it was unpacked to
  std::string given_path_;
  std::shared_ptr<const TemporaryDirectory> unpacked_;  // of an nsq artifact; goes with the model
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  std::unique_ptr<model::Model> mapping_;           // points into the checkpoint
  std::shared_ptr<const checkpoint::GgufFile> gguf_;
  size_t gguf_parts_ = 1;
  std::shared_ptr<const forward::Weights> weights_;  // points into the two above
  uint64_t weight_bytes_ = 0;
};

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_LOCAL_MODEL_H_
