// What the error of a matrix counts for, as nsq quantizes it: the curvature of the KL divergence, as far as calibration knows it.
//
// An error E of a linear layer's matrix changes the predictions by about 1/2 sum_i G_ii e_i H e_i^T nats, with H the second
// moment of the layer's input and G_ii the Fisher information of its output i (Kronecker-factored curvature, core/forward/
// fisher.h). A table of embeddings has the second moment of the gradient at its rows in place of H, and how often a row is
// looked up in place of G. A tied embedding is both at once, and its curvature the sum of both.
#ifndef NASHSWARM_CORE_CALIBRATE_MATRIX_LOSS_H_
#define NASHSWARM_CORE_CALIBRATE_MATRIX_LOSS_H_

#include "core/calibrate/moments.h"
#include "core/model/architecture.h"
#include "core/nsq/loss.h"

namespace nashswarm::calibrate {

// For the tensor in the checkpoint's order and without padding (model::InCheckpointOrder). `moments` may be null, and may lack
// what it has not seen: the loss is then plainer, in the end the squared error. Takes a factorization, width^3.
nsq::MatrixLoss MatrixLossOf(const model::MappedTensor& tensor, bool tied_head, const Moments* moments);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_MATRIX_LOSS_H_
