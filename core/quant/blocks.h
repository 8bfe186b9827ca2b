// Byte layouts of the GGUF block formats, little endian. The structs are packed: a block may lie at any address.
// Source of the layouts: the GGUF block formats as llama.cpp reads them.
#ifndef NASHSWARM_CORE_QUANT_BLOCKS_H_
#define NASHSWARM_CORE_QUANT_BLOCKS_H_

#include <bit>
#include <cstdint>

namespace nashswarm::quant {

static_assert(std::endian::native == std::endian::little, "blocks are written as they lie in memory");

constexpr int kBlock = 32;   // weights of a block with a scale of its own
constexpr int kSuper = 256;  // weights of a super-block: 8 x 32 or 16 x 16 weights with small integer scales

#pragma pack(push, 1)

// --- one scale per 32 weights: w = d * q ---

struct BlockQ8_0 {
  uint16_t d;    // binary16
  int8_t q[32];  // -128..127
};
static_assert(sizeof(BlockQ8_0) == 34);

struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];  // q + 8; low nibbles: weights 0..15, high nibbles: weights 16..31
};
static_assert(sizeof(BlockQ4_0) == 18);

struct BlockQ5_0 {
  uint16_t d;
  uint8_t high[4];  // bit i (little endian): fifth bit of weight i
  uint8_t q[16];    // q + 16, low four bits, nibbles as in Q4_0
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockIQ4_NL {
  uint16_t d;
  uint8_t q[16];  // number of a level of kCodebookIQ4, nibbles as in Q4_0
};
static_assert(sizeof(BlockIQ4_NL) == 18);

struct BlockMXFP4 {
  uint8_t e;      // d = 2^(e - 128)
  uint8_t q[16];  // sign (the high bit) and number of a level of E2M1, nibbles as in Q4_0
};
static_assert(sizeof(BlockMXFP4) == 17);

// --- one scale and one minimum per 32 weights: w = d * q + m ---

struct BlockQ4_1 {
  uint16_t d, m;
  uint8_t q[16];  // q, nibbles as in Q4_0
};
static_assert(sizeof(BlockQ4_1) == 20);

struct BlockQ5_1 {
  uint16_t d, m;
  uint8_t high[4];  // as in Q5_0
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// --- super-blocks with one scale per sub-block: w = d * scale[j] * q ---

struct BlockQ6_K {      // sub-blocks of 16
  uint8_t low[128];     // q + 32: low four bits. Half h (128 weights) owns bytes 64h..64h+63: weights 0..63 of the
                        // half in the low nibbles, 64..127 in the high nibbles
  uint8_t high[64];     // top two bits: byte 32h + l holds weights l, l+32, l+64, l+96 of half h
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

struct BlockQ3_K {      // sub-blocks of 16
  uint8_t high[32];     // third bit of q + 4: byte l, bit k holds weight 32k + l
  uint8_t low[64];      // two bits: byte 32h + l holds weights l, l+32, l+64, l+96 of half h
  uint8_t scales[12];   // scale + 32, six bits: byte j, low nibble: low bits of scale j, high nibble: of scale j + 8
                        // (j < 8); byte 8 + j%4, bits 2(j/4): high bits of scale j
  uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

struct BlockIQ4_XS {       // sub-blocks of 32, codebook values
  uint16_t d;
  uint16_t scales_high;    // bits 2j: high bits of scale j + 32
  uint8_t scales_low[4];   // nibble j: low four bits
  uint8_t q[128];          // sub-block j owns bytes 16j..16j+15, nibbles as in Q4_0
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// --- super-blocks with scale and minimum per sub-block: w = d * scale[j] * q - dmin * min[j] ---

struct BlockQ2_K {      // sub-blocks of 16
  uint8_t scales[16];   // low nibble scale, high nibble minimum
  uint8_t q[64];        // two bits, as BlockQ3_K::low
  uint16_t d, dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

// Q4_K and Q5_K, sub-blocks of 32. The 8 scales and 8 minima have six bits each: bytes 0..3 hold scales 0..3 and bytes
// 4..7 minima 0..3 in their low six bits; bytes 8..11 hold the low nibbles of scale 4+j (low) and minimum 4+j (high);
// the top two bits of bytes 0..3 and 4..7 are the top two bits of scale 4+j and minimum 4+j.
struct BlockQ4_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t q[128];  // bytes 32p..32p+31: sub-block 2p in the low nibbles, 2p + 1 in the high nibbles
};
static_assert(sizeof(BlockQ4_K) == 144);

struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t high[32];  // byte l, bit j: fifth bit of weight l of sub-block j
  uint8_t q[128];    // low four bits, as in Q4_K
};
static_assert(sizeof(BlockQ5_K) == 176);

#pragma pack(pop)

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_BLOCKS_H_
