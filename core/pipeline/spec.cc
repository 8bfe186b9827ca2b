#include "core/pipeline/spec.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/base/json_fields.h"
#include "core/base/status.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

absl::Status Invalid(const std::string& why, std::string_view hint = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", why, hint);
}

absl::Status ParseTarget(const Json& target, Spec* spec) {
  if (!target.is_object() || target.size() != 1) {
    return Invalid("exactly one target is needed", "give one of --bpw, --size, --ratio, --max-ppl-increase and --max-kl");
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
  } else if (target.contains("max_ppl_increase") || target.contains("max_kl")) {
    const bool perplexity = target.contains("max_ppl_increase");
    spec->target = perplexity ? Spec::Target::kMaxPerplexityIncrease : Spec::Target::kMaxKl;
    spec->quality = JsonDouble(target, perplexity ? "max_ppl_increase" : "max_kl", 0);
    if (!(spec->quality > 0 && spec->quality <= 100)) return Invalid("the quality target must be positive");
  } else {
    return Invalid(absl::StrCat("unknown target '", target.begin().key(), "'"));
  }
  return absl::OkStatus();
}

absl::Status ParseCalibration(const Json& json, Spec* spec) {
  const std::string source = JsonString(json, "source");
  if (source == "text") spec->calibration = Spec::Calibration::kText;
  else if (source == "self") spec->calibration = Spec::Calibration::kSelf;
  else if (source == "imatrix") spec->calibration = Spec::Calibration::kImatrix;
  else return Invalid(absl::StrCat("unknown calibration source '", source, "'"), "text, self and imatrix are known");
  const int64_t tokens = JsonInt(json, "tokens", 0);
  if (tokens < 0) return Invalid("calibration tokens must not be negative");
  spec->calibration_tokens = static_cast<uint64_t>(tokens);
  return absl::OkStatus();
}

absl::Status ParseEvaluation(const Json& json, Spec* spec) {
  spec->evaluation_text = JsonBool(json, "text", false);
  const int64_t tokens = JsonInt(json, "tokens", 0), context = JsonInt(json, "context", 0);
  if (tokens < 0 || context < 0) return Invalid("evaluation tokens and context must not be negative");
  spec->evaluation_tokens = static_cast<uint64_t>(tokens);
  spec->evaluation_context = static_cast<uint64_t>(context);
  return absl::OkStatus();
}

absl::Status ParseSearch(const Json& json, Spec* spec) {
  Spec::Search& search = spec->search;
  search.off = JsonBool(json, "off", false);
  search.context_rounds = static_cast<int>(JsonInt(json, "context_rounds", 0));
  search.swarm_evaluations = static_cast<int>(JsonInt(json, "swarm_evaluations", 0));
  search.swarm_seconds = JsonDouble(json, "swarm_seconds", 0);
  if (search.context_rounds < 0 || search.swarm_evaluations < 0 || !(search.swarm_seconds >= 0)) {
    return Invalid("rounds, evaluations and seconds of a search must not be negative");
  }
  return absl::OkStatus();
}

absl::Status ParseExpertOrder(const Json& json, Spec* spec) {
  const std::string order = JsonString(json, "expert_order", "original");
  if (order != "original" && order != "together") {
    return Invalid(absl::StrCat("unknown expert order '", order, "'"), "original and together are known");
  }
  if (order == "together") spec->expert_order = Spec::ExpertOrder::kTogether;
  if (spec->expert_order == Spec::ExpertOrder::kOriginal || spec->has_calibration_text()) return absl::OkStatus();
  return Invalid("the expert order 'together' needs a text that shows which experts are used together",
                 spec->calibration == Spec::Calibration::kImatrix
                     ? "an importance matrix does not say: give --calibrate FILE or --calibrate self instead of --imatrix"
                     : "give --calibrate FILE or --calibrate self");
}

}  // namespace

uint64_t Spec::TargetBytes(uint64_t parameters) const {
  const double weights = static_cast<double>(parameters);
  switch (target) {
    case Target::kSizeBytes:
      return size_bytes;
    case Target::kRatio:
      return static_cast<uint64_t>(std::floor((1 - ratio) * 4 * weights + 1e-6));
    default:
      return static_cast<uint64_t>(std::floor(bits_per_weight * weights / 8 + 1e-6));
  }
}

std::string Spec::TargetText() const {
  switch (target) {
    case Target::kSizeBytes:
      return absl::StrFormat("%d bytes", size_bytes);
    case Target::kRatio:
      return absl::StrFormat("%g %% smaller than FP32", 100 * ratio);
    case Target::kMaxPerplexityIncrease:
      return absl::StrFormat("perplexity at most %g %% higher", 100 * quality);
    case Target::kMaxKl:
      return absl::StrFormat("mean KL divergence at most %g nats", quality);
    case Target::kBitsPerWeight:
      break;
  }
  return absl::StrFormat("%g bits a weight", bits_per_weight);
}

