#include "core/checkpoint/checkpoint.h"

#include "absl/strings/match.h"
#include "core/base/status.h"
#include "core/checkpoint/lfs_pointer.h"
#include "core/checkpoint/weight_files.h"

namespace nashswarm::checkpoint {
namespace {

constexpr uint64_t kMaxJsonBytes = 256u << 20;  // of config.json

absl::StatusOr<Json> ReadConfig(const std::string& directory) {
  if (!PathExists(JoinPath(directory, "config.json"))) return Json::object();
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory, "config.json"), kMaxJsonBytes));
  NS_ASSIGN_OR_RETURN(Json config, ParseJson(text, "config.json"));
  if (config.is_object()) return config;
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", "config.json: not a JSON object");
}

// A file where a directory is wanted.
absl::Status RefuseFile(const std::string& path) {
  const bool gguf = absl::EndsWithIgnoreCase(path, ".gguf");
  return MakeError(absl::StatusCode::kFailedPrecondition, gguf ? "GGUF_AS_SOURCE" : "NOT_A_DIRECTORY",
                   absl::StrCat(path, gguf ? ": is a GGUF file, not a checkpoint" : ": is a file, not the directory of a checkpoint"),
                   gguf ? "give the original safetensors checkpoint; the weights of a GGUF file are already quantized"
                        : "give the directory that holds it, with config.json and the tokenizer beside the weights");
}

// What may be tied to the embedding, and is then left out of the shards though an index may name it.
bool IsHead(const std::string& name) { return name == "lm_head.weight" || absl::EndsWith(name, ".lm_head.weight"); }

// Parameters that only adapters have.
bool IsOfAdapter(const std::string& name) {
  return absl::StrContains(name, "lora_A") || absl::StrContains(name, "lora_B") || absl::StrContains(name, "lora_embedding_") ||
         absl::StrContains(name, "lora_magnitude_vector") || absl::StrContains(name, ".ia3_l") || name == "prompt_embeddings";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory) {
  if (PathExists(directory) && !IsDirectory(directory)) return RefuseFile(directory);
  if (!IsDirectory(directory)) {
    return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND",
                     absl::StrCat(directory, ": no such directory"),
                     "give the directory of a Hugging Face checkpoint (config.json and model.safetensors)");
  }
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->directory_ = directory;
  NS_RETURN_IF_ERROR(CheckNoLfsPointers(directory));
  NS_ASSIGN_OR_RETURN(checkpoint->config_, ReadConfig(directory));
  absl::StatusOr<WeightFiles> files = FindWeightFiles(directory);
  if (!files.ok()) return Annotate(files.status(), directory);
  for (const std::string& file : files->names) NS_RETURN_IF_ERROR(checkpoint->AddWeightFile(file));
  if (!files->weight_map.is_null()) NS_RETURN_IF_ERROR(checkpoint->CheckIndex(files->weight_map));
  for (const SourceTensor& tensor : checkpoint->tensors_) {
    if (IsOfAdapter(tensor.name)) return RefuseAdapter(directory, absl::StrCat(tensor.file, ": tensor '", tensor.name, "'"));
  }
  if (PathExists(JoinPath(directory, kAdapterConfig))) {
    checkpoint->warnings_.push_back("there is an adapter (adapter_config.json) beside the weights: it is left out, as it is not merged");
  }
  return checkpoint;
}

absl::Status Checkpoint::AddWeightFile(const std::string& file) {
  NS_ASSIGN_OR_RETURN(auto mapping, MappedFile::Open(JoinPath(directory_, file)));
  NS_ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensors(mapping->bytes(), file));
  for (TensorEntry& entry : header.tensors) {
    const auto [it, inserted] = by_name_.emplace(entry.name, tensors_.size());
    if (!inserted) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TENSOR_DUPLICATE",
                       absl::StrCat("tensor '", entry.name, "' is in both ", tensors_[it->second].file, " and ", file));
    }
    tensors_.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape), file, entry.begin,
                        mapping->bytes().subspan(entry.begin, entry.end - entry.begin)});
  }
  weight_bytes_ += mapping->bytes().size();
  mappings_.push_back(std::move(mapping));
  return absl::OkStatus();
}

absl::Status Checkpoint::CheckIndex(const Json& weight_map) const {
  // An untied head that the index names and no shard has is lost.
  const bool may_lack_head = JsonBool(config_, "tie_word_embeddings", true);
  for (const auto& [name, shard] : weight_map.items()) {
    const SourceTensor* tensor = Find(name);
    if (tensor == nullptr && may_lack_head && IsHead(name)) continue;
    if (tensor == nullptr || tensor->file != shard.get<std::string>()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "SHARD_MISMATCH",
                       absl::StrCat(kIndexFile, " says tensor '", name, "' is in '", shard.get<std::string>(), "', it is ",
                                    tensor == nullptr ? "in no shard" : absl::StrCat("in '", tensor->file, "'")),
                       "the shards and the index are of different downloads: fetch them together");
    }
  }
  return absl::OkStatus();
}

const SourceTensor* Checkpoint::Find(std::string_view name) const {
  const auto it = by_name_.find(ToAbsl(name));
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace nashswarm::checkpoint
