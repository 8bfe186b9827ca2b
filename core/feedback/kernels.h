// The inner loops of encoding with feedback, scalar and SIMD.
//
// Rows are independent, so a panel holds many rows side by side and every loop runs across them: a vector lane is a
// row. Nothing is fused and nothing crosses lanes, so the plain loops of kernels_scalar.cc compute the same bits.
#ifndef NASHSWARM_CORE_FEEDBACK_KERNELS_H_
#define NASHSWARM_CORE_FEEDBACK_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/quant/scales.h"

namespace nashswarm::feedback {

// Rows side by side in a panel, always all of them: OpenBLAS rounds by the shape of a product, so every product has the
// same shape, whatever the number of rows in a call. Wide enough that a product runs at nearly full speed.
constexpr int kPanelRows = 128;
// Columns that a kernel works on at a time. Every block is one strip or several.
constexpr int kStrip = 32;
constexpr int kMaxStripSubs = 2;  // sub-blocks in a strip: one of 32 columns or two of 16

using Lane = float[kPanelRows];  // one number for each row of the panel

// A strip of the panel. Its columns lie kPanelRows apart.
struct Strip {
  quant::Grid grid;
  int subs;                 // sub-blocks in the strip
  alignas(64) Lane scale[kMaxStripSubs], min[kMaxStripSubs];
  alignas(64) Lane inverse[kMaxStripSubs];  // 1 / scale, or 0 for scale 0
  const float* matrix;      // the strip's square on the diagonal of U or H, row-major
  size_t stride;            // of `matrix`
  float added;              // to the diagonal of `matrix`: the damping of H; 0 with U
  float unit[kStrip];       // 1 / (diagonal of `matrix` + added)
  float* x;                 // weights as corrected so far (round), or the gradient e (H + damping) (the others)
  float* value;             // levels, as numbers: integers or codebook values
  float* decoded;           // scale * value - min
  float* change;            // what other columns must subtract `matrix` times
  int sub_weights() const { return kStrip / subs; }
};

// What scale and minimum of a sub-block are worth, with v its levels and H its square of H + damping:
struct SubSums {
  alignas(64) Lane gv, g;    // sum of gradient * v, sum of gradient
  alignas(64) Lane vHv, vH;  // v H v^T, sum of v H
  float H;                   // sum of H
};

struct Kernels {
  std::string_view name;
  // Column by column: rounds x to the nearest level, and feeds its error, over U_jj, to the strip's later columns.
  // Sets value, decoded and change.
  void (*round)(Strip& strip);
  // Column by column: moves each level to where e H e^T is least, all other levels as they are. Keeps decoded and the
  // strip's gradient up to date, and adds the increase of decoded to change.
  void (*refine)(Strip& strip);
  // Sums over sub-block number `sub`.
  void (*sum)(const Strip& strip, int sub, SubSums& sums);
  // Decodes the levels anew, after scale or min have changed; keeps up to date what refine does.
  void (*rescale)(Strip& strip);
};

const Kernels& ScalarKernels();
const Kernels& SimdKernels();  // for the best instruction set of this machine
const Kernels& ActiveKernels();
void UseKernels(const Kernels* kernels);  // for tests, thread-hostile; nullptr: SimdKernels()

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_CORE_FEEDBACK_KERNELS_H_
