#include "core/pipeline/prepared.h"

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

constexpr char kFile[] = "prepared.json";

}  // namespace

absl::StatusOr<OpenModel> OpenAndMap(const std::string& directory) {
  OpenModel open;
  NS_ASSIGN_OR_RETURN(open.checkpoint, checkpoint::Checkpoint::Open(directory));
  NS_ASSIGN_OR_RETURN(open.model, model::MapModel(*open.checkpoint));
  return open;
}

uint64_t PreparedTensor::AlignedBytes(quant::Format format) const {
  const uint64_t bytes = *quant::EncodedBytes(format, rows, row_weights);
  if (!ends_stack()) return bytes;
  return AlignUp(stack_size * bytes, checkpoint::kGgufAlignment) - (stack_size - 1) * bytes;
}

Json ToJson(const Prepared& prepared) {
  Json tensors = Json::array();
  for (const PreparedTensor& tensor : prepared.tensors) {
    Json formats = Json::array();
    for (const quant::Format format : tensor.formats) formats.push_back(quant::InfoOf(format).name);
    tensors.push_back({{"name", tensor.name}, {"source", tensor.source}, {"role", tensor.role},
                       {"rows", tensor.rows}, {"row_weights", tensor.row_weights}, {"vector", tensor.vector},
                       {"formats", std::move(formats)}, {"stack", tensor.stack}, {"place", tensor.place},
                       {"stack_size", tensor.stack_size}});
  }
  return {{"format", prepared.format},
          {"model_name", prepared.model_name},
          {"architecture", prepared.architecture},
          {"parameters", prepared.parameters},
          {"source_weight_bytes", prepared.source_weight_bytes},
          {"header_bytes", prepared.header_bytes},
          {"tensors", std::move(tensors)},
          {"shards", prepared.shards},
          {"warnings", prepared.warnings}};
}

absl::StatusOr<Prepared> ReadPrepared(const std::string& in_dir) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, kFile)));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, kFile));
  Prepared prepared;
  prepared.format = json.at("format");
  prepared.model_name = json.at("model_name");
  prepared.architecture = json.at("architecture");
  prepared.parameters = json.at("parameters");
  prepared.source_weight_bytes = json.at("source_weight_bytes");
  prepared.header_bytes = json.at("header_bytes");
  prepared.shards = json.at("shards").get<std::vector<std::pair<size_t, size_t>>>();
  prepared.warnings = json.at("warnings").get<std::vector<std::string>>();
  for (const Json& entry : json.at("tensors")) {
    PreparedTensor tensor{entry.at("name"), entry.at("source"), entry.at("role"), entry.at("rows"),
                          entry.at("row_weights"), entry.at("vector"), {}, entry.at("stack"), entry.at("place"),
                          entry.at("stack_size")};
    for (const Json& name : entry.at("formats")) tensor.formats.push_back(*quant::FormatByName(name.get<std::string>()));
    prepared.tensors.push_back(std::move(tensor));
  }
  return prepared;
}

}  // namespace nashswarm::pipeline
