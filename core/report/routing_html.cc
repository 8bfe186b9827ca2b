#include "core/report/html.h"
#include "core/report/page.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {

std::string ToHtml(const RoutingReport& report) {
  const std::string sections = Cat(TitleHtml(report), RoutersHtml(report), SweepsHtml(report), LoadsHtml(report),
                                   PairsHtml(report), ConvergenceHtml(report), TermsHtml(report), PoliciesHtml(report),
                                   PagesHtml(report), SettingsHtml(report), NotesHtml(report), TextHtml(report));
  const std::string footer = Cat(MadeBy(report.engine, kRoutingSchema),
                                 " 1 KB is 1000 bytes, 1 MB is 1000 KB. Figures called predicted come from a trace of "
                                 "the choices; all others were measured.");
  return PageHtml(report.model_name.empty() ? "Routing report" : report.model_name + ": routing report", sections,
                  footer);
}

}  // namespace nashswarm::report
