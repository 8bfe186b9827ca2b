// Calibration: everything about a job that depends on the model and the texts alone. Which text calibrates and which is held
// out, the second moments of every linear layer's input, the loss weights of the players, and how the checkpoint itself and
// the usual baselines do on the held-out text.
#ifndef NASHSWARM_CORE_CALIBRATE_CALIBRATION_H_
#define NASHSWARM_CORE_CALIBRATE_CALIBRATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/calibrate/injection.h"
#include "core/calibrate/moments.h"
#include "core/calibrate/references.h"
#include "core/evaluate/windows.h"
#include "core/model/architecture.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::calibrate {

inline constexpr char kCalibrationFile[] = "calibration.json";
inline constexpr uint64_t kDefaultTextTokens = 64 << 10, kDefaultSelfTokens = 16 << 10, kDefaultEvaluationTokens = 32 << 10;

struct Request {
  enum class Source {
    kNone,     // evaluation only
    kText,
    kSelf,     // the model writes its own text
    kImatrix,
  };
  Source source = Source::kNone;
  std::string calibration_path;       // of kText and kImatrix
  std::string evaluation_path;        // empty: the held-out part of kText's or kSelf's text
  uint64_t tokens = 0;                // to calibrate on, at most; 0: the default
  uint64_t evaluation_tokens = 0;     // 0: the default
  uint64_t evaluation_context = 0;    // 0: the default
  uint64_t seed = 0;
  bool measure_loss_weights = true;   // injection: by far the longest part
  int threads = 0;
};

// The model; what it points to outlives the run.
struct Subject {
  const model::Model* model = nullptr;
  std::shared_ptr<const forward::Weights> weights;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  uint64_t source_weight_bytes = 0;   // of the checkpoint's files
};

// A text and what was taken of it; the fields of report::TextUsed.
struct TextUsed {
  std::string purpose, source, sha256;  // hex
  uint64_t bytes = 0, tokens = 0, context = 0;
  std::string note;
};

struct Calibration {
  std::vector<TextUsed> texts;
  std::vector<LossWeight> loss_weights;       // empty when none were measured
  std::vector<Reference> references;          // the checkpoint first; empty without held-out text
  // Of a mixture of experts that text was run through: by layer, how many calibration tokens used each expert.
  std::vector<std::vector<uint64_t>> expert_tokens;
};

// In words, which experts the text never reached; "" when it reached all.
std::string UnusedExperts(const Calibration& calibration);

// What is going on ("moments", ...) and how far it all is, in tokens run through the whole model.
using Progress = std::function<absl::Status(const std::string& step, uint64_t done, uint64_t total)>;

// Writes moments.safetensors to `moments_path`. Errors: those of texts, windows and tokenizers.
absl::StatusOr<Calibration> Calibrate(const Subject& subject, const Request& request, const std::string& moments_path,
                                      const Progress& progress);

// calibration.json. Reading: errors of ReadJsonFile (core/base/json_file.h).
Json ToJson(const Calibration& calibration);
absl::Status WriteCalibration(const Calibration& calibration, const std::string& path);
absl::StatusOr<Calibration> ReadCalibration(const std::string& path);

// The held-out windows in moments.safetensors: those to report on, and those of the calibration text to choose plans by.
std::vector<evaluate::Window> EvaluationWindows(const Moments& moments);
std::vector<evaluate::Window> SearchWindows(const Moments& moments);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_CALIBRATION_H_
