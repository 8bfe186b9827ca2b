// Rotary embeddings and sliding windows as config.json describes them, in both of its styles: transformers before version
// 5 (rope_theta, rope_scaling) and since (rope_parameters, for each kind of layer when they differ).
#ifndef NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_
#define NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_

#include <cstdint>
#include <vector>

#include "core/model/mapper.h"

namespace nashswarm::model {

// Puts rope.dimension_count, rope.freq_base and what the scaling needs. `default_base`: where config.json does not say.
// `local_layers`: the model has layers with a window and a base of their own (rope.freq_base_swa).
void PutRope(uint64_t head_width, uint64_t context, double default_base, bool local_layers, Mapper* map);

// Which layers have a sliding window, as transformers has it: the members' names of the configurations are its.
enum class WindowRule {
  kNone,            // no layer, whatever config.json says
  kEvery,           // all layers, when there is a window
  kEveryOnRequest,  // likewise, with use_sliding_window alone
  kFromLayer,       // use_sliding_window, from layer max_window_layers on, or by layer_types
  kEveryOther,      // use_sliding_window, the even ones below max_window_layers, or by layer_types
  kPeriodic,        // all but every sliding_window_pattern-th, or by layer_types
};

// Puts attention.sliding_window and, when not every layer has it, attention.sliding_window_pattern. Returns the window,
// 0 when no layer has one. `default_window`: where config.json has no such key.
uint64_t PutSlidingWindow(WindowRule rule, uint64_t default_window, uint64_t layers, Mapper* map);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_ROPE_CONFIG_H_
