// How much a row loses in a format: encode, decode, compare.
#ifndef NASHSWARM_CORE_QUANT_ERROR_H_
#define NASHSWARM_CORE_QUANT_ERROR_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/quant/format.h"

namespace nashswarm::quant {

// Sums over the weights x of a row, decoded as y, with importance w (1 without importance). Adding up rows in a fixed
// order gives the same bits on every machine and thread count.
struct RowError {
  double error = 0.0;   // sum w (x - y)^2
  double energy = 0.0;  // sum w x^2
  RowError& operator+=(const RowError& other) {
    error += other.error;
    energy += other.energy;
    return *this;
  }
};

// Buffers that calls reuse; one per thread, any size to begin with.
struct ErrorScratch {
  std::vector<uint8_t> encoded;
  std::vector<float> decoded;
};

// The error of `decoded` against `row`; both as long as `importance`, unless that is empty.
RowError CompareRows(absl::Span<const float> row, absl::Span<const float> decoded, absl::Span<const float> importance);

// The error that EncodeRow with the same arguments makes. row.size() must fit the format.
RowError MeasureRow(Format format, absl::Span<const float> row, absl::Span<const float> importance,
                    ErrorScratch& scratch);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_ERROR_H_
