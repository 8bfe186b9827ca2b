// What a user asks of a model, as the engine reads it from task.json (core/engine/README.md).
#ifndef NASHSWARM_CORE_PIPELINE_SPEC_H_
#define NASHSWARM_CORE_PIPELINE_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"

namespace nashswarm::pipeline {

struct Rule {
  std::string pattern;  // RE2, matched against the whole name of a tensor in the checkpoint
  std::string format;   // a format name, or "keep"
};

struct Spec {
  enum class Target { kBitsPerWeight, kSizeBytes, kRatio, kMaxPerplexityIncrease, kMaxKl };
  enum class Calibration { kNone, kText, kSelf, kImatrix };
  Target target = Target::kBitsPerWeight;
  double bits_per_weight = 0;  // file bytes * 8 / parameters
  uint64_t size_bytes = 0;
  double ratio = 0;            // share of the FP32 bytes saved, in (0, 1)
  double quality = 0;          // of the quality targets: a share (0.02 is 2 %), or nats a token
  std::string format = "gguf";  // of the artifact: the name of a kind (kinds/artifact_kind.h)
  uint64_t seed = 0;
  std::vector<Rule> rules;     // first match wins
  bool zero_non_finite = false;
  std::string model_name;      // "org/name" or "name"; empty: the model's own files say it
  bool allow_tokenizer_mismatch = false;  // a GGUF may cut texts otherwise than the model's tokenizer
  // Of the experts of a layer in the artifact: the checkpoint's, or those that tokens use together beside one another.
  enum class ExpertOrder { kOriginal, kTogether };
  ExpertOrder expert_order = ExpertOrder::kOriginal;

  Calibration calibration = Calibration::kNone;
  uint64_t calibration_tokens = 0;    // 0: the default
  bool evaluation_text = false;       // a text of its own to measure on
  uint64_t evaluation_tokens = 0, evaluation_context = 0;

  struct Search {
    bool off = false;              // whatever else is said
    int context_rounds = 0;        // of best response in context
    int swarm_evaluations = 0;     // plans tried by the flock, at most
    double swarm_seconds = 0;      // 0: no limit
    bool asked() const { return !off && (context_rounds > 0 || swarm_evaluations > 0); }
  };
  Search search;

  // The size is what follows from a quality.
  bool has_quality_target() const { return target == Target::kMaxPerplexityIncrease || target == Target::kMaxKl; }
  // There is text to measure on: a text of its own, or a held-out part of what calibrates.
  bool evaluates() const {
    return evaluation_text || has_calibration_text();
  }
  // Text is run through the model to calibrate it: what depends on its tokens can be known.
  bool has_calibration_text() const { return calibration == Calibration::kText || calibration == Calibration::kSelf; }
  // Encoders hear what the inputs of a tensor are.
  bool calibrates_encoders() const { return calibration != Calibration::kNone; }
  bool calibrates() const { return evaluates() || calibration == Calibration::kImatrix; }

  // Bytes the whole weight file may have. Not for a quality target.
  uint64_t TargetBytes(uint64_t parameters) const;
  // As people ask for it: "3.5 bits a weight".
  std::string TargetText() const;
  // The command line that asks for this. Files are not known here by their users' names: CHECKPOINT, CALIBRATION.txt, ...
  std::string CommandLine() const;
};

// INVALID_ARGUMENT / SPEC_INVALID names the field.
absl::StatusOr<Spec> ParseSpec(const Json& json);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SPEC_H_
