#include "server/stages/spec_json.h"

namespace nashswarm::server {
namespace {

Json CalibrationToJson(const v1::Calibration& calibration) {
  const auto source = calibration.source_case();
  const char* name = source == v1::Calibration::kText ? "text" : source == v1::Calibration::kSelf ? "self" : "imatrix";
  return {{"source", name}, {"tokens", calibration.tokens()}};
}

Json SearchToJson(const v1::Search& search) {
  if (search.off()) return {{"off", true}};
  return {{"context_rounds", search.context_rounds()},
          {"swarm_evaluations", search.swarm_evaluations()},
          {"swarm_seconds", search.swarm_seconds()}};
}

}  // namespace

Json SpecToJson(const v1::CompressionSpec& spec) {
  Json json;
  switch (spec.target_case()) {
    case v1::CompressionSpec::kBitsPerWeight:
      json["target"] = {{"bits_per_weight", spec.bits_per_weight()}};
      break;
    case v1::CompressionSpec::kSizeBytes:
      json["target"] = {{"size_bytes", spec.size_bytes()}};
      break;
    case v1::CompressionSpec::kRatio:
      json["target"] = {{"ratio", spec.ratio()}};
      break;
    case v1::CompressionSpec::kMaxPplIncrease:
      json["target"] = {{"max_ppl_increase", spec.max_ppl_increase()}};
      break;
    case v1::CompressionSpec::kMaxKl:
      json["target"] = {{"max_kl", spec.max_kl()}};
      break;
    case v1::CompressionSpec::TARGET_NOT_SET:
      break;
  }
  json["format"] = spec.artifact_format();
  json["seed"] = spec.seed();
  json["rules"] = Json::array();
  for (const auto& rule : spec.rules()) json["rules"].push_back({{"pattern", rule.pattern()}, {"format", rule.format()}});
  json["zero_non_finite"] = spec.zero_non_finite();
  json["model_name"] = spec.model_name();
  json["allow_tokenizer_mismatch"] = spec.allow_tokenizer_mismatch();
  json["expert_order"] = spec.expert_order() == v1::CompressionSpec::TOGETHER ? "together" : "original";
  if (spec.has_calibration()) json["calibration"] = CalibrationToJson(spec.calibration());
  if (spec.has_evaluation()) {
    const v1::Evaluation& evaluation = spec.evaluation();
    json["evaluation"] = {
        {"text", !evaluation.text().empty()}, {"tokens", evaluation.tokens()}, {"context", evaluation.context()}};
  }
  if (spec.has_search()) json["search"] = SearchToJson(spec.search());
  return json;
}

}  // namespace nashswarm::server
