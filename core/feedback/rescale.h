// Better scales for levels that are fixed: the least squares of a sub-block in the metric of H. Internal to
// core/feedback.
#ifndef NASHSWARM_CORE_FEEDBACK_RESCALE_H_
#define NASHSWARM_CORE_FEEDBACK_RESCALE_H_

#include "core/feedback/kernels.h"
#include "core/quant/scales.h"

namespace nashswarm::feedback {

// Changes scale and minimum of sub-block `sub` of the block to the storable pair near the best one for row `row` of the
// sums, if that lowers e H e^T; in formats without integer scales that means d and dmin themselves, which stay storable
// (quant::StorableScale). True when changed.
bool ImproveScales(const quant::BlockShape& shape, const SubSums& sums, int row, int sub, quant::BlockScales& scales);

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_CORE_FEEDBACK_RESCALE_H_
