#include <iostream>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/calibrate/calibration.h"
#include "core/calibrate/collect.h"
#include "core/calibrate/imatrix.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/engine/progress_line.h"
#include "core/tokenizer/text_file.h"

namespace nashswarm::engine {
namespace {

constexpr uint64_t kContext = 512;  // as llama-imatrix takes by default
constexpr uint64_t kWeightBytes = 8ull << 30;

// Writes the matrix; the tokens it was made of.
absl::StatusOr<uint64_t> Make(const std::string& path, const std::string& text_path, const std::string& out, uint64_t tokens,
                              int threads) {
  NS_ASSIGN_OR_RETURN(const LocalModel local, LocalModel::Open(path));
  if (!local.is_checkpoint()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_CHECKPOINT",
                     absl::StrCat(path, ": an importance matrix is made from a checkpoint directory"),
                     "give the directory with config.json and *.safetensors");
  }
  NS_ASSIGN_OR_RETURN(const auto tokenizer, local.OpenTokenizer());
  NS_ASSIGN_OR_RETURN(const auto model, forward::Transformer::Open(local.weights(), {threads, kWeightBytes}));
  NS_ASSIGN_OR_RETURN(const std::string text, tokenizer::ReadTextFile(text_path));
  evaluate::WindowOptions options;
  options.context = std::min(kContext, model->context());
  options.max_tokens = tokens == 0 ? calibrate::kDefaultTextTokens : tokens;
  NS_ASSIGN_OR_RETURN(const std::vector<evaluate::Window> windows,
                      evaluate::CutText(text, text_path, *tokenizer, model->context(), options));
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory scratch, TemporaryDirectory::Create());
  const std::string moments_path = JoinPath(scratch.path(), calibrate::kMomentsFile);
  ProgressLine line;
  NS_RETURN_IF_ERROR(calibrate::CollectMoments(*model, local.mapping(), {windows, {}, nullptr, {}, {}}, threads, moments_path,
                                               [&line](uint64_t done, uint64_t total) {
                                                 line.Show("calibrating", done, total);
                                                 return absl::OkStatus();
                                               }));
  NS_ASSIGN_OR_RETURN(const auto moments, calibrate::Moments::Open(moments_path));
  const uint64_t used = evaluate::TokensOf(windows);
  NS_RETURN_IF_ERROR(calibrate::WriteImatrix(out, local.mapping(), model->tied_head(), *moments, used, options.context,
                                             BaseName(text_path)));
  return used;
}

}  // namespace

int RunCalibrate(const std::string& path, const std::string& text, const std::string& out, uint64_t tokens, int threads,
                 bool json) {
  const absl::StatusOr<uint64_t> used = Make(path, text, out, tokens, threads);
  if (!used.ok()) return ReportError(used.status(), json);
  if (json) std::cout << Json{{"file", out}, {"bytes", *FileSize(out)}, {"tokens", *used}}.dump() << "\n";
  else std::cout << out << ": importance matrix of " << *used << " tokens, " << *FileSize(out) << " bytes\n";
  return 0;
}

}  // namespace nashswarm::engine
