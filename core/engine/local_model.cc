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

absl::Status OfModel(const absl::Status& error, const std::string& given) {
  if (error.ok()) return error;
  std::string path = given;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();  // as a shell completes a directory
  const std::string message(error.message());
  if (message.starts_with(path + ":") || message.find(path + "/") != std::string::npos) return error;
  const std::string name = message.substr(0, message.find_first_of(" :,"));
  const bool is_file = name.find('.') != std::string::npos && !name.starts_with("/") && IsDirectory(path);
  return MakeError(error.code(), ReasonOf(error), is_file ? JoinPath(path, message) : absl::StrCat(path, ": ", message),
                   HintOf(error));
}

absl::Status NoSuchModel(const std::string& path) {
  const absl::Status error = ErrnoError(ENOENT, path);
  // ORG/NAME, with nothing that a path of this machine would have.
  const size_t slash = path.find('/');
  const bool two_parts = slash != std::string::npos && slash > 0 && slash + 1 < path.size() && path.find('/', slash + 1) == path.npos;
  const bool like_hub = two_parts && path.front() != '.' && path.front() != '~' && !path.ends_with(".gguf");
  if (!like_hub) return error;
  return MakeError(error.code(), ReasonOf(error), std::string(error.message()),
                   absl::StrCat("a model of the Hugging Face hub is written hf://", path, " (with nashswarm, which downloads it)"));
}

absl::StatusOr<LocalModel> LocalModel::Open(const std::string& path) {
  if (!PathExists(path)) return NoSuchModel(path);
  absl::StatusOr<LocalModel> model = OpenAt(path);
  return model.ok() ? std::move(model) : OfModel(model.status(), path);
}

absl::StatusOr<LocalModel> LocalModel::OpenAt(const std::string& path) {
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
  auto opened = gguf_ != nullptr ? tokenizer::OpenTokenizer(*gguf_) : tokenizer::OpenTokenizer(path_, checkpoint_->config());
  if (opened.ok()) return opened;
  return OfModel(ByGivenPath(opened.status()), given_path_);
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
