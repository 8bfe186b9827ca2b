// What `nashswarm route` finds out: the model's own router and the game on one text, with the settings that were asked
// for.
//
// The first quarter of the windows tunes: on it the greatest cache bonus is looked for whose loss stays within the
// bound, and the order of the experts is made. The rest is held out: all that is reported of the routers is measured
// there.
#ifndef NASHSWARM_CORE_ROUTE_STUDY_H_
#define NASHSWARM_CORE_ROUTE_STUDY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/evaluate/windows.h"
#include "core/expert_cache/expert_order.h"
#include "core/expert_cache/trace.h"
#include "core/report/routing_report.h"
#include "core/route/routed_run.h"

namespace nashswarm::route {

// Part of the bound on the loss that a bonus may use up on the tuning text: the held-out text is another one.
inline constexpr double kBoundToUse = 0.75;
inline constexpr uint64_t kTuningPart = 4;  // one of so many windows tunes

struct StudyOptions {
  RouterOptions router;         // game.weights.cache_bonus: see `bonus`
  std::optional<double> bonus;  // absent: chosen on the tuning text
  double max_loss = 0.01;       // most that the loss may rise, relative
  bool sweep = false;           // measure other bonuses and prices on the held-out text too
  routing::LossLambdas lambdas;
  int threads = 0;
};

// What is going on, and how far it is.
using StudyProgress = std::function<absl::Status(const std::string& what, uint64_t done, uint64_t total)>;

struct Findings {
  // With settings, routers, layers, convergence, sweeps, policies, tokens, scored, context, tuning_tokens and notes.
  // What the files tell is left to those who have them, pages among it: see pages.h, which wants what follows.
  report::RoutingReport report;
  expert_cache::Trace own_trace;                    // the model's own choices on the held-out text
  std::vector<expert_cache::ExpertOrder> together;  // made on the tuning text
};

// FAILED_PRECONDITION / TEXT_TOO_SHORT for fewer than two windows, CACHE_TOO_SMALL when a layer's share of the cache
// holds no expert; errors of RoutedModel::Run.
absl::StatusOr<Findings> Study(const RoutedModel& model, absl::Span<const evaluate::Window> windows,
                               const StudyOptions& options, const StudyProgress& progress);

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_STUDY_H_
