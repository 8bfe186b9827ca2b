// Gathers what the stages found out into a report.
#ifndef NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_
#define NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_

#include <optional>

#include "core/pipeline/assemble.h"
#include "core/pipeline/evaluation.h"
#include "core/pipeline/objectives.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {

struct ReportInputs {
  const Task& task;
  const Prepared& prepared;
  const OpenModel& open;
  const Json& plan;                          // plan.json
  const calibrate::Calibration& calibration;  // empty without CALIBRATE
  const std::optional<Evaluation>& evaluation;
  const Assembled& assembled;
  const Json& summary;                       // of PUBLISH
};
report::Report BuildReport(const ReportInputs& inputs);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_
