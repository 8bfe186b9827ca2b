#include "core/route/expert_files.h"

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::route {
namespace {

using expert_cache::ByteRange;

class Builder {
 public:
  // Returns where the file begins.
  uint64_t Open(const std::string& path, uint64_t bytes) {
    for (const ExpertFiles::File& file : found_.files) {
      if (file.path == path) return file.begin;
    }
    const uint64_t begin = AlignUp(found_.layout.bytes, kFileAlignment);
    found_.files.push_back({path, begin, bytes});
    found_.layout.bytes = begin + bytes;
    return begin;
  }
  void Add(uint32_t layer, uint32_t expert, ByteRange part) {
    parts_[{layer, expert}].push_back(part);
    found_.layers = std::max(found_.layers, layer + 1);
    found_.experts = std::max(found_.experts, expert + 1);
  }
  absl::StatusOr<ExpertFiles> Build(const std::string& what) {
    if (parts_.empty()) return NoExperts(what);
    found_.layout.parts.resize(size_t{found_.layers} * found_.experts);
    for (auto& [place, parts] : parts_)
      found_.layout.parts[size_t{place.first} * found_.experts + place.second] = std::move(parts);
    return std::move(found_);
  }

 private:
  ExpertFiles found_;
  std::map<std::pair<uint32_t, uint32_t>, std::vector<ByteRange>> parts_;
};

// N of "blk.N.ffn_up_exps.weight".
uint32_t LayerOf(std::string_view name) {
  const std::vector<std::string> pieces = absl::StrSplit(ToAbsl(name), '.');
  uint32_t layer = 0;
  return pieces.size() > 1 && absl::SimpleAtoi(pieces[1], &layer) ? layer : 0;
}

}  // namespace

absl::Status NoExperts(const std::string& model) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_EXPERTS",
                   absl::StrCat(model, ": has no experts to route to"),
                   "routing needs a mixture of experts: mixtral, qwen2_moe, qwen3_moe or olmoe");
}

std::vector<uint64_t> ExpertFiles::sizes() const {
  std::vector<uint64_t> sizes;
  for (const std::vector<ByteRange>& parts : layout.parts) {
    uint64_t sum = 0;
    for (const ByteRange& part : parts) sum += part.bytes;
    sizes.push_back(sum);
  }
  return sizes;
}

absl::StatusOr<ExpertFiles> FindExperts(const checkpoint::Checkpoint& checkpoint, const model::Model& mapping) {
  Builder builder;
  for (const model::MappedTensor& tensor : mapping.tensors) {
    if (tensor.expert < 0 || tensor.layer < 0 || tensor.source == nullptr) continue;
    const std::string path = JoinPath(checkpoint.directory(), tensor.source->file);
    NS_ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(path));
    const uint64_t begin = builder.Open(path, bytes);
    builder.Add(static_cast<uint32_t>(tensor.layer), static_cast<uint32_t>(tensor.expert),
                {begin + tensor.source->offset, tensor.source->data.size()});
  }
  return builder.Build(checkpoint.directory());
}

absl::StatusOr<ExpertFiles> FindExperts(const std::string& path, uint64_t bytes, const checkpoint::GgufFile& gguf) {
  Builder builder;
  const uint64_t begin = builder.Open(path, bytes) + gguf.data_begin;
  for (const checkpoint::GgufTensor& tensor : gguf.tensors) {
    if (tensor.dims.size() != 3 || model::NameInStack(tensor.name, 0).empty()) continue;
    const uint64_t experts = tensor.dims[2], share = tensor.bytes / experts;
    for (uint64_t e = 0; e < experts; ++e) {
      builder.Add(LayerOf(tensor.name), static_cast<uint32_t>(e), {begin + tensor.offset + e * share, share});
    }
  }
  return builder.Build(path);
}

absl::StatusOr<ExpertFiles> FindExperts(const artifact::OpenNsq& artifact, const model::Model& mapping) {
  std::map<std::string_view, const model::MappedTensor*> by_name;
  for (const model::MappedTensor& tensor : mapping.tensors) by_name.emplace(tensor.source_name(), &tensor);
  Builder builder;
  const uint64_t begin = builder.Open(artifact.file->path(), artifact.file->bytes().size());
  for (const artifact::NsqTensor& tensor : artifact.tensors) {
    const auto it = by_name.find(tensor.name);
    if (it == by_name.end() || it->second->expert < 0 || it->second->layer < 0) continue;
    builder.Add(static_cast<uint32_t>(it->second->layer), static_cast<uint32_t>(it->second->expert),
                {begin + artifact.block_begin + tensor.offset, tensor.bytes});
  }
  return builder.Build(artifact.directory);
}

}  // namespace nashswarm::route
