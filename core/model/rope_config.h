// Rotary embeddings and sliding windows as config.json describes them, in both of its styles: transformers before version
// 5 (rope_theta, rope_scaling) and since (rope_parameters, for each kind of layer when they differ).
#ifndef NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_
#define NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_

#include <cstdint>
#include <vector>

#include "core/model/architecture_table.h"
#include "core/model/mapper.h"

namespace nashswarm::model {

// Puts rope.dimension_count, rope.freq_base and what the scaling needs. `default_base`: where config.json does not say.
// `window_base`: that of layers with a window where config.json does not say (rope.freq_base_swa); 0: they have none of their own.
void PutRope(uint64_t head_width, uint64_t context, double default_base, double window_base, Mapper* map);

// Puts attention.sliding_window and, when not every layer has it, attention.sliding_window_pattern. Returns the window,
// 0 when no layer has one. `default_window`: where config.json has no such key.
uint64_t PutSlidingWindow(WindowRule rule, uint64_t default_window, uint64_t layers, Mapper* map);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_
