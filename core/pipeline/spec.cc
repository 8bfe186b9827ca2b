#include "core/pipeline/spec.h"

#include <cmath>

#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

absl::Status Invalid(const std::string& why, std::string_view hint = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", why, hint);
}

absl::Status ParseTarget(const Json& target, Spec* spec) {
  if (!target.is_object() || target.size() != 1) {
    return Invalid("exactly one target is needed", "give one of --bpw, --size and --ratio");
  }
  if (target.contains("bits_per_weight")) {
    spec->target = Spec::Target::kBitsPerWeight;
    spec->bits_per_weight = JsonDouble(target, "bits_per_weight", 0);
    if (!(spec->bits_per_weight > 0 && spec->bits_per_weight <= 64)) return Invalid("bits per weight must be in (0, 64]");
  } else if (target.contains("size_bytes")) {
    spec->target = Spec::Target::kSizeBytes;
    const int64_t size = JsonInt(target, "size_bytes", 0);
    if (size <= 0) return Invalid("the size must be a positive number of bytes");
    spec->size_bytes = static_cast<uint64_t>(size);
  } else if (target.contains("ratio")) {
    spec->target = Spec::Target::kRatio;
    spec->ratio = JsonDouble(target, "ratio", 0);
    if (!(spec->ratio > 0 && spec->ratio < 1)) return Invalid("the ratio must be in (0, 1): 0.9 keeps a tenth of FP32");
  } else {
    return Invalid(absl::StrCat("unknown target '", target.begin().key(), "'"));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t Spec::TargetBytes(uint64_t parameters) const {
  const double weights = static_cast<double>(parameters);
  switch (target) {
    case Target::kSizeBytes:
      return size_bytes;
    case Target::kRatio:
      return static_cast<uint64_t>(std::floor((1 - ratio) * 4 * weights + 1e-6));
    case Target::kBitsPerWeight:
      break;
  }
  return static_cast<uint64_t>(std::floor(bits_per_weight * weights / 8 + 1e-6));
}

absl::StatusOr<Spec> ParseSpec(const Json& json) {
  if (!json.is_object()) return Invalid("the spec is not an object");
  Spec spec;
  NS_RETURN_IF_ERROR(ParseTarget(json.contains("target") ? json["target"] : Json(), &spec));
  spec.format = JsonString(json, "format", "gguf");
  if (spec.format != "gguf") return Invalid(absl::StrCat("unknown artifact format '", spec.format, "'"), "gguf is known");
  spec.seed = static_cast<uint64_t>(JsonInt(json, "seed", 0));
  spec.zero_non_finite = JsonBool(json, "zero_non_finite", false);
  if (json.contains("rules")) {
    for (const Json& rule : json["rules"]) spec.rules.push_back({JsonString(rule, "pattern"), JsonString(rule, "format")});
  }
  return spec;
}

}  // namespace nashswarm::pipeline
