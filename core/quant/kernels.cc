#include "core/quant/kernels.h"

#include "core/quant/format.h"

namespace nashswarm::quant {
namespace {

bool force_scalar = false;

}  // namespace

const Kernels& ActiveKernels() { return force_scalar ? ScalarKernels() : SimdKernels(); }

void ForceScalarKernels(bool on) { force_scalar = on; }

std::string_view KernelTarget() { return ActiveKernels().name; }

}  // namespace nashswarm::quant
