// Levels that are not evenly spaced. One table of them for encoders, decoders and error feedback, scalar and SIMD.
#ifndef NASHSWARM_CORE_QUANT_CODEBOOK_H_
#define NASHSWARM_CORE_QUANT_CODEBOOK_H_

#include <cstddef>
#include <cstdint>
#include <limits>

namespace nashswarm::quant {

constexpr int kMaxLevels = 16;  // of a codebook: as many as one instruction looks up in a table of bytes

// Made by MakeCodebook. Levels are integers, so that thresholds and differences of levels are exact in floats.
struct Codebook {
  int size = 0;                         // levels
  float level[kMaxLevels] = {};         // ascending; past the last one its repetition
  float threshold[kMaxLevels - 1] = {}; // midway to the next level: what is greater belongs to that. Past the last one infinite

  // For lookups: cells of equal width from `first_cell` on, of which the outer two go on for ever. No cell holds two thresholds, so
  // that the cell of a number says which two levels to choose from; they are the same where no threshold is.
  float first_cell = 0.0f, cells_per_unit = 0.0f;
  alignas(16) int8_t below[kMaxLevels] = {}, above[kMaxLevels] = {};  // where vectors are loaded from
};

// Has no definition: a codebook whose cells do not do is an error of the compiler's, which names this.
void ACellHoldsTwoThresholdsOrOneLiesAtItsEdge();

template <size_t kSize>
consteval Codebook MakeCodebook(const int8_t (&levels)[kSize], float first_cell, float cell_width) {
  static_assert(kSize >= 2 && kSize <= kMaxLevels);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kMargin = 1.0f / 64;  // rounding does not carry a threshold into the next cell
  constexpr int kLast = static_cast<int>(kSize) - 1;
  Codebook book;
  book.size = static_cast<int>(kSize);
  for (int k = 0; k < kMaxLevels; ++k) book.level[k] = levels[k < kLast ? k : kLast];
  for (int k = 0; k < kMaxLevels - 1; ++k) {
    book.threshold[k] = k < kLast ? 0.5f * (book.level[k] + book.level[k + 1]) : kInfinity;
  }
  book.first_cell = first_cell;
  book.cells_per_unit = 1.0f / cell_width;
  for (int cell = 0; cell < kMaxLevels; ++cell) {
    const float start = cell == 0 ? -kInfinity : first_cell + static_cast<float>(cell) * cell_width;
    const float end = cell == kMaxLevels - 1 ? kInfinity : first_cell + static_cast<float>(cell + 1) * cell_width;
    int below = 0, inside = 0;
    for (int k = 0; k < kLast; ++k) {
      const float threshold = book.threshold[k];
      if (threshold > start - kMargin && threshold < start + kMargin) ACellHoldsTwoThresholdsOrOneLiesAtItsEdge();
      below += threshold < start;
      inside += threshold > start && threshold < end;
    }
    if (inside > 1) ACellHoldsTwoThresholdsOrOneLiesAtItsEdge();
    book.below[cell] = levels[below];
    book.above[cell] = levels[below + inside];
  }
  return book;
}

// IQ4_NL and IQ4_XS.
inline constexpr Codebook kCodebookIQ4 =
    MakeCodebook({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, -120.0f, 13.5f);

// MXFP4: twice the elements E2M1 of the OCP Microscaling Formats, which are 0, 1/2, 1, 3/2, 2, 3, 4, 6 and their negatives.
inline constexpr Codebook kCodebookE2M1 =
    MakeCodebook({-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12}, -8.0625f, 1.0078125f);

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_CODEBOOK_H_
