// Feed-forward parts that are mixtures of experts: what config.json says of them ("num_experts" or "num_local_experts", as
// transformers writes either), and their tensors.
#ifndef NASHSWARM_CORE_MODEL_EXPERTS_H_
#define NASHSWARM_CORE_MODEL_EXPERTS_H_

#include <cstdint>

#include "core/model/architecture_table.h"
#include "core/model/mapper.h"

namespace nashswarm::model {

struct Experts {
  uint64_t count = 0, used = 0;             // of a layer; of a token
  uint64_t ffn = 0, ffn_stored = 0;         // width of one expert's hidden units, and with zero padding
  uint64_t shared_ffn = 0, shared_stored = 0;  // of the shared expert; 0: there is none
};

// `row` has experts. CONFIG_INVALID for what GGUF's loaders do not have: layers without experts among the others.
Experts ReadExperts(const Architecture& row, uint64_t layers, Mapper* map);
// Hyperparameters, and a warning where llama.cpp weighs the experts in another way than config.json says.
void PutExperts(const Architecture& row, const Experts& experts, Mapper* map);
// Router, experts and shared expert of layer `layer`.
void MapExperts(const Architecture& row, const Experts& experts, uint64_t width, uint64_t layer, Mapper* map);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_EXPERTS_H_
