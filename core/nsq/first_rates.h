// Code lengths to begin with, before anything is known of a tensor's integers.
#ifndef NASHSWARM_CORE_NSQ_FIRST_RATES_H_
#define NASHSWARM_CORE_NSQ_FIRST_RATES_H_

#include <vector>

#include "absl/types/span.h"
#include "core/coding/frequency_table.h"

namespace nashswarm::nsq {

// Code length in bits of a magnitude, for the next round's choices. What the table cannot code it could after refitting, at
// about the price of an escape.
float ChoosingBits(const coding::FrequencyTable& table, int level);

// [context][quantizer, when dependent][kRateWidth] for contexts whose weights have these spreads, in steps: what magnitudes
// would cost if normal weights took the nearest integer.
std::vector<float> FirstRates(bool dependent, absl::Span<const double> spreads);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_FIRST_RATES_H_
