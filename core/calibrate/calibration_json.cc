// calibration.json.
#include "core/base/json_file.h"
#include "core/calibrate/calibration.h"
#include "core/evaluate/score_fields.h"
#include "core/quant/format_text.h"

namespace nashswarm::calibrate {

constexpr int kVersion = 1;

template <typename V, MaybeConst<TextUsed> T>
void Fields(V& v, T& text) {
  v("purpose", text.purpose);
  v("source", text.source);
  v("sha256", text.sha256);
  v("bytes", text.bytes);
  v("tokens", text.tokens);
  v("context", text.context);
  v("note", text.note);
}

template <typename V, MaybeConst<LossWeight> T>
void Fields(V& v, T& weight) {
  v("tensor", weight.tensor);
  v("format", weight.format);
  v("distortion", weight.distortion);
  v("kl", weight.kl);
  v.Derived("weight", weight.weight());
  v("matrix_distortion", weight.matrix_distortion);
}

template <typename V, MaybeConst<Reference> T>
void Fields(V& v, T& reference) {
  v("name", reference.name);
  v("bytes", reference.bytes);
  v("score", reference.score);
}

template <typename V, MaybeConst<Calibration> T>
void Fields(V& v, T& calibration) {
  v("texts", calibration.texts);
  v("loss_weights", calibration.loss_weights);
  v("references", calibration.references);
  v("expert_tokens", calibration.expert_tokens);
}

Json ToJson(const Calibration& calibration) { return ToSortedJson(calibration); }

absl::Status WriteCalibration(const Calibration& calibration, const std::string& path) {
  return WriteJsonFile(path, kVersion, calibration);
}

absl::StatusOr<Calibration> ReadCalibration(const std::string& path) { return ReadJsonFile<Calibration>(path, kVersion); }

}  // namespace nashswarm::calibrate
