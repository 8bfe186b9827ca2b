// The report of route for the terminal: tables, and maps drawn with characters.
#ifndef NASHSWARM_CORE_ENGINE_ROUTE_TEXT_H_
#define NASHSWARM_CORE_ENGINE_ROUTE_TEXT_H_

#include <string>

#include "core/report/routing_report.h"

namespace nashswarm::engine {

std::string ToText(const report::RoutingReport& report);

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_ROUTE_TEXT_H_
