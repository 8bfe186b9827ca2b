// The rows of a report that are compared with one another: the checkpoint, rounding, llama.cpp's preset of about the size, and
// the artifact.
#ifndef NASHSWARM_CORE_PIPELINE_REPORT_ROWS_H_
#define NASHSWARM_CORE_PIPELINE_REPORT_ROWS_H_

#include <vector>

#include "core/pipeline/build_report.h"

namespace nashswarm::pipeline {

// Without a text nothing is measured: then the curves of MEASURE predict the preset's loss, where they have its types.
std::vector<report::Row> HeadlineRows(const ReportInputs& inputs);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_REPORT_ROWS_H_
