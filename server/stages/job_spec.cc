#include "server/stages/job_spec.h"

namespace nashswarm::server {

bool HasQualityTarget(const v1::CompressionSpec& spec) { return spec.has_max_ppl_increase() || spec.has_max_kl(); }

bool HasCalibrationText(const v1::CompressionSpec& spec) {
  const auto source = spec.calibration().source_case();
  return source == v1::Calibration::kText || source == v1::Calibration::kSelf;
}

bool Evaluates(const v1::CompressionSpec& spec) {
  return !spec.evaluation().text().empty() || HasCalibrationText(spec);
}

bool Calibrates(const v1::CompressionSpec& spec) {
  return spec.has_calibration() || spec.has_evaluation() || HasQualityTarget(spec);
}

std::vector<DataReference> DataReferences(const v1::CompressionSpec& spec) {
  std::vector<DataReference> references;
  const v1::Calibration& calibration = spec.calibration();
  if (calibration.has_text()) references.push_back({kCalibrationData, calibration.text()});
  if (calibration.has_imatrix()) references.push_back({kCalibrationData, calibration.imatrix()});
  if (!spec.evaluation().text().empty()) references.push_back({kEvaluationData, spec.evaluation().text()});
  return references;
}

}  // namespace nashswarm::server
