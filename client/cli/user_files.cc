#include "client/cli/user_files.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "client/cli/checkpoint_files.h"
#include "client/cli/errors.h"
#include "client/cli/files.h"

namespace nashswarm::cli {
namespace {

constexpr std::string_view kTheModel = "the model: ";
// What the reasons of errors about a checkpoint begin with.
constexpr std::array<std::string_view, 19> kAboutTheModel = {
    "ADAPTER",       "ALREADY_QUANTIZED", "ARCHITECTURE_", "CHECKPOINT_", "CONFIG_",        "GGUF_AS_SOURCE", "INDEX_",
    "JSON_",         "LFS_",              "MODEL_TENSOR_", "NON_FINITE",  "NSQ_AS_SOURCE",  "PICKLE_",        "PRE_TOKENIZER_",
    "SAFETENSORS_",  "SHARD_",            "TENSOR_",       "TOKENIZER_",  "VOCABULARY_"};

bool StartsWith(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

// The name of a file of the checkpoint that a message begins with: "model.safetensors", as a rule before a colon.
std::string LeadingName(const std::string& message, const std::string& directory) {
  const std::string name = message.substr(0, message.find_first_of(" :,"));
  const bool plain = !name.empty() && name.front() != '/' && name.front() != '\'';
  if (!plain || name.size() == message.size()) return "";
  const bool ours = name.find('.') != std::string::npos &&
                    (ClassifyFile(name) == FileKind::kWanted || FileExists(JoinPath(directory, name)));
  return ours ? name : "";
}

std::string OfTheModel(const std::string& message, const std::string& reason, const std::string& directory) {
  if (StartsWith(message, kTheModel)) return directory + ": " + message.substr(kTheModel.size());
  const bool named = StartsWith(message, directory + ":") || message.find(directory + "/") != std::string::npos;
  if (named) return message;
  if (!LeadingName(message, directory).empty()) return JoinPath(directory, message);
  const bool about = std::any_of(kAboutTheModel.begin(), kAboutTheModel.end(),
                                 [&](std::string_view beginning) { return StartsWith(reason, beginning); });
  return about ? directory + ": " + message : message;
}

}  // namespace

UserFiles FilesOf(const std::string& directory, const v1::CompressionSpec& spec) {
  UserFiles files = {.directory = directory};
  if (spec.calibration().has_text()) files.calibration = spec.calibration().text();
  if (spec.calibration().has_imatrix()) files.calibration = spec.calibration().imatrix();
  files.evaluation = spec.evaluation().text();
  return files;
}

absl::Status InUserTerms(const absl::Status& error, const UserFiles& files) {
  if (error.ok()) return error;
  const std::string message(error.message());
  const auto with = [&](const std::string& text, std::string hint) {
    return MakeError(error.code(), ReasonOf(error), text, hint);
  };
  for (const auto& [purpose, file] : {std::pair(std::string("calibration"), files.calibration), {"evaluation", files.evaluation}}) {
    if (file.empty() || !StartsWith(message, purpose + ": ")) continue;
    // A hint may be a command on the file: "iconv -f UTF-16 -t UTF-8 calibration".
    std::string hint = HintOf(error);
    const std::string word = " " + purpose + " ";
    if (const size_t at = hint.find(word); StartsWith(hint, "convert it: ") && at != std::string::npos) {
      hint.replace(at + 1, purpose.size(), file);
    }
    return with(file + message.substr(purpose.size()), hint);
  }
  if (files.directory.empty()) return error;
  return with(OfTheModel(message, ReasonOf(error), files.directory), HintOf(error));
}

}  // namespace nashswarm::cli
