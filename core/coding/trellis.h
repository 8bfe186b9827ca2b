// Dependent quantization: two quantizers that together have twice the levels of one, and a state machine, driven by the
// parities of the integers so far, that says which of them the next integer belongs to. The encoder searches the paths
// (trellis coded quantization: Marcellin & Fischer 1990; with entropy coding: Fischer & Wang, ECTCQ, 1992; eight states
// as in video coding: Schwarz et al., "Hybrid video coding with trellis-coded quantization", 2019). A reader only
// follows the states.
#ifndef NASHSWARM_CORE_CODING_TRELLIS_H_
#define NASHSWARM_CORE_CODING_TRELLIS_H_

#include <cstdint>

namespace nashswarm::coding {

constexpr int kTrellisStates = 8;

// The state after integer k; its low bit counts, in two's complement. Every column of a tile starts in state 0.
constexpr int NextState(int state, int32_t k) { return (state >> 1) ^ (7 * (state & 1)) ^ (k & 1); }

// The state before: the inverse of NextState for the same k.
constexpr int PreviousState(int next, int32_t k) {
  const int low = next >> 2;  // the low bit of a state moves to the top, and is added to the other two
  return low | ((((next & 1) ^ (k & 1)) ^ low) << 1) | ((((next >> 1) & 1) ^ low) << 2);
}

// The quantizer that a state uses, 0 or 1.
constexpr int QuantizerOf(int state) { return state & 1; }

// The reconstruction number n of integer k: the weight is n times its scales. 64 bits, since |k| may be 2^30.
// Without dependent quantization n = k.
constexpr int64_t Reconstruction(int quantizer, int32_t k) {
  const int64_t sign = (k > 0) - (k < 0);
  return int64_t{2} * k - (quantizer != 0 ? sign : 0);
}

}  // namespace nashswarm::coding

#endif  // NASHSWARM_CORE_CODING_TRELLIS_H_
