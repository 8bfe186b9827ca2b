#include "core/nsq/round.h"

#include <algorithm>
#include <mutex>

#include "core/base/parallel.h"
#include "core/nsq/band.h"

namespace nashswarm::nsq {
namespace {

// How many bands go together: enough parts for the threads, and otherwise as many as there are lanes.
uint32_t BandsTogether(const Board& board, uint32_t bands, int threads) {
  if (board.factor == nullptr) return 1;
  const uint32_t parts = std::max<uint32_t>((bands + kLanes - 1) / kLanes, std::min(bands, static_cast<uint32_t>(std::max(threads, 1))));
  return (bands + parts - 1) / parts;
}

}  // namespace

Outcome Play(const Board& board, const Rows& rows, const ChoiceRates& rates, float step, int threads) {
  Outcome outcome;
  outcome.counts.assign(static_cast<size_t>(rates.tables()) * kHistogram, 0);
  if (rows.whole) outcome.integers.resize(size_t{board.grid.rows} * board.grid.columns);
  const Turn turn{board, rows, rates, 1.0f / step, rows.whole ? outcome.integers.data() : nullptr};
  const uint32_t bands = rows.bands(), together = BandsTogether(board, bands, threads);
  std::vector<double> errors(bands, 0.0);
  std::mutex mutex;
  (void)ParallelFor(threads, (bands + together - 1) / together, [&](uint64_t part) {
    const uint32_t first = static_cast<uint32_t>(part) * together, count = std::min(together, bands - first);
    Tally tally(rates);
    if (board.factor == nullptr) {
      PlayAlone(turn, first, &tally, &errors[first]);
    } else {
      PlayWithFeedback(turn, first, count, &tally, &errors[first]);
    }
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < outcome.counts.size(); ++i) outcome.counts[i] += tally.counts[i];
    return absl::OkStatus();
  });
  for (const double error : errors) outcome.error += error;
  return outcome;
}

}  // namespace nashswarm::nsq
