#include "core/checkpoint/quantized.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::checkpoint {
namespace {

// Ends of names that only a method's own tensors have. The first that any tensor has decides.
struct Mark {
  std::string_view ending, method;
};
constexpr Mark kMarks[] = {
    {".g_idx", "gptq"},                     // beside qweight, qzeros and scales
    {".qzeros", "awq"},
    {".qweight", "gptq"},
    {".weight_packed", "compressed-tensors"},
    {".weight.quant_map", "bitsandbytes"},
    {".weight.absmax", "bitsandbytes"},
    {".SCB", "bitsandbytes"},
    {".weight_scale_2", "modelopt"},
    {".weight_scale_inv", "fp8"},
    {".weight_scale", "fp8"},
    {".q_scale", "exl2"},
    {".trellis", "exl3"},
    {".codebooks", "aqlm"},
    {".Qidxs", "quip"},
    {".W_q", "hqq"},
    {".weight._data", "quanto"},
    {"_proj_blocks", "mxfp4"},
};

bool IsFloat8(DType dtype) {
  return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2 || dtype == DType::kF8E8M0 || dtype == DType::kF8E4M3Fnuz ||
         dtype == DType::kF8E5M2Fnuz;
}

struct Evidence {
  std::string method, tensor;
};

// What the tensors show; an empty method when they are plain numbers.
Evidence EvidenceIn(const Checkpoint& checkpoint) {
  for (const Mark& mark : kMarks) {
    for (const SourceTensor& tensor : checkpoint.tensors()) {
      if (absl::EndsWith(tensor.name, ToAbsl(mark.ending))) return {std::string(mark.method), tensor.name};
    }
  }
  for (const SourceTensor& tensor : checkpoint.tensors()) {
    if (IsFloat8(tensor.dtype)) return {"fp8", tensor.name};
    const bool matrix = tensor.shape.size() == 2 && absl::EndsWith(tensor.name, ".weight");
    if (matrix && !IsWeight(tensor.dtype) && tensor.dtype != DType::kBool) {
      return {tensor.dtype == DType::kU32 ? "mlx" : std::string(NameOf(tensor.dtype)), tensor.name};
    }
  }
  return {};
}

std::string MethodIn(const Json& config, const char* key) {
  const auto it = config.is_object() ? config.find(key) : config.end();
  if (it == config.end() || !it->is_object()) return {};
  return JsonString(*it, "quant_method", JsonString(*it, "quant_algo", key));
}

// The method by the files that name it; "" when none does.
std::string MethodSaid(const Checkpoint& checkpoint) {
  for (const char* key : {"quantization_config", "compression_config", "quantization"}) {
    if (std::string method = MethodIn(checkpoint.config(), key); !method.empty()) return method == "quantization" ? "mlx" : method;
  }
  constexpr std::pair<const char*, const char*> kFiles[] = {
      {"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}, {"hf_quant_config.json", "modelopt"}};
  for (const auto& [file, method] : kFiles) {
    const auto text = ReadFile(JoinPath(checkpoint.directory(), file), 1u << 20);
    if (!text.ok()) continue;
    const auto json = ParseJson(*text, file);
    return json.ok() ? JsonString(*json, "quant_method", method) : method;
  }
  return {};
}

}  // namespace

absl::Status RefuseQuantized(const Checkpoint& checkpoint, std::vector<std::string>* warnings) {
  const std::string said = MethodSaid(checkpoint);
  if (said == "nashswarm") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NSQ_AS_SOURCE",
                     "config.json: this is an nsq artifact, which nashswarm has compressed already",
                     "give the original checkpoint; or unpack it first: nashswarm unpack DIR -o OUT, then give OUT");
  }
  const Evidence evidence = EvidenceIn(checkpoint);
  if (evidence.method.empty()) {
    if (!said.empty()) {
      warnings->push_back(absl::StrCat("config.json speaks of quantization by ", said, ", but all weights are plain numbers: they are taken as they are"));
    }
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_QUANTIZED",
                   absl::StrCat("the checkpoint is already quantized (", said.empty() ? evidence.method : said, "): tensor '",
                                evidence.tensor, "'"),
                   "give the original checkpoint: what a first quantization lost cannot be had back");
}

}  // namespace nashswarm::checkpoint
