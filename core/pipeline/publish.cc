// PUBLISH: header and shards become model.gguf; everything that was decided and measured goes into manifest.json.
#include <algorithm>
#include <cmath>

#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

struct Measured {
  double error = 0, energy = 0;
  double relative() const { return energy > 0 ? error / energy : 0; }
};

struct Encoded {
  std::vector<std::string> parts;
  std::vector<Measured> tensors;
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

Json ManifestTensors(const Prepared& prepared, const std::vector<checkpoint::GgufTensor>& tensors, const Json& plan,
                     const std::vector<Measured>& measured) {
  Json out = Json::array();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    out.push_back({{"name", tensor.name},
                   {"source", tensor.source},
                   {"role", tensor.role},
                   {"format", quant::InfoOf(tensors[t].format).name},
                   {"rows", tensor.rows},
                   {"row_weights", tensor.row_weights},
                   {"bytes", tensors[t].bytes},
                   {"bits_per_weight", quant::InfoOf(tensors[t].format).bits_per_weight()},
                   {"relative_error", measured[t].relative()},
                   {"loss_weight", plan.at("tensors").at(t).at("loss_weight")}});
  }
  return out;
}

}  // namespace

absl::StatusOr<Json> Publish(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(task.in_dir, "plan.json")));
  NS_ASSIGN_OR_RETURN(Json plan, ParseJson(text, "plan.json"));
  NS_ASSIGN_OR_RETURN(const Encoded encoded, ReadShards(prepared, task.in_dir));

  std::vector<std::string> ignored;  // PREPARE has told them
  NS_ASSIGN_OR_RETURN(const auto metadata, ArtifactMetadata(open, &ignored));
  const std::vector<checkpoint::GgufTensor> tensors = ArtifactTensors(prepared, plan);
  const uint64_t planned = plan.at("file_bytes");
  const std::string artifact_dir = JoinPath(task.out_dir, "artifact");
  NS_RETURN_IF_ERROR(MakeDirectories(artifact_dir));
  NS_ASSIGN_OR_RETURN(const artifact::WrittenFile written,
                      artifact::WriteGguf(JoinPath(artifact_dir, artifact::kGgufFile), metadata, tensors, encoded.parts,
                                          [&](uint64_t bytes) { task.observer->Progress(bytes, planned, ""); }));
  if (written.bytes != planned) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat("model.gguf has ", written.bytes, " bytes, the plan promised ", planned));
  }

  Measured total;  // over the matrices; vectors are exact
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (prepared.tensors[t].vector) continue;
    total.error += encoded.tensors[t].error;
    total.energy += encoded.tensors[t].energy;
  }
  const double bytes = static_cast<double>(written.bytes), parameters = static_cast<double>(prepared.parameters);
  const Json summary = {{"output_bytes", written.bytes},
                        {"bits_per_weight", 8 * bytes / parameters},
                        {"ratio_fp32", 1 - bytes / (4 * parameters)},
                        {"ratio_source", 1 - bytes / static_cast<double>(prepared.source_weight_bytes)},
                        {"relative_error", total.relative()},
                        {"parameters", prepared.parameters},
                        {"warnings", prepared.warnings},
                        {"plan_summary", plan.at("summary")}};
  Json plan_summary = plan;
  plan_summary.erase("tensors");
  OrderedJson manifest = {
      {"schema", artifact::kManifestSchema},
      {"engine", "nashswarm " NASHSWARM_VERSION},
      {"source", {{"digest", task.source_digest}, {"weight_bytes", prepared.source_weight_bytes},
                  {"architecture", prepared.architecture}, {"parameters", prepared.parameters}}},
      {"artifact", {{"file", artifact::kGgufFile}, {"bytes", written.bytes}, {"sha256", ToHex(written.sha256)}}},
      {"result", summary},
      {"plan", plan_summary},
      {"tensors", ManifestTensors(prepared, tensors, plan, encoded.tensors)}};
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(artifact_dir, artifact::kManifestFile), manifest.dump(1) + "\n"));
  return summary;
}

}  // namespace nashswarm::pipeline