namespace {

// The shortest text that reads back as the same number: a size that is rounded is another size.
std::string Exact(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

// In percent, as people write it, where that reads back as the same number.
std::string Increase(double share) {
  const std::string percent = absl::StrFormat("%.15g", 100 * share);  // 15 digits are a text's own: 7, not 7.000000000000001
  if (std::strtod(percent.c_str(), nullptr) / 100 == share) return percent + "%";
  return share <= 1 ? Exact(share) : Exact(100 * share) + "%";  // the client takes no more than 1 without the sign
}

std::string TargetFlag(const Spec& spec) {
  using Target = Spec::Target;
  switch (spec.target) {
    case Target::kSizeBytes: return absl::StrFormat(" --size %d", spec.size_bytes);
    case Target::kRatio: return " --ratio " + Exact(spec.ratio);
    case Target::kMaxPerplexityIncrease: return " --max-ppl-increase " + Increase(spec.quality);
    case Target::kMaxKl: return " --max-kl " + Exact(spec.quality);
    case Target::kBitsPerWeight: break;
  }
  return " --bpw " + Exact(spec.bits_per_weight);
}

std::string TextFlags(const Spec& spec) {
  using Calibration = Spec::Calibration;
  std::string flags;
  if (spec.calibration == Calibration::kText) flags += " --calibrate CALIBRATION.txt";
  if (spec.calibration == Calibration::kSelf) flags += " --calibrate self";
  if (spec.calibration == Calibration::kImatrix) flags += " --imatrix IMATRIX.gguf";
  if (spec.calibration_tokens > 0) absl::StrAppend(&flags, " --calibration-tokens ", spec.calibration_tokens);
  if (spec.evaluation_text) flags += " --evaluate EVALUATION.txt";
  if (spec.evaluation_tokens > 0) absl::StrAppend(&flags, " --evaluation-tokens ", spec.evaluation_tokens);
  if (spec.evaluation_context > 0) absl::StrAppend(&flags, " --evaluation-context ", spec.evaluation_context);
  return flags;
}

// Within single quotes of a shell.
std::string Quoted(const std::string& text) { return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'"); }

}  // namespace

std::string Spec::CommandLine() const {
  std::string line = absl::StrCat("nashswarm compress CHECKPOINT -o OUT", TargetFlag(*this));
  if (!model_name.empty()) absl::StrAppend(&line, " --name ", Quoted(model_name));
  if (format != Spec().format) absl::StrAppend(&line, " --format ", format);
  line += TextFlags(*this);
  for (const Rule& rule : rules) absl::StrAppend(&line, " --rule ", Quoted(absl::StrCat(rule.pattern, "=", rule.format)));
  if (expert_order == ExpertOrder::kTogether) line += " --expert-order together";
  if (search.asked()) {
    if (search.context_rounds > 0) absl::StrAppend(&line, " --context-rounds ", search.context_rounds);
    if (search.swarm_evaluations > 0) absl::StrAppend(&line, " --swarm ", search.swarm_evaluations);
    if (search.swarm_seconds > 0) absl::StrAppend(&line, " --swarm-seconds ", Exact(search.swarm_seconds));
  }
  if (seed != 0) absl::StrAppend(&line, " --seed ", seed);
  if (zero_non_finite) line += " --zero-non-finite";
  if (allow_tokenizer_mismatch) line += " --allow-tokenizer-mismatch";
  return line;
}

absl::StatusOr<Spec> ParseSpec(const Json& json) {
  if (!json.is_object()) return Invalid("the spec is not an object");
  Spec spec;
  NS_RETURN_IF_ERROR(ParseTarget(JsonMember(json, "target"), &spec));
  spec.format = JsonString(json, "format", spec.format);
  NS_RETURN_IF_ERROR(FindKind(spec.format).status());
  NS_RETURN_IF_ERROR(ParseSearch(JsonMember(json, "search"), &spec));
  spec.seed = static_cast<uint64_t>(JsonInt(json, "seed", 0));
  spec.zero_non_finite = JsonBool(json, "zero_non_finite", false);
  spec.model_name = JsonString(json, "model_name");
  spec.allow_tokenizer_mismatch = JsonBool(json, "allow_tokenizer_mismatch", false);
  if (json.contains("calibration")) NS_RETURN_IF_ERROR(ParseCalibration(JsonMember(json, "calibration"), &spec));
  NS_RETURN_IF_ERROR(ParseExpertOrder(json, &spec));
  NS_RETURN_IF_ERROR(ParseEvaluation(JsonMember(json, "evaluation"), &spec));
  if (spec.has_quality_target() && !spec.evaluates()) {
    return Invalid("a quality target needs text to measure on", "give --evaluate FILE, --calibrate FILE or --calibrate self");
  }
  for (const Json& rule : JsonMember(json, "rules")) spec.rules.push_back({JsonString(rule, "pattern"), JsonString(rule, "format")});
  return spec;
}

}  // namespace nashswarm::pipeline
