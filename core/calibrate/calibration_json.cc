// calibration.json.
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/calibrate/calibration.h"

namespace nashswarm::calibrate {

Json ToJson(const evaluate::Score& score) {
  Json json = {{"perplexity", score.perplexity}, {"mean_nll", score.mean_nll}, {"mean_nll_stderr", score.mean_nll_stderr},
               {"tokens", score.tokens}};
  if (score.agreement) {
    json["mean_kl"] = score.agreement->mean_kl;
    json["mean_kl_stderr"] = score.agreement->mean_kl_stderr;
    json["p99_kl"] = score.agreement->p99_kl;
    json["same_top1"] = score.agreement->same_top1;
    json["mean_nll_change"] = score.agreement->mean_nll_change;
    json["mean_nll_change_stderr"] = score.agreement->mean_nll_change_stderr;
  }
  return json;
}

evaluate::Score ScoreOf(const Json& json) {
  evaluate::Score score{json.at("perplexity"), json.at("mean_nll"), json.at("mean_nll_stderr"), json.at("tokens"), {}};
  if (json.contains("mean_kl")) {
    score.agreement = evaluate::Agreement{json.at("mean_kl"), json.at("mean_kl_stderr"), json.at("p99_kl"), json.at("same_top1"),
                                          json.at("mean_nll_change"), json.at("mean_nll_change_stderr")};
  }
  return score;
}

Json ToJson(const Calibration& calibration) {
  Json texts = Json::array(), weights = Json::array(), references = Json::array();
  for (const TextUsed& text : calibration.texts) {
    texts.push_back({{"purpose", text.purpose}, {"source", text.source}, {"sha256", text.sha256}, {"bytes", text.bytes},
                     {"tokens", text.tokens}, {"context", text.context}, {"note", text.note}});
  }
  for (const LossWeight& weight : calibration.loss_weights) {
    weights.push_back({{"tensor", weight.tensor}, {"format", quant::InfoOf(weight.format).name},
                       {"distortion", weight.distortion}, {"kl", weight.kl}, {"weight", weight.weight()},
                       {"matrix_distortion", weight.matrix_distortion}});
  }
  for (const Reference& reference : calibration.references) {
    references.push_back({{"name", reference.name}, {"bytes", reference.bytes}, {"score", ToJson(reference.score)}});
  }
  return {{"texts", std::move(texts)}, {"loss_weights", std::move(weights)}, {"references", std::move(references)},
          {"expert_tokens", calibration.expert_tokens}};
}

absl::StatusOr<Calibration> ReadCalibration(const std::string& path) {
  NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(content, kCalibrationFile));
  Calibration calibration;
  for (const Json& text : json.at("texts")) {
    calibration.texts.push_back({text.at("purpose"), text.at("source"), text.at("sha256"), text.at("bytes"), text.at("tokens"),
                                 text.at("context"), text.at("note")});
  }
  for (const Json& weight : json.at("loss_weights")) {
    calibration.loss_weights.push_back({weight.at("tensor"), *quant::FormatByName(weight.at("format").get<std::string>()),
                                        weight.at("distortion"), weight.at("kl"), weight.at("matrix_distortion")});
  }
  calibration.expert_tokens = json.at("expert_tokens").get<std::vector<std::vector<uint64_t>>>();
  for (const Json& reference : json.at("references")) {
    calibration.references.push_back({reference.at("name"), reference.at("bytes"), ScoreOf(reference.at("score"))});
  }
  return calibration;
}

}  // namespace nashswarm::calibrate
