// The sections of the page, each a function from the report to markup; "" leaves it out. In the order of the page.
#ifndef NASHSWARM_CORE_REPORT_SECTIONS_SECTIONS_H_
#define NASHSWARM_CORE_REPORT_SECTIONS_SECTIONS_H_

#include <string>

#include "core/report/report.h"

namespace nashswarm::report {

// The row of the file this report is about; nullptr when there is none.
const Row* ArtifactRow(const Report& report);
// A quality whose numbers are all real; nullptr otherwise.
const Quality* MeasuredQuality(const Row& row);
// "nats" only where the loss weights were measured.
std::string LossName(const Report& report);

std::string TitleHtml(const Report& report);      // title.cc
std::string WarningsHtml(const Report& report);   // warnings.cc
bool WarningsFirst(const Report& report);         // one tells of a fallback, which changes how to read all that follows
std::string HeadlineHtml(const Report& report);   // headline.cc
std::string FrontierHtml(const Report& report);   // frontier.cc
std::string BitMapHtml(const Report& report);     // bit_map.cc
std::string PricePathHtml(const Report& report);  // price_path.cc
std::string ErrorsHtml(const Report& report);     // errors.cc
std::string TrialsHtml(const Report& report);     // trials.cc
std::string SearchHtml(const Report& report);     // search.cc
std::string ExpertsHtml(const Report& report);    // experts.cc
std::string AgainHtml(const Report& report);      // again.cc
std::string TextsHtml(const Report& report);      // provenance.cc
std::string CostsHtml(const Report& report);      // provenance.cc

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_SECTIONS_SECTIONS_H_
