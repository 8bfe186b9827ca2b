// Context classes: columns and rows whose weights spread alike share frequency tables. The class of a weight is the sum of
// its row's and its column's, both in equal steps of log spread, as the spread of a weight is nearly the product of the two.
#ifndef NASHSWARM_CORE_NSQ_CLASSES_H_
#define NASHSWARM_CORE_NSQ_CLASSES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace nashswarm::nsq {

struct Classes {
  std::vector<uint8_t> row, column;
};

// `row_power`, `column_power`: mean squares of the weights (in units of their scales) of every row and column. Takes as many
// classes as pay for themselves in bits, by the entropy that Gaussians of these spreads would have.
Classes ChooseClasses(absl::Span<const double> row_power, absl::Span<const double> column_power);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_CLASSES_H_
