#include "client/cli/no_source.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "client/cli/errors.h"
#include "client/cli/files.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {
namespace {

constexpr char kGguf[] = ".gguf", kAdapterConfig[] = "adapter_config.json";
constexpr size_t kMaxConfigBytes = 1 << 20;

absl::Status GgufError(const std::string& path) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "GGUF_AS_SOURCE", path + " is a GGUF file, which is no source to compress",
                   "give the directory of the original safetensors checkpoint: the weights of a GGUF file are already quantized. "
                   "To look at it or run it: nashswarm inspect " + path + ", nashswarm eval " + path);
}

}  // namespace

absl::Status RefuseGgufFile(const std::string& path) {
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof(magic));
  if (absl::EndsWithIgnoreCase(path, kGguf) || std::string_view(magic, sizeof(magic)) == "GGUF") return GgufError(path);
  return absl::OkStatus();
}

absl::Status RefuseGgufAmong(const std::string& directory, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (absl::EndsWithIgnoreCase(name, kGguf)) return GgufError(JoinPath(directory, name));
  }
  return absl::OkStatus();
}

absl::Status RefuseNsqAmong(const std::string& directory, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), "model.nsq") == names.end()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NSQ_AS_SOURCE",
                   directory + " is an nsq artifact, which nashswarm has compressed already",
                   "give the original checkpoint; or unpack it first: nashswarm unpack " + directory + " -o OUT, then give OUT");
}

bool IsAdapterFile(const std::string& name) { return name == kAdapterConfig || name == "adapter_model.safetensors"; }

absl::Status AdapterError(const std::string& directory) {
  std::string base = "its base model";
  if (const auto text = ReadSmallFile(JoinPath(directory, kAdapterConfig), kMaxConfigBytes); text.ok()) {
    const nlohmann::json config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    const auto name = config.is_object() ? config.find("base_model_name_or_path") : config.end();
    if (name != config.end() && name->is_string()) base += " " + name->get<std::string>();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "ADAPTER_AS_SOURCE",
                   directory + " is a LoRA adapter, not a model: it must be merged into " + base,
                   "with peft: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(DIR), then give DIR");
}

}  // namespace nashswarm::cli
