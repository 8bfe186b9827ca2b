// Mean squares of the weights of a matrix in units of their scales: by row, by column, by context.
#ifndef NASHSWARM_CORE_NSQ_POWER_H_
#define NASHSWARM_CORE_NSQ_POWER_H_

#include <vector>

#include "core/nsq/round.h"

namespace nashswarm::nsq {

struct Power {
  std::vector<double> row, column;
};

// The same at any number of threads.
Power MeanSquares(const Board& board, int threads);

// Root mean squares of the contexts, over these rows; 0 for one that none of them has.
std::vector<double> ContextSpreads(const Board& board, const Rows& rows);

}  // namespace nashswarm::nsq

#endif  // NASHSWARM_CORE_NSQ_POWER_H_
