// Gathers what the stages found out into a report.
#ifndef NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_
#define NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_

#include <optional>

#include "core/pipeline/assemble.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/files/job_result.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/stage_inputs.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {

struct ReportInputs {
  const Task& task;
  const StageInputs& in;
  const Plan& plan;                          // that was encoded
  const std::optional<Evaluation>& evaluation;
  const Assembled& assembled;
  const JobResult& result;
};
report::Report BuildReport(const ReportInputs& inputs);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_BUILD_REPORT_H_
