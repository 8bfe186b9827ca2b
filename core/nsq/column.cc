#include "core/nsq/column.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/nsq/column_kernels.h"

namespace nashswarm::nsq {
namespace {

std::atomic<bool> force_scalar{false};

const ColumnKernels& ActiveKernels() {
  return force_scalar.load(std::memory_order_relaxed) ? ScalarColumnKernels() : SimdColumnKernels();
}

uint32_t Pair(const float* rates, int lower, int upper) {
  constexpr float kMost = 65535.0f;
  const auto fixed = [&](int level) {
    const float length = rates[std::min(level, kRateWidth - 1)] / ChoiceRates::kUnit;
    return static_cast<uint32_t>(std::lrint(std::min(length, kMost)));
  };
  return fixed(lower) | fixed(upper) << 16;
}

}  // namespace

ChoiceRates::ChoiceRates(bool dependent, absl::Span<const float> rates)
    : dependent_(dependent), tables_(static_cast<int>(rates.size()) / kRateWidth) {
  pairs_.reserve(rates.size());
  for (int table = 0; table < tables_; ++table) {
    const float* of_table = rates.data() + static_cast<ptrdiff_t>(table) * kRateWidth;
    if (!dependent) {
      for (int level = 0; level < kRateWidth; ++level) pairs_.push_back(Pair(of_table, level, level + 1));
      continue;
    }
    for (int parity = 0; parity < 2; ++parity) {
      for (int t = 0; t < kIntervals; ++t) pairs_.push_back(Pair(of_table, 2 * t + parity, 2 * t + parity + 2));
    }
  }
}

void ChooseColumns(const ColumnsProblem& problem, ColumnsScratch* scratch, ColumnsChoice* choice) {
  const ColumnKernels& kernels = ActiveKernels();
  if (!problem.rates->dependent()) return kernels.plain(problem, choice);
  scratch->decisions.resize(static_cast<size_t>(problem.rows) * kLanes);
  kernels.dependent(problem, scratch->decisions.data(), choice);
}

void FeedErrors(const float* errors, const float* factors, uint32_t factor_stride, int count, int rows, float* into) {
  ActiveKernels().feed(errors, factors, factor_stride, count, rows, into);
}

void ForceScalarColumns(bool force) { force_scalar.store(force, std::memory_order_relaxed); }

}  // namespace nashswarm::nsq
