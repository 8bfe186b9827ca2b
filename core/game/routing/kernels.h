// The steps over all tokens, a block of them at a time: columns of kBlock floats, one for each expert.
//
// Tokens do not mix and nothing is fused, so the SIMD kernels agree with their scalar twins to the bit.
#ifndef NASHSWARM_CORE_GAME_ROUTING_KERNELS_H_
#define NASHSWARM_CORE_GAME_ROUTING_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nashswarm::routing {

// A cache line of floats, so that one token's column and its neighbours' are the same lines.
inline constexpr size_t kBlock = 16;

// What one block looks like: all pointers to experts x kBlock floats, except `stay` and `join`, one an expert.
struct BlockView {
  const float* fixed;    // what does not change: similarity, cohesion, cache; -infinity outside the group
  const float* chosen;   // 1 or 0
  const float* aligned;  // neighbours that use the expert; null without alignment
  const float* stay;     // cost of an expert for those that use it
  const float* join;     // and for one more
  float alignment;       // worth of a neighbour
  size_t experts;
};

struct Kernels {
  std::string_view name;
  // The `rank`th greatest of each column entry, over experts: out[kBlock]. rank in [1, experts]. `room`: rank * kBlock floats.
  void (*rank)(const float* columns, size_t experts, size_t rank, float* room, float* out);
  // out[t] = 1 where some expert that token t does not use is worth more to it than one it uses.
  void (*wants)(const BlockView& block, uint8_t* out);
};

const Kernels& ScalarKernels();
const Kernels& SimdKernels();    // for the best instruction set of this machine
const Kernels& ActiveKernels();  // one of the two, see ForceScalarKernels

// Runs the scalar reference (tests and benchmarks); thread-hostile.
void ForceScalarKernels(bool on);

// As in core/quant/kernels.h: the instruction sets this binary has kernels for and this machine runs, and their choice.
int64_t KernelTargets();
void UseKernelTarget(int64_t target);

}  // namespace nashswarm::routing

#endif  // NASHSWARM_CORE_GAME_ROUTING_KERNELS_H_
