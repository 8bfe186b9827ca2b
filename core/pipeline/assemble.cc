#include "core/pipeline/assemble.h"

#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/search_state.h"

namespace nashswarm::pipeline {
namespace {

using artifact::Piece;

quant::Format FormatIn(const Json& plan, size_t tensor) {
  return *quant::FormatByName(plan.at("tensors").at(tensor).at("format").get<std::string>());
}

// By tensor: its entry of shard-<shard>.json, and where its bytes are, with those that align what follows behind them.
struct Encoded {
  std::vector<Json> tensors;
  std::vector<Piece> data, padding;
};

absl::StatusOr<Encoded> ReadShards(const Prepared& prepared, const Json& plan, const std::string& in_dir) {
  Encoded encoded;
  encoded.tensors.resize(prepared.tensors.size());
  for (size_t shard = 0; shard < prepared.shards.size(); ++shard) {
    const std::string part = JoinPath(in_dir, absl::StrCat("shard-", shard, ".bin"));
    const std::string file = absl::StrCat("shard-", shard, ".json");
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    for (const Json& entry : json.at("tensors")) encoded.tensors.at(entry.at("tensor").get<size_t>()) = entry;
    uint64_t offset = 0;
    for (size_t t = prepared.shards[shard].first; t < prepared.shards[shard].second; ++t) {
      const uint64_t bytes = encoded.tensors[t].at("bytes");
      uint64_t aligned = bytes;
      if (prepared.format == "gguf") aligned = prepared.tensors[t].AlignedBytes(FormatIn(plan, t));
      encoded.data.emplace_back(part, offset, bytes);
      encoded.padding.emplace_back(part, offset + bytes, aligned - bytes);
      offset += aligned;
    }
    NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(part));
    if (size != offset) {
      return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                       absl::StrCat(part, ": has ", size, " bytes, its tensors have ", offset));
    }
  }
  return encoded;
}

// What the file's data are made of, in order.
std::vector<Piece> PiecesOf(const Prepared& prepared, const Encoded& encoded, const ExpertLayout& layout) {
  std::vector<Piece> pieces;
  const auto add = [&pieces](const std::string& path, uint64_t begin, uint64_t bytes) {
    if (bytes == 0) return;
    Piece* last = pieces.empty() ? nullptr : &pieces.back();
    if (last != nullptr && last->path == path && last->begin + last->bytes == begin) {
      last->bytes += bytes;  // one long piece is copied faster than many
    } else {
      pieces.emplace_back(path, begin, bytes);
    }
  };
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const Piece &data = encoded.data[layout.DataOf(t)], &padding = encoded.padding[t];
    const std::vector<uint32_t>& rows = layout.RowsOf(t);
    if (rows.empty()) add(data.path, data.begin, data.bytes);
    for (const uint32_t row : rows) add(data.path, data.begin + row * (data.bytes / rows.size()), data.bytes / rows.size());
    add(padding.path, padding.begin, padding.bytes);
  }
  return pieces;
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

// Of a router whose rows are reordered.
absl::StatusOr<uint32_t> ChecksumOf(const Piece& data, const std::vector<uint32_t>& rows) {
  NS_ASSIGN_OR_RETURN(const auto mapping, MappedFile::Open(data.path));
  const uint64_t row_bytes = data.bytes / rows.size();
  std::vector<uint8_t> bytes;
  bytes.reserve(data.bytes);
  for (const uint32_t row : rows) {
    const auto piece = mapping->bytes().subspan(data.begin + row * row_bytes, row_bytes);
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  }
  return coding::Crc32(bytes);
}

// An entry has the name of its place, and says all else of the tensor that lies there.
absl::StatusOr<std::vector<artifact::NsqTensor>> NsqIndex(const Prepared& prepared, const OpenModel& open,
                                                          const Encoded& encoded, const ExpertLayout& layout) {
  const Calibrated none;
  const NsqInputs in{prepared, open, none, false, {}};
  std::vector<artifact::NsqTensor> index;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const size_t data = layout.DataOf(t);
    index.push_back(IndexEntry(prepared.tensors[data], in.source(data)));
    index.back().name = prepared.tensors[t].source;
    index.back().bytes = encoded.tensors[data].at("bytes");
    index.back().crc = encoded.tensors[data].at("crc32");
    if (layout.RowsOf(t).empty()) continue;
    NS_ASSIGN_OR_RETURN(index.back().crc, ChecksumOf(encoded.data[t], layout.RowsOf(t)));
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
  NS_ASSIGN_OR_RETURN(const Encoded encoded, ReadShards(prepared, plan, task.in_dir));
  const artifact::ExpertOrders orders = OrdersIn(plan);
  const ExpertLayout layout(open.model, prepared, orders);
  const std::vector<Piece> pieces = PiecesOf(prepared, encoded, layout);
  Assembled assembled;
  assembled.tensors = Describe(prepared, encoded, plan);
  const bool nsq = prepared.format == "nsq";
  assembled.file_name = nsq ? artifact::kNsqFile : artifact::kGgufFile;
  const std::string path = JoinPath(directory, assembled.file_name);
  if (nsq) {
    NS_ASSIGN_OR_RETURN(const std::vector<artifact::NsqTensor> index, NsqIndex(prepared, open, encoded, layout));
    NS_ASSIGN_OR_RETURN(assembled.file, artifact::WriteNsq(path, index, pieces, progress));
  } else {
    NS_ASSIGN_OR_RETURN(GgufHead head, MakeGgufHead(open, HeadOptionsOf(task.spec)));  // PREPARE has told its warnings
    artifact::AppendExpertOrders(orders, &head.metadata);
    const std::vector<checkpoint::GgufTensor> tensors = GgufTensors(prepared, assembled.tensors);
    SetFileType(tensors, &head.metadata);
    NS_ASSIGN_OR_RETURN(assembled.file, artifact::WriteGguf(path, head.metadata, tensors, pieces, progress));
  }
  const uint64_t planned = plan.at("file_bytes"), bytes = assembled.file.bytes;
  if (nsq ? bytes > planned : bytes != planned) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat(assembled.file_name, " has ", bytes, " bytes, the plan promised ", planned));
  }
  return assembled;
}

}  // namespace nashswarm::pipeline
