#include "core/pipeline/assemble.h"

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

struct Encoded {
  std::vector<std::string> parts;
  std::vector<MeasuredError> tensors;
};

absl::StatusOr<Encoded> ReadShards(const Prepared& prepared, const std::string& in_dir) {
  Encoded encoded;
  encoded.tensors.resize(prepared.tensors.size());
  for (size_t shard = 0; shard < prepared.shards.size(); ++shard) {
    encoded.parts.push_back(JoinPath(in_dir, absl::StrCat("shard-", shard, ".bin")));
    const std::string file = absl::StrCat("shard-", shard, ".json");
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    for (const Json& entry : json.at("tensors")) {
      encoded.tensors.at(entry.at("tensor").get<size_t>()) = {entry.at("error"), entry.at("energy")};
    }
  }
  return encoded;
}

std::vector<checkpoint::GgufTensor> ArtifactTensors(const Prepared& prepared, const Json& plan) {
  std::vector<checkpoint::GgufTensor> tensors;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    const auto format = *quant::FormatByName(plan.at("tensors").at(t).at("format").get<std::string>());
    checkpoint::GgufTensor entry{tensor.name, {tensor.row_weights, tensor.rows}, format, 0,
                                 *quant::EncodedBytes(format, tensor.rows, tensor.row_weights)};
    if (tensor.vector) entry.dims = {tensor.weights()};
    tensors.push_back(std::move(entry));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<Json> ReadPlan(const std::string& in_dir) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, "plan.json")));
  return ParseJson(text, "plan.json");
}

absl::StatusOr<Assembled> AssembleGguf(const Task& task, const Prepared& prepared, const OpenModel& open, const Json& plan,
                                       const std::string& path, const std::function<void(uint64_t)>& progress) {
  NS_ASSIGN_OR_RETURN(Encoded encoded, ReadShards(prepared, task.in_dir));
  std::vector<std::string> ignored;  // PREPARE has told them
  NS_ASSIGN_OR_RETURN(const auto metadata, ArtifactMetadata(open, &ignored));
  Assembled assembled;
  assembled.tensors = ArtifactTensors(prepared, plan);
  assembled.errors = std::move(encoded.tensors);
  NS_ASSIGN_OR_RETURN(assembled.file, artifact::WriteGguf(path, metadata, assembled.tensors, encoded.parts, progress));
  if (const uint64_t planned = plan.at("file_bytes"); assembled.file.bytes != planned) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat("model.gguf has ", assembled.file.bytes, " bytes, the plan promised ", planned));
  }
  return assembled;
}

}  // namespace nashswarm::pipeline
