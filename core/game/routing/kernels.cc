#include "core/game/routing/kernels.h"

namespace nashswarm::routing {
namespace {

bool force_scalar = false;

}  // namespace

const Kernels& ActiveKernels() { return force_scalar ? ScalarKernels() : SimdKernels(); }

void ForceScalarKernels(bool on) { force_scalar = on; }

}  // namespace nashswarm::routing
