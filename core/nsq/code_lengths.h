// The code lengths that weights go by when they choose, and how they are learnt from what was chosen.
#ifndef NASHSWARM_CORE_NSQ_CODE_LENGTHS_H_
#define NASHSWARM_CORE_NSQ_CODE_LENGTHS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/nsq/column.h"

namespace nashswarm::nsq {

// How many weights of each table chose each magnitude: [table][kHistogram].
using Counts = std::vector<uint64_t>;

// The ideal length of what was counted, signs among it and tables not, in bits: every table's entropy.
double IdealBits(absl::Span<const uint64_t> counts);

class CodeLengths {
 public:
  // Before anything is known of the integers: what magnitudes would cost if normal weights took the nearest integer.
  // `spreads`: of the weights of each context, in steps.
  CodeLengths(bool dependent, absl::Span<const double> spreads);

  // Moves to the lengths that these counts ask for, and from the second call on farther the same way, since they go on that
  // way: reaches in five rounds what takes eight without (on normal weights at 1 to 4 bits). A table of which little was
  // counted keeps the more of its old lengths.
  void Learn(absl::Span<const uint64_t> counts);

  ChoiceRates rates() const { return ChoiceRates(dependent_, lengths_); }
  absl::Span<const float> of_table(int table) const {
    return absl::MakeConstSpan(lengths_).subspan(static_cast<size_t>(table) * kRateWidth, kRateWidth);
  }

 private:
  bool dependent_;
  bool learnt_ = false;
  std::vector<float> lengths_;  // [table][kRateWidth]
};

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_CODE_LENGTHS_H_
