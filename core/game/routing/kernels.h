// The inner loops of the routing game, behind a table of functions so that they run on every instruction set.
//
// Agreement to the bit. A SIMD lane holds a token: 16 tokens are transposed into a block, and every sum and every
// selection runs down a lane in the order of the plain loop in kernels_scalar.cc. Nothing crosses lanes and nothing is
// fused (-ffp-contract=off, no FMA), so that results do not depend on the vector length. `dot` alone sums across a row,
// in a fixed number of partial sums.
#ifndef NASHSWARM_CORE_GAME_ROUTING_KERNELS_H_
#define NASHSWARM_CORE_GAME_ROUTING_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nashswarm::routing {

constexpr size_t kLanes = 16;           // tokens of a block: one AVX-512 vector of floats
constexpr size_t kPartialDoubles = 8;   // partial sum k of `dot` is over the elements i with i % 8 = k
constexpr size_t kNeighbourBlock = 128; // tokens among which a token looks for its neighbours

// Below this a product of two norms counts as zero, norms being relative to the greatest centre's: a direction that is
// mostly rounding error is none.
constexpr float kTinyNorms = 1e-12f;

// What 16 tokens choose from and chose. Slot s of lane l lies at [s * kLanes + l]; slots are in falling order of
// similarity.
struct BlockView {
  size_t group;            // slots of each token
  const float* values;     // [group x 16] what the slot's expert is worth to the token whatever the others do
  const int32_t* choices;  // [group x 16] 2 * expert + (1 when chosen)
  const float* prices;     // [2 * experts] by the same index: the cost of joining the expert (even), of staying (odd)
  const int32_t* agreeing; // [experts x 16] how many neighbours of the lane's token chose the expert; may be null
  float agreement;         // worth of each of them
};

struct Kernels {
  std::string_view name;

  // Neither NaN nor infinite, all of them.
  bool (*finite)(const float* x, size_t n);
  // The `keep` greatest of `count` numbers, the greatest first and of equal ones the lower index first, for 16 lanes:
  // number c of lane l is rows[c * stride + l]; its place and it go to ids and values [keep x 16]. NaN and minus
  // infinity are never among them; where too few are left, the id is -1. keep <= count.
  void (*greatest)(const float* rows, size_t stride, size_t count, size_t keep, float* values, int32_t* ids);
  // cosines [group x 16]: of the angle between each slot's centre and the sum of all the centres of the lane's slots,
  // from products [experts x experts] of the centres; 0 where either has no length. sums: scratch, [group x 16].
  void (*cosines)(const float* products, size_t experts, const int32_t* ids, size_t group, float* sums, float* cosines);
  // Bit l: lane l has a slot that is not chosen and worth more by `margin` than the least slot that is chosen, that is:
  // its best response is another set. What a slot is worth: values - prices + agreement * agreeing.
  uint32_t (*differ)(const BlockView& block, float margin);
  // products [count x kNeighbourBlock]: row i holds sum over w of x[w * kNeighbourBlock + i] * x[w * kNeighbourBlock
  // + j], for x [width x kNeighbourBlock], j over all 128.
  void (*token_products)(const float* x, size_t width, size_t count, float* products);
  // Sum of a[i] * b[i] in doubles.
  double (*dot)(const float* a, const float* b, size_t n);
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
