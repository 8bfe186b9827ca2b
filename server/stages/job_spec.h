// What a spec means for the job that carries it: which optional stages it has and which data files it reads. Pure
// functions; the rules are those of core/engine/README.md.
#ifndef NASHSWARM_SERVER_STAGES_JOB_SPEC_H_
#define NASHSWARM_SERVER_STAGES_JOB_SPEC_H_

#include <string>
#include <vector>

#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::server {

// What a job uses a data file for; also the file's name in the task's data/ directory.
inline constexpr char kCalibrationData[] = "calibration";
inline constexpr char kEvaluationData[] = "evaluation";

// The target is a bound on the quality, not on the size.
bool HasQualityTarget(const v1::CompressionSpec& spec);
// There is a text to look for plans on: a search must not see the evaluation's.
bool HasCalibrationText(const v1::CompressionSpec& spec);
// There is a text to measure on: one of its own, or a held-out part of the calibration's.
bool Evaluates(const v1::CompressionSpec& spec);
bool Calibrates(const v1::CompressionSpec& spec);

struct DataReference {
  std::string purpose;  // kCalibrationData or kEvaluationData
  std::string model;    // "models/{model}"
};
std::vector<DataReference> DataReferences(const v1::CompressionSpec& spec);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_JOB_SPEC_H_
