#include "core/quant/error.h"

#include "core/quant/kernels.h"

namespace nashswarm::quant {
namespace {

double Total(const double (&partial)[kPartialSums]) {
  return ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
         ((partial[4] + partial[5]) + (partial[6] + partial[7]));
}

}  // namespace

RowError CompareRows(absl::Span<const float> row, absl::Span<const float> decoded,
                     absl::Span<const float> importance) {
  PartialErrors sums;
  const size_t whole = row.size() / kPartialSums * kPartialSums;
  const float* w = importance.empty() ? nullptr : importance.data();
  ActiveKernels().compare(row.data(), decoded.data(), w, whole, sums);
  for (size_t i = whole; i < row.size(); ++i) {  // F32, F16 and BF16 rows may have any length
    const double x = row[i], e = x - decoded[i], weight = w == nullptr ? 1.0 : w[i];
    sums.error[i - whole] += weight * (e * e);
    sums.energy[i - whole] += weight * (x * x);
  }
  return {Total(sums.error), Total(sums.energy)};
}

RowError MeasureRow(Format format, absl::Span<const float> row, absl::Span<const float> importance,
                    ErrorScratch& scratch) {
  const FormatInfo& info = InfoOf(format);
  scratch.encoded.resize(row.size() / info.block_weights * info.block_bytes);
  scratch.decoded.resize(row.size());
  EncodeRow(format, row, importance, scratch.encoded.data());
  DecodeRow(format, scratch.encoded.data(), absl::MakeSpan(scratch.decoded));
  return CompareRows(row, scratch.decoded, importance);
}

}  // namespace nashswarm::quant
