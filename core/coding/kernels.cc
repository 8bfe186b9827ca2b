#include "core/coding/kernels.h"

#include <atomic>

namespace nashswarm::coding {
namespace {

std::atomic<bool> force_scalar{false};

}  // namespace

void ForceScalarKernels(bool force) { force_scalar.store(force, std::memory_order_relaxed); }

const Kernels& ActiveKernels() {
  return force_scalar.load(std::memory_order_relaxed) ? ScalarKernels() : SimdKernels();
}

}  // namespace nashswarm::coding
