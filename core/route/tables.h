// From what runs counted to what the report shows.
#ifndef NASHSWARM_CORE_ROUTE_TABLES_H_
#define NASHSWARM_CORE_ROUTE_TABLES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/expert_cache/expert_cache.h"
#include "core/expert_cache/trace.h"
#include "core/game/routing/losses.h"
#include "core/report/routing_report.h"
#include "core/route/routed_run.h"

namespace nashswarm::route {

// `run` on the text that the model's own router was run on as `own`.
report::RoutingPoint PointOf(const RoutedRun& run, const RoutedRun& own, double value);

// Of runs with details, all that follow.
report::RouterRow RowOf(std::string name, const RoutedRun& run, const RoutedRun& own,
                        const routing::LossLambdas& lambdas);
report::Convergence ConvergenceOf(const RoutedRun& game);
absl::StatusOr<std::vector<report::RoutedLayer>> LayersOf(const RoutedRun& own, const expert_cache::Trace& own_trace,
                                                          const RoutedRun& game, const expert_cache::Trace& game_trace);
// Every policy with the bytes, the time to live and the half-life of `cache`, whose bytes are of all layers together.
absl::StatusOr<std::vector<report::PolicyRow>> PoliciesOf(const expert_cache::Trace& own,
                                                          const expert_cache::Trace& game,
                                                          const expert_cache::CacheOptions& cache);

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_TABLES_H_
