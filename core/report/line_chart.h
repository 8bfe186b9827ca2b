// One series over whole numbers (steps, rounds): a line with marks.
#ifndef NASHSWARM_CORE_REPORT_LINE_CHART_H_
#define NASHSWARM_CORE_REPORT_LINE_CHART_H_

#include <string>
#include <string_view>
#include <vector>

#include "core/report/svg_chart.h"

namespace nashswarm::report {

struct LineChart {
  enum class YAxis { kLinear, kFromZero, kLog, kLinearOrLog };  // kLog: all values above 0
  std::string_view id;                                          // as of Svg
  std::string title;                                            // plain, as all that follows
  std::string x_name, y_name;                                   // "step"; "price, nats a byte"
  std::vector<Point> points;                                    // at least one; finite
  int first = 1, last = 2;                                      // ends of the x axis
  YAxis y_axis = YAxis::kLinear;
  double reference = 0;  // a dashed line across; none at 0
  std::string reference_label;
};

std::string Draw(const LineChart& chart, const Layout& layout);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_LINE_CHART_H_
