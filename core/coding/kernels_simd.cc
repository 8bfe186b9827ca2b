#include "core/coding/kernels.h"

namespace nashswarm::coding {

const Kernels& SimdKernels() { return ScalarKernels(); }
int64_t KernelTargets() { return 0; }
void UseKernelTarget(int64_t) {}

}  // namespace nashswarm::coding
