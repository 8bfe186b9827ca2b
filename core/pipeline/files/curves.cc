#include "core/pipeline/files/curves.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/files/shard_tensors.h"
#include "core/quant/format_text.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<CurvePoint> T>
void Fields(V& v, T& point) {
  std::optional<quant::Format> format;
  std::optional<double> step;
  if constexpr (std::is_const_v<T>) {
    if (point.choice.has_step()) step = point.choice.step;
    else format = point.choice.format;
  }
  v("format", format);
  v("step", step);
  if constexpr (!std::is_const_v<T>) {
    v.Require(format.has_value() || (step.has_value() && *step > 0), "format", "there, nor a step above 0");
    point.choice = {format.value_or(quant::Format::kF32), step.value_or(0)};
  }
  v("bytes", point.bytes);
  if (point.exact) v.Derived("distortion", 0);
  else v("distortion", point.distortion);
}

template <typename V, MaybeConst<TensorCurve> T>
void Fields(V& v, T& tensor) {
  v("tensor", tensor.tensor);
  v("non_finite", tensor.non_finite);
  v("curve", tensor.curve);
}

template <typename V, MaybeConst<Curves> T>
void Fields(V& v, T& curves) {
  v("tensors", curves.tensors);
}

std::string Curves::File(int shard) { return absl::StrCat("curves-", shard, ".json"); }

absl::StatusOr<Curves> Curves::Read(const std::string& directory, int shard, const Prepared& prepared) {
  const std::string path = JoinPath(directory, File(shard));
  NS_ASSIGN_OR_RETURN(Curves curves, ReadJsonFile<Curves>(path, kVersion));
  NS_RETURN_IF_ERROR(CheckShardTensors(prepared, shard, curves.tensors, path));
  for (const TensorCurve& tensor : curves.tensors) {
    if (tensor.curve.empty()) return FaultIn(path, {absl::StrCat("tensors[", tensor.tensor, "].curve"), "is empty"});
  }
  return curves;
}

absl::Status Curves::Write(const std::string& directory, int shard) const {
  return WriteJsonFile(JoinPath(directory, File(shard)), kVersion, *this);
}

}  // namespace nashswarm::pipeline
