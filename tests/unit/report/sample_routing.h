// Routing reports as they may come out of a run.
#ifndef NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_ROUTING_H_
#define NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_ROUTING_H_

#include "core/report/routing_report.h"

namespace nashswarm::report {

// A model of 8 experts, 2 used, in 6 layers, with everything a report can have.
RoutingReport FullRouting();
// Names and settings as in FullRouting.
RoutingReport RoutingOf(int experts, int used, int layers);
// 256 experts in 48 layers, of some of which the pairs are known, with long and hostile names.
RoutingReport LargeRouting();
// One layer of one expert: nothing to choose, no losses measured, and what remains is no number.
RoutingReport BareRouting();

}  // namespace nashswarm::report

#endif  // NASHSWARM_TESTS_UNIT_REPORT_SAMPLE_ROUTING_H_
