#include "core/pipeline/assemble.h"

#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/search_state.h"

namespace nashswarm::pipeline {
namespace {

struct Encoded {
  std::vector<std::string> parts;
  std::vector<Json> tensors;  // entries of shard-<shard>.json, by tensor
};

absl::StatusOr<Encoded> ReadShards(const Prepared& prepared, const std::string& in_dir) {
  Encoded encoded;
  encoded.tensors.resize(prepared.tensors.size());
  for (size_t shard = 0; shard < prepared.shards.size(); ++shard) {
    encoded.parts.push_back(JoinPath(in_dir, absl::StrCat("shard-", shard, ".bin")));
    const std::string file = absl::StrCat("shard-", shard, ".json");
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    for (const Json& entry : json.at("tensors")) encoded.tensors.at(entry.at("tensor").get<size_t>()) = entry;
  }
  return encoded;
}

std::vector<AssembledTensor> Describe(const Prepared& prepared, const Encoded& encoded, const Json& plan) {
  std::vector<AssembledTensor> tensors;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const Json& entry = encoded.tensors[t];
    AssembledTensor tensor{plan.at("tensors").at(t).at("format"), entry.at("bytes"), 0, entry.at("error"), entry.at("energy")};
    const auto weights = static_cast<double>(std::max<uint64_t>(prepared.tensors[t].weights(), 1));
    tensor.bits_per_weight = 8.0 * static_cast<double>(tensor.bytes) / weights;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<checkpoint::GgufTensor> GgufTensors(const Prepared& prepared, const std::vector<AssembledTensor>& assembled) {
  std::vector<checkpoint::GgufTensor> tensors;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    if (tensor.place > 0) continue;
    checkpoint::GgufTensor entry{tensor.stack, {tensor.row_weights, tensor.rows}, *quant::FormatByName(assembled[t].format), 0,
                                 tensor.stack_size * assembled[t].bytes};
    if (tensor.vector) entry.dims = {tensor.weights()};
    if (tensor.stack != tensor.name) entry.dims.push_back(tensor.stack_size);
    tensors.push_back(std::move(entry));
  }
  return tensors;
}

std::vector<artifact::NsqTensor> NsqIndex(const Prepared& prepared, const OpenModel& open, const Encoded& encoded) {
  const Calibrated none;
  const NsqInputs in{prepared, open, none, false, {}};
  std::vector<artifact::NsqTensor> index;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    index.push_back(IndexEntry(prepared.tensors[t], in.source(t)));
    index.back().bytes = encoded.tensors[t].at("bytes");
    index.back().crc = encoded.tensors[t].at("crc32");
  }
  return index;
}

}  // namespace

absl::StatusOr<Json> ReadPlan(const std::string& in_dir) {
  NS_ASSIGN_OR_RETURN(const std::optional<Json> searched, ReadLastSearch(in_dir));
  if (searched) return searched->at("plan");
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, "plan.json")));
  return ParseJson(text, "plan.json");
}

absl::StatusOr<Assembled> AssembleWeights(const Task& task, const Prepared& prepared, const OpenModel& open, const Json& plan,
                                          const std::string& directory, const std::function<void(uint64_t)>& progress) {
  NS_ASSIGN_OR_RETURN(const Encoded encoded, ReadShards(prepared, task.in_dir));
  Assembled assembled;
  assembled.tensors = Describe(prepared, encoded, plan);
  const bool nsq = prepared.format == "nsq";
  assembled.file_name = nsq ? artifact::kNsqFile : artifact::kGgufFile;
  const std::string path = JoinPath(directory, assembled.file_name);
  if (nsq) {
    NS_ASSIGN_OR_RETURN(assembled.file, artifact::WriteNsq(path, NsqIndex(prepared, open, encoded), encoded.parts, progress));
  } else {
    std::vector<std::string> ignored;  // PREPARE has told them
    NS_ASSIGN_OR_RETURN(const auto metadata, ArtifactMetadata(open, &ignored));
    NS_ASSIGN_OR_RETURN(assembled.file, artifact::WriteGguf(path, metadata, GgufTensors(prepared, assembled.tensors), encoded.parts, progress));
  }
  const uint64_t planned = plan.at("file_bytes"), bytes = assembled.file.bytes;
  if (nsq ? bytes > planned : bytes != planned) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat(assembled.file_name, " has ", bytes, " bytes, the plan promised ", planned));
  }
  return assembled;
}

}  // namespace nashswarm::pipeline
