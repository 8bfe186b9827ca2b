// Reports as they may come out of a job.
#ifndef NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_REPORT_H_
#define NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_REPORT_H_

#include "core/report/report.h"

namespace nashswarm::report {

// GPT-2 (124 M) to 3.5 bits a weight, with everything a report can have.
Report FullReport();
// A two-layer model compressed without any text: nothing measured but sizes and errors of weights.
Report MinimalReport();
// A LLaMA-like model of `layers` layers to a quality limit, with a fallback, trials and hostile names.
Report DeepReport(int layers);

}  // namespace nashswarm::report

#endif  // NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_REPORT_H_
