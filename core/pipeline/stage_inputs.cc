#include "core/pipeline/stage_inputs.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

absl::StatusOr<Calibrated> ReadCalibrated(const Task& task) {
  Calibrated calibrated;
  if (!task.spec.calibrates()) return calibrated;
  const size_t ready = static_cast<size_t>(ResolveThreads(task.threads)) + 1;  // every thread its own, and the next
  NS_ASSIGN_OR_RETURN(calibrated.moments, calibrate::Moments::Open(JoinPath(task.in_dir, calibrate::kMomentsFile), ready));
  const std::string path = JoinPath(task.in_dir, calibrate::kCalibrationFile);
  NS_ASSIGN_OR_RETURN(calibrated.calibration, calibrate::ReadCalibration(path));
  if (task.spec.evaluates() && calibrated.calibration.references.empty()) return FaultIn(path, {"references", "is empty"});
  return calibrated;
}

}  // namespace

absl::StatusOr<Prepared> ReadPrepared(const std::string& directory, const model::Model& model) {
  NS_ASSIGN_OR_RETURN(Prepared prepared, Prepared::Read(directory));
  absl::flat_hash_map<absl::string_view, size_t> places;
  for (size_t m = 0; m < model.tensors.size(); ++m) places[model.tensors[m].name] = m;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const auto place = places.find(prepared.tensors[t].name);
    if (place == places.end()) return FaultIn(Prepared::kFile, {absl::StrCat("tensors[", t, "].name"), "is not in the model"});
    prepared.tensors[t].mapped = place->second;
  }
  return prepared;
}

absl::StatusOr<StageInputs> StageInputs::Open(const Task& task) {
  StageInputs in;
  NS_ASSIGN_OR_RETURN(in.kind, FindKind(task.spec.format));
  NS_ASSIGN_OR_RETURN(in.open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(in.prepared, ReadPrepared(task.in_dir, in.open.model));
  NS_ASSIGN_OR_RETURN(in.calibrated, ReadCalibrated(task));
  in.tied_head = HasTiedHead(in.open.model);
  return in;
}

}  // namespace nashswarm::pipeline
