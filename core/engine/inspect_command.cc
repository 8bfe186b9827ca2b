#include <cmath>
#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/artifact/gguf_artifact.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/engine/progress_line.h"
#include "core/engine/table.h"
#include "core/pipeline/open_model.h"

namespace nashswarm::engine {
namespace {

bool IsGguf(const std::string& path) {
  return !IsDirectory(path) || PathExists(JoinPath(path, artifact::kGgufFile));
}

std::string Shape(const std::vector<uint64_t>& sizes) { return absl::StrJoin(sizes, " x "); }

// Relative error per tensor name, from the manifest.
std::map<std::string, double> ErrorsOf(const artifact::OpenGguf& open) {
  std::map<std::string, double> errors;
  if (!open.manifest.has_value() || !open.manifest->contains("tensors")) return errors;
  for (const Json& tensor : (*open.manifest)["tensors"]) {
    errors[JsonString(tensor, "name")] = JsonDouble(tensor, "relative_error", 0);
  }
  return errors;
}

absl::StatusOr<Json> InspectGguf(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(path));
  const auto errors = ErrorsOf(open);
  Json tensors = Json::array();
  uint64_t weights = 0;
  for (const auto& tensor : open.gguf.tensors) {
    const uint64_t count = tensor.row_weights() * tensor.rows();
    weights += count;
    std::vector<uint64_t> shape(tensor.dims.rbegin(), tensor.dims.rend());
    Json entry = {{"name", tensor.name}, {"shape", shape}, {"format", quant::InfoOf(tensor.format).name},
                  {"bits_per_weight", quant::InfoOf(tensor.format).bits_per_weight()}, {"bytes", tensor.bytes}};
    if (const auto it = errors.find(tensor.name); it != errors.end()) entry["relative_error"] = it->second;
    tensors.push_back(std::move(entry));
  }
  const auto* architecture = open.gguf.Find("general.architecture");
  const bool named = architecture != nullptr && std::holds_alternative<std::string>(architecture->data);
  Json out = {{"path", path}, {"kind", "gguf"}, {"architecture", named ? std::get<std::string>(architecture->data) : "?"},
              {"weights", weights}, {"bytes", open.bytes}, {"header_bytes", open.gguf.data_begin},
              {"bits_per_weight", 8.0 * open.bytes / std::max<uint64_t>(weights, 1)},
              {"tensors", std::move(tensors)}};
  if (open.parts > 1) out["parts"] = open.parts;
  NS_ASSIGN_OR_RETURN(const artifact::ExpertOrders orders, artifact::ExpertOrdersOf(open.gguf, path));
  if (!orders.empty()) out["expert_order"] = orders;
  if (open.manifest.has_value()) {
    out["parameters"] = (*open.manifest)["source"]["parameters"];
    out["bits_per_weight"] = (*open.manifest)["result"]["bits_per_weight"];
    out["relative_error"] = (*open.manifest)["result"]["relative_error"];
  }
  return out;
}

std::string FormatOf(const artifact::NsqTensor& tensor) {
  return tensor.coded() ? "nsq" : std::string(checkpoint::NameOf(tensor.plain_dtype));
}

absl::StatusOr<Json> InspectNsq(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(path));
  std::map<std::string, double> errors;
  if (open.manifest.has_value() && open.manifest->contains("tensors")) {
    for (const Json& tensor : (*open.manifest)["tensors"]) {
      errors[JsonString(tensor, "stored_as", JsonString(tensor, "source"))] = JsonDouble(tensor, "relative_error", 0);
    }
  }
  Json tensors = Json::array();
  uint64_t weights = 0;
  for (const artifact::NsqTensor& tensor : open.tensors) {
    weights += tensor.weights();
    Json entry = {{"name", tensor.name}, {"shape", tensor.shape}, {"format", FormatOf(tensor)},
                  {"bits_per_weight", 8.0 * tensor.bytes / std::max<uint64_t>(tensor.weights(), 1)}, {"bytes", tensor.bytes}};
    if (tensor.coded()) {
      NS_ASSIGN_OR_RETURN(const nsq::Stream stream, open.StreamOf(tensor));
      entry["tiles"] = stream.grid().tiles();
      entry["contexts"] = stream.grid().contexts();
      entry["header_bytes"] = stream.header_bytes();
    }
    if (const auto it = errors.find(tensor.name); it != errors.end()) entry["relative_error"] = it->second;
    tensors.push_back(std::move(entry));
  }
  Json out = {{"path", path}, {"kind", "nsq"}, {"architecture", "?"}, {"weights", weights}, {"bytes", open.file->bytes().size()},
              {"header_bytes", open.block_begin},
              {"bits_per_weight", 8.0 * open.file->bytes().size() / std::max<uint64_t>(weights, 1)}, {"tensors", std::move(tensors)}};
  NS_ASSIGN_OR_RETURN(const artifact::ExpertOrders orders, artifact::ExpertOrdersOf(open));
  if (!orders.empty()) out["expert_order"] = orders;
  if (open.manifest.has_value()) {
    out["architecture"] = (*open.manifest)["source"]["architecture"];
    out["parameters"] = (*open.manifest)["source"]["parameters"];
    out["bits_per_weight"] = (*open.manifest)["result"]["bits_per_weight"];
    out["relative_error"] = (*open.manifest)["result"]["relative_error"];
  }
  return out;
}

