#include <iostream>
#include <iterator>
#include <memory>

#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/checkpoint/lfs_pointer.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::engine {
namespace {

constexpr uint64_t kMaxTextBytes = 1ull << 30;

absl::StatusOr<std::unique_ptr<tokenizer::Tokenizer>> Open(const std::string& path) {
  if (!PathExists(path)) return NoSuchModel(path);
  if (!IsDirectory(path) || PathExists(JoinPath(path, artifact::kGgufFile))) {
    NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(path));
    return tokenizer::OpenTokenizer(open.gguf);
  }
  NS_RETURN_IF_ERROR(checkpoint::CheckNoLfsPointers(path));
  Json config = Json::object();  // a tokenizer alone needs no config.json
  if (const std::string file = JoinPath(path, "config.json"); PathExists(file)) {
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    NS_ASSIGN_OR_RETURN(config, ParseJson(text, file));
  }
  return tokenizer::OpenTokenizer(path, config);
}

absl::StatusOr<std::string> ReadText(const std::string& file) {
  if (!file.empty()) return ReadFile(file, kMaxTextBytes);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

absl::StatusOr<std::vector<int32_t>> Tokenize(const std::string& path, const std::string& file) {
  const auto tokenizer = Open(path);
  if (!tokenizer.ok()) return OfModel(tokenizer.status(), path);
  NS_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
  return (*tokenizer)->Encode(text);
}

}  // namespace

int RunTokenize(const std::string& path, const std::string& text, bool json) {
  const auto tokens = Tokenize(path, text);
  if (!tokens.ok()) return ReportError(tokens.status(), json);
  if (json) {
    std::cout << Json(*tokens).dump() << "\n";
  } else {
    for (const int32_t token : *tokens) std::cout << token << "\n";
  }
  return 0;
}

}  // namespace nashswarm::engine
