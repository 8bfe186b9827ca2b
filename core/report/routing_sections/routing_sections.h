// The sections of the page of `nashswarm route`, each a function from the report to markup; "" leaves it out. In the
// order of the page.
#ifndef NASHSWARM_CORE_REPORT_ROUTING_SECTIONS_ROUTING_SECTIONS_H_
#define NASHSWARM_CORE_REPORT_ROUTING_SECTIONS_ROUTING_SECTIONS_H_

#include <string>
#include <string_view>

#include "core/report/routing_report.h"

namespace nashswarm::report {

inline constexpr char kModelRow[] = "model", kGameRow[] = "game";
inline constexpr char kHeldOutText[] = "held-out text";

// nullptr when there is none of that name.
const RouterRow* RouterNamed(const RoutingReport& report, std::string_view name);
// What a reader calls the router: "the game". Markup.
std::string RouterTitle(const RouterRow& row);
// The losses of this router were measured and are numbers.
bool HasLoss(const RoutingReport& report, const RouterRow& row);
// `text`, or that it was not measured when the value it shows is no number.
std::string IfMeasured(double value, std::string text);
// A setting as it was given: "0.25", "4".
std::string Given(double value);
// A long table is folded under `summary`.
std::string FoldedIfLong(size_t rows, std::string_view summary, std::string table);

std::string TitleHtml(const RoutingReport& report);        // title.cc
std::string RoutersHtml(const RoutingReport& report);      // routers.cc
std::string SettingsHtml(const RoutingReport& report);     // settings.cc
std::string SweepsHtml(const RoutingReport& report);       // sweeps.cc
std::string LoadsHtml(const RoutingReport& report);        // loads.cc
std::string PairsHtml(const RoutingReport& report);        // pairs.cc
std::string ConvergenceHtml(const RoutingReport& report);  // convergence.cc
std::string TermsHtml(const RoutingReport& report);        // terms.cc
std::string PoliciesHtml(const RoutingReport& report);     // caches.cc
std::string PagesHtml(const RoutingReport& report);        // caches.cc
std::string NotesHtml(const RoutingReport& report);        // provenance.cc
std::string TextHtml(const RoutingReport& report);         // provenance.cc

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_ROUTING_SECTIONS_ROUTING_SECTIONS_H_