absl::StatusOr<Json> InspectCheckpoint(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const auto checkpoint, checkpoint::Checkpoint::Open(path));
  Json tensors = Json::array();
  uint64_t weights = 0;
  for (const auto& tensor : checkpoint->tensors()) {
    weights += tensor.elements();
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}, {"format", checkpoint::NameOf(tensor.dtype)},
                       {"bits_per_weight", 8.0 * checkpoint::BytesOf(tensor.dtype)}, {"bytes", tensor.data.size()}});
  }
  Json out = {{"path", path}, {"kind", "checkpoint"}, {"weights", weights}, {"bytes", checkpoint->weight_bytes()},
              {"bits_per_weight", 8.0 * checkpoint->weight_bytes() / std::max<uint64_t>(weights, 1)},
              {"tensors", std::move(tensors)}};
  const auto model = model::MapModel(*checkpoint);
  out["architecture"] = model.ok() ? model->architecture : JsonString(checkpoint->config(), "model_type", "?");
  if (model.ok()) {
    out["parameters"] = model->parameters;
    out["warnings"] = model->warnings;
  } else {
    out["warnings"] = {std::string(model.status().message())};
  }
  return out;
}

void Print(const Json& info) {
  Table table({"tensor", "shape", "format", ">bits", ">bytes", ">relative error"});
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_format;  // tensors, bytes
  for (const Json& tensor : info["tensors"]) {
    const std::string format = tensor["format"];
    by_format[format].first += 1;
    by_format[format].second += tensor["bytes"].get<uint64_t>();
    table.Add({tensor["name"], Shape(tensor["shape"]), format, absl::StrFormat("%.4g", tensor["bits_per_weight"].get<double>()),
               absl::StrCat(tensor["bytes"].get<uint64_t>()),
               tensor.contains("relative_error") ? absl::StrFormat("%.3e", tensor["relative_error"].get<double>()) : ""});
  }
  std::cout << table.ToString() << "\n";
  Table formats({"format", ">tensors", ">bytes", ">share"});
  for (const auto& [format, sums] : by_format) {
    formats.Add({format, absl::StrCat(sums.first), absl::StrCat(sums.second),
                 absl::StrFormat("%.1f %%", 100.0 * sums.second / std::max<uint64_t>(info["bytes"].get<uint64_t>(), 1))});
  }
  std::cout << formats.ToString() << "\n";
  std::cout << Paragraph(absl::StrFormat("%s, architecture %s, %d weights in %d tensors, %d bytes, %.4f bits a weight",
                               info["kind"].get<std::string>(), info["architecture"].get<std::string>(),
                               info.contains("parameters") ? info["parameters"].get<uint64_t>() : info["weights"].get<uint64_t>(),
                               info["tensors"].size(), info["bytes"].get<uint64_t>(), info["bits_per_weight"].get<double>()));
  if (info.contains("relative_error")) {
    std::cout << absl::StrFormat("relative squared error of the matrices %.3e\n", info["relative_error"].get<double>());
  }
  if (info.contains("expert_order")) {
    for (size_t layer = 0; layer < info["expert_order"].size(); ++layer) {
      std::cout << Paragraph(absl::StrFormat("experts of layer %d, by their numbers in the checkpoint: %s", layer,
                                   absl::StrJoin(info["expert_order"][layer].get<std::vector<int>>(), " ")));
    }
  }
  for (const Json& warning : info.value("warnings", Json::array())) std::cout << "warning: " << warning.get<std::string>() << "\n";
}

