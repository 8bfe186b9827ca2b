#include "core/pipeline/files/evaluation.h"

#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/evaluate/score_fields.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<PresetScore> T>
void Fields(V& v, T& preset) {
  v("name", preset.name);
  v("bytes", preset.bytes);
  v("weighted", preset.weighted);
  v("score", preset.score);
}

template <typename V, MaybeConst<Evaluation> T>
void Fields(V& v, T& evaluation) {
  v("sha256", evaluation.sha256);
  v("score", evaluation.score);
  v("preset", evaluation.preset);
}

absl::StatusOr<Evaluation> Evaluation::Read(const std::string& directory) {
  const std::string path = JoinPath(directory, kFile);
  NS_ASSIGN_OR_RETURN(Evaluation evaluation, ReadJsonFile<Evaluation>(path, kVersion));
  if (!evaluation.score.agreement) return FaultIn(path, {"score.mean_kl", "is missing"});
  return evaluation;
}

absl::Status Evaluation::Write(const std::string& directory) const { return WriteJsonFile(JoinPath(directory, kFile), kVersion, *this); }

}  // namespace nashswarm::pipeline
