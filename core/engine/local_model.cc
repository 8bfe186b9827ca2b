#include "core/engine/local_model.h"

#include <cerrno>
#include <filesystem>

#include "core/artifact/gguf_artifact.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::engine {

std::string ModelName(const std::string& path) {
  if (!IsDirectory(path)) return BaseName(path);
  return std::filesystem::weakly_canonical(std::filesystem::path(path) / "config.json").parent_path().filename().string();
}

absl::StatusOr<LocalModel> LocalModel::Open(const std::string& path) {
  if (!PathExists(path)) return ErrnoError(ENOENT, path);
  LocalModel model;
  model.path_ = model.given_path_ = path;
  if (!IsDirectory(path) || PathExists(JoinPath(path, artifact::kGgufFile))) {
    NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(path));
    model.gguf_ = std::make_shared<const checkpoint::GgufFile>(open.gguf);
    model.weight_bytes_ = open.bytes;
    model.gguf_parts_ = open.parts;
    model.weights_ = forward::WeightsOf(path, open.file, open.gguf);
    return model;
  }
  if (artifact::IsNsq(path)) NS_RETURN_IF_ERROR(model.UnpackFirst());
  NS_RETURN_IF_ERROR(model.ByGivenPath(model.OpenDirectory()));
  if (model.unpacked_ == nullptr) model.weight_bytes_ = model.checkpoint_->weight_bytes();
  model.weights_ = forward::WeightsOf(*model.checkpoint_, *model.mapping_);
  return model;
}

absl::Status LocalModel::OpenDirectory() {
  NS_ASSIGN_OR_RETURN(checkpoint_, checkpoint::Checkpoint::Open(path_));
  NS_ASSIGN_OR_RETURN(model::Model mapping, model::MapModel(*checkpoint_));
  mapping_ = std::make_unique<model::Model>(std::move(mapping));
  return absl::OkStatus();
}

absl::Status LocalModel::ByGivenPath(const absl::Status& status) const {
  if (status.ok() || unpacked_ == nullptr) return status;
  return MakeError(status.code(), ReasonOf(status), WithoutDirectory(ToStd(status.message()), unpacked_->path(), given_path_),
                   WithoutDirectory(HintOf(status), unpacked_->path(), given_path_));
}

absl::Status LocalModel::UnpackFirst() {
  NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(path_));
  NS_ASSIGN_OR_RETURN(TemporaryDirectory directory, TemporaryDirectory::Create());
  unpacked_ = std::make_shared<const TemporaryDirectory>(std::move(directory));
  weight_bytes_ = open.file->bytes().size();
  path_ = unpacked_->path();
  return artifact::Unpack(open, checkpoint::DType::kF32, path_, 0, [](uint64_t, uint64_t) {});
}

absl::StatusOr<std::unique_ptr<tokenizer::Tokenizer>> LocalModel::OpenTokenizer() const {
  if (gguf_ != nullptr) return tokenizer::OpenTokenizer(*gguf_);
  auto opened = tokenizer::OpenTokenizer(path_, checkpoint_->config());
  if (!opened.ok()) return ByGivenPath(opened.status());
  return opened;
}

absl::StatusOr<route::ExpertFiles> LocalModel::FindExperts() const {
  if (gguf_ != nullptr && gguf_parts_ > 1) {
    return MakeError(absl::StatusCode::kUnimplemented, "GGUF_SPLIT", absl::StrCat(path_, ": is split, and pages are counted in one file"),
                     absl::StrCat("make one file of it: llama-gguf-split --merge ", path_, " OUT.gguf"));
  }
  if (gguf_ != nullptr) {
    const std::string file = IsDirectory(path_) ? JoinPath(path_, artifact::kGgufFile) : path_;
    return route::FindExperts(file, weight_bytes_, *gguf_);
  }
  if (unpacked_ == nullptr) return route::FindExperts(*checkpoint_, *mapping_);
  NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(given_path_));
  return route::FindExperts(open, *mapping_);
}

}  // namespace nashswarm::engine
