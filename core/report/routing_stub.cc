#include "core/report/routing_report.h"
namespace nashswarm::report {
OrderedJson ToJson(const RoutingReport&) { return {}; }
std::string ToHtml(const RoutingReport&) { return ""; }
}