absl::Status VerifyCheckpoint(const std::string& path, int threads) {
  NS_ASSIGN_OR_RETURN(const auto checkpoint, checkpoint::Checkpoint::Open(path));
  return ParallelFor(ResolveThreads(threads), checkpoint->tensors().size(), [&](uint64_t t) -> absl::Status {
    const auto& tensor = checkpoint->tensors()[t];
    if (!checkpoint::IsWeight(tensor.dtype)) return absl::OkStatus();
    constexpr uint64_t kPiece = 1u << 16;
    std::vector<float> values(kPiece);
    const uint64_t element = checkpoint::BytesOf(tensor.dtype);
    for (uint64_t begin = 0; begin < tensor.elements(); begin += kPiece) {
      const uint64_t count = std::min(kPiece, tensor.elements() - begin);
      checkpoint::ToFloat(tensor.dtype, tensor.data.data() + begin * element, count, values.data());
      for (uint64_t i = 0; i < count; ++i) {
        if (std::isfinite(values[i])) continue;
        return MakeError(absl::StatusCode::kDataLoss, "NON_FINITE_WEIGHTS",
                         absl::StrCat(tensor.file, ": tensor '", tensor.name, "' has a NaN or infinite weight at ", begin + i));
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace

int RunInspect(const std::string& path, bool json) {
  if (!PathExists(path)) return ReportError(NoSuchModel(path), json);
  const absl::StatusOr<Json> info = IsGguf(path) ? InspectGguf(path) : artifact::IsNsq(path) ? InspectNsq(path) : InspectCheckpoint(path);
  if (!info.ok()) return ReportError(OfModel(info.status(), path), json);
  if (json) std::cout << info->dump(1) << "\n";
  else Print(*info);
  return 0;
}

int RunVerify(const std::string& path, int threads, bool json) {
  if (!PathExists(path)) return ReportError(NoSuchModel(path), json);
  absl::Status status;
  bool has_digest = false;
  size_t parts = 1;
  if (IsGguf(path)) {
    const auto open = artifact::Open(path);
    status = open.ok() ? artifact::Verify(*open, threads, [](uint64_t, uint64_t) {}) : open.status();
    has_digest = open.ok() && open->manifest.has_value();
    parts = open.ok() ? open->parts : 1;
  } else if (artifact::IsNsq(path)) {
    ProgressLine line;
    const auto open = artifact::ReadNsq(path);
    status = open.ok() ? artifact::Verify(*open, threads, [&line](uint64_t done, uint64_t total) { line.Show("verifying", done, total); })
                       : open.status();
    has_digest = open.ok() && open->manifest.has_value();
  } else {
    status = VerifyCheckpoint(path, threads);
  }
  if (!status.ok()) return ReportError(OfModel(status, path), json);
  if (json) std::cout << Json{{"path", path}, {"ok", true}, {"digest_checked", has_digest}}.dump() << "\n";
  else std::cout << path << ": ok (structure and values" << (has_digest ? ", SHA-256 of the manifest" : "")
                 << (parts > 1 ? absl::StrCat(", of all ", parts, " parts") : "") << ")\n";
  return 0;
}

}  // namespace nashswarm::engine
