#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/numbers.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/forward/transformer.h"

namespace nashswarm::engine {
namespace {

// Rows of logits that are in memory at a time.
constexpr uint64_t kRows = 256;

absl::StatusOr<std::vector<int32_t>> ReadTokens(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<int32_t> tokens;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty())) {
    int32_t token;
    if (!absl::SimpleAtoi(word, &token)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TOKENS_INVALID",
                       absl::StrCat(path, ": '", word.substr(0, 32), "' is no token id"),
                       "the file holds whole numbers with white space between them");
    }
    tokens.push_back(token);
  }
  if (tokens.empty()) return MakeError(absl::StatusCode::kInvalidArgument, "TOKENS_INVALID", absl::StrCat(path, ": has no tokens"));
  return tokens;
}

absl::Status WriteLogits(forward::Transformer& transformer, const forward::Batch& batch, const std::string& out) {
  const auto floats = CheckedMul(batch.length, transformer.width());
  if (batch.length > transformer.context() || !floats.has_value()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_LONG",
                     absl::StrCat(batch.length, " tokens; the model was made for ", transformer.context()), "give fewer tokens");
  }
  std::vector<float> hidden(*floats);
  NS_RETURN_IF_ERROR(transformer.Run(batch, hidden.data(), nullptr));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(out));
  std::vector<float> logits(std::min(kRows, batch.length) * transformer.vocabulary());
  for (uint64_t row = 0; row < batch.length; row += kRows) {
    const uint64_t rows = std::min(kRows, batch.length - row), values = rows * transformer.vocabulary();
    NS_RETURN_IF_ERROR(transformer.Logits(hidden.data() + row * transformer.width(), rows, logits.data(), nullptr));
    NS_RETURN_IF_ERROR(file.Append(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(logits.data()), values * sizeof(float))));
  }
  return file.CommitUnsynced();
}

absl::StatusOr<Json> Logits(const std::string& path, const std::string& tokens, const std::string& out, int threads) {
  NS_ASSIGN_OR_RETURN(const LocalModel model, LocalModel::Open(path));
  forward::Batch batch;
  NS_ASSIGN_OR_RETURN(batch.tokens, ReadTokens(tokens));
  batch.windows = 1;
  batch.length = batch.tokens.size();
  NS_ASSIGN_OR_RETURN(const auto transformer, forward::Transformer::Open(model.weights(), {.threads = threads}));
  NS_RETURN_IF_ERROR(WriteLogits(*transformer, batch, out));
  return Json{{"path", path}, {"architecture", model.weights()->architecture()}, {"positions", batch.length},
              {"vocabulary", transformer->vocabulary()}, {"output", out}};
}

}  // namespace

int RunLogits(const std::string& path, const std::string& tokens, const std::string& out, int threads, bool json) {
  const absl::StatusOr<Json> done = Logits(path, tokens, out, threads);
  if (!done.ok()) return ReportError(done.status(), json);
  if (json) {
    std::cout << done->dump() << "\n";
  } else {
    std::cout << out << ": " << (*done)["positions"] << " x " << (*done)["vocabulary"] << " logits as 32-bit floats\n";
  }
  return 0;
}

}  // namespace nashswarm::engine
