#include "core/checkpoint/checkpoint.h"

#include <set>

#include "core/base/status.h"

namespace nashswarm::checkpoint {
namespace {

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr uint64_t kMaxJsonBytes = 256u << 20;  // config.json and index.json; the largest known index is 10 MB

absl::StatusOr<Json> ReadJson(const std::string& directory, const std::string& file) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory, file), kMaxJsonBytes));
  return ParseJson(text, file);
}

// The weight files an index names, in name order.
absl::StatusOr<std::set<std::string>> ShardsOf(const Json& weight_map) {
  if (!weight_map.is_object() || weight_map.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INDEX_INVALID",
                     absl::StrCat(kIndex, ": weight_map is not an object that names the shard of every tensor"));
  }
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map.items()) {
    if (!shard.is_string()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "INDEX_INVALID",
                       absl::StrCat(kIndex, ": the shard of tensor '", tensor, "' is not a string"));
    }
    NS_RETURN_IF_ERROR(Annotate(ValidateRelativePath(shard.get<std::string>()), kIndex));
    shards.insert(shard.get<std::string>());
  }
  return shards;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory) {
  if (!IsDirectory(directory)) {
    return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND",
                     absl::StrCat(directory, ": no such directory"),
                     "give the directory of a Hugging Face checkpoint (config.json and model.safetensors)");
  }
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->directory_ = directory;
  if (PathExists(JoinPath(directory, "config.json"))) {
    NS_ASSIGN_OR_RETURN(checkpoint->config_, ReadJson(directory, "config.json"));
    if (!checkpoint->config_.is_object()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", "config.json: not a JSON object");
    }
  }

  if (PathExists(JoinPath(directory, kSingle))) {
    NS_RETURN_IF_ERROR(checkpoint->AddWeightFile(kSingle));
  } else if (PathExists(JoinPath(directory, kIndex))) {
    NS_ASSIGN_OR_RETURN(const Json index, ReadJson(directory, kIndex));
    const Json weight_map = index.is_object() && index.contains("weight_map") ? index["weight_map"] : Json();
    NS_ASSIGN_OR_RETURN(const std::set<std::string> shards, ShardsOf(weight_map));
    for (const std::string& shard : shards) {
      if (!PathExists(JoinPath(directory, shard))) {
        return MakeError(absl::StatusCode::kInvalidArgument, "SHARD_MISSING",
                         absl::StrCat(kIndex, " names '", shard, "', which is not in ", directory),
                         "download the missing shard into the same directory");
      }
      NS_RETURN_IF_ERROR(checkpoint->AddWeightFile(shard));
    }
    NS_RETURN_IF_ERROR(checkpoint->CheckIndex(weight_map));
  } else {
    // Any other *.safetensors file is accepted, alone, so that a renamed download works.
    NS_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(directory));
    std::vector<std::string> found;
    for (const std::string& file : files) {
      if (file.ends_with(".safetensors")) found.push_back(file);
    }
    if (found.size() != 1) {
      return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND",
                       absl::StrCat(directory, ": has ", found.size(), " safetensors files and neither ", kSingle, " nor ",
                                    kIndex),
                       "give the directory of a Hugging Face checkpoint in safetensors format");
    }
    NS_RETURN_IF_ERROR(checkpoint->AddWeightFile(found[0]));
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
  for (const auto& [name, shard] : weight_map.items()) {
    const SourceTensor* tensor = Find(name);
    if (tensor == nullptr || tensor->file != shard.get<std::string>()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "SHARD_MISMATCH",
                       absl::StrCat(kIndex, " says tensor '", name, "' is in '", shard.get<std::string>(), "', it is ",
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
