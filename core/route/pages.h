// Pages of the weight file that a token's experts need, in the order they have in it, in a random one, and in the order
// that puts together what tokens use together.
#ifndef NASHSWARM_CORE_ROUTE_PAGES_H_
#define NASHSWARM_CORE_ROUTE_PAGES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/evaluate/score.h"
#include "core/expert_cache/expert_order.h"
#include "core/expert_cache/trace.h"
#include "core/report/routing_report.h"
#include "core/route/expert_files.h"

namespace nashswarm::route {

// An order for each layer of the trace, by which experts its tokens use together.
absl::StatusOr<std::vector<expert_cache::ExpertOrder>> OrderByUse(const expert_cache::Trace& trace);

struct PagesOptions {
  // Measure too, with mincore on cold mappings of the files: their pages leave the page cache for every token measured,
  // and nobody else may have them mapped. Experts of one size in a file stand in each other's places as well, so one
  // file measures every order.
  bool measure = false;
  uint64_t tokens = 256;  // to measure, spread over the trace
};

// `together`: of another text than `trace`, which is what counts. An order that cannot be had (experts of different
// sizes in the file) is left out, and why a measurement is missing is said in the report.
absl::StatusOr<report::PagesReport> ComparePages(const ExpertFiles& files, const expert_cache::Trace& trace,
                                                 absl::Span<const expert_cache::ExpertOrder> together,
                                                 const PagesOptions& options, const evaluate::Progress& progress);

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_PAGES_H_
