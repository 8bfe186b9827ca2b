// The inner loops of the encoders, behind a table of functions so that one encoder runs on every instruction set.
//
// Agreement to the bit. A SIMD lane holds a whole block: 16 blocks are transposed into a Group, and every sum runs down
// a lane in the order of its weights. No sum crosses lanes and nothing is fused (-ffp-contract=off, no FMA), so a lane
// computes exactly what the plain loop in kernels_scalar.cc computes for its block, whatever the vector length.
#ifndef NASHSWARM_CORE_QUANT_KERNELS_H_
#define NASHSWARM_CORE_QUANT_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/types/span.h"
#include "core/quant/scales.h"

namespace nashswarm::quant {

constexpr int kLanes = 16;        // blocks of a group: one AVX-512 vector of floats
constexpr int kMaxBlock = 32;     // weights of a block, at most
using Lanes = float[kLanes];

// Up to 16 blocks of `size` weights; weight i of block l lies at [i][l]. Lanes past `blocks` do not count: a kernel may
// read and write them or not.
struct Group {
  alignas(64) float x[kMaxBlock][kLanes];
  alignas(64) float w[kMaxBlock][kLanes];  // importance / its maximum in the group; only set when `weighted`
  int blocks;
  int size;
  bool weighted;
};

// Where a first guess puts the range of a block's weights on the levels 0..max: weight = minimum lands on `shift`, and
// the range spans max + stretch levels.
struct Window {
  float stretch, shift;
};

// Scales below this are zero: far below any half-precision scale, and its inverse is still finite.
constexpr float kTinyScale = 1e-30f;
// Weights are clamped to this on loading: no format reaches it, and 32 weighted squares of it stay finite.
constexpr float kHugeWeight = 0x1p40f;
// The least importance of a weight relative to its group's greatest, so that no sum of importances is zero.
constexpr float kLeastImportance = 0x1p-30f;

struct ScaleSums {
  Lanes xq, qq;  // sum w x q, sum w q^2
};
struct AffineSums {
  Lanes w, x, q, xq, qq;  // sum w, sum w x, sum w q, sum w x q, sum w q^2
};

// Sums over every eighth weight: entry k over the weights i with i % 8 = k.
constexpr int kPartialSums = 8;
struct PartialErrors {
  double error[kPartialSums] = {};   // sum w (x - y)^2
  double energy[kPartialSums] = {};  // sum w x^2
};

struct Kernels {
  std::string_view name;

  // Transposes `blocks` <= 16 consecutive blocks of `size` (16 or 32) weights. `importance` may be null.
  void (*load)(const float* x, const float* importance, int blocks, int size, Group& group);

  // For w = s q: the scale of each lane that is the least-squares solution of a rounding. Tried are the roundings that
  // put the weight of greatest magnitude on levels[k]; the best solution wins.
  void (*fit_scale)(const Group& group, const Grid& grid, absl::Span<const float> levels, Lanes& scale);
  // Of `count` candidate scales per lane, the one with the least error sum w (x - s q)^2, first one in a tie.
  void (*pick_scale)(const Group& group, const Grid& grid, int count, const Lanes* scale, Lanes& best, Lanes& error);
  void (*scale_sums)(const Group& group, const Grid& grid, const Lanes& scale, ScaleSums& sums);

  // For w = s q - m, q in 0..max: s >= 0 and m of each lane, likewise the best least-squares solution of the roundings
  // that `windows` name. m >= 0 when sign = 1 and m <= 0 when sign = -1.
  void (*fit_affine)(const Group& group, float max, float sign, absl::Span<const Window> windows, Lanes& scale,
                     Lanes& min);
  // Of `count` candidates per lane, the one with the least error sum w (x - (s q - m))^2, first one in a tie.
  // `best` receives its number.
  void (*pick_affine)(const Group& group, float max, int count, const Lanes* scale, const Lanes* min, Lanes& best,
                      Lanes& error);
  void (*affine_sums)(const Group& group, float max, const Lanes& scale, const Lanes& min, AffineSums& sums);

  // Rounds `blocks` blocks in row order with a scale and minimum each: q - grid.lo, or the number of the codebook's level.
  void (*round)(const float* x, int blocks, int size, const Grid& grid, const float* scale, const float* min,
                uint8_t* q);

  // Compares x with y, `count` weights, a multiple of 8. `importance` may be null.
  void (*compare)(const float* x, const float* y, const float* importance, size_t count, PartialErrors& sums);
};

const Kernels& ScalarKernels();
const Kernels& SimdKernels();    // for the best instruction set of this machine
const Kernels& ActiveKernels();  // one of the two, see ForceScalarKernels

// The instruction sets that this binary has kernels for and this machine runs: Highway target bits.
int64_t KernelTargets();
// Makes SimdKernels() use that one; 0 returns to the best. For tests; thread-hostile.
void UseKernelTarget(int64_t target);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_KERNELS_H_
