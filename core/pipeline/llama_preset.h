// The presets of llama.cpp's quantizer as it publishes them: which type every tensor of a model gets. What a user would take
// otherwise, so what a report compares with; encoded by this program, whose encoders err a little less (docs/benchmarks.md).
#ifndef NASHSWARM_CORE_PIPELINE_LLAMA_PRESET_H_
#define NASHSWARM_CORE_PIPELINE_LLAMA_PRESET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/pipeline/open_model.h"

namespace nashswarm::pipeline {

struct LlamaPreset {
  std::string name;                    // "Q3_K_M"
  std::vector<quant::Format> formats;  // by Model::tensors
  uint64_t bytes = 0;                  // of the GGUF file
};

// From the smallest type to the largest; the rules are those of llama.cpp's source, src/llama-quant.cpp, without its IQ types.
std::vector<LlamaPreset> LlamaPresets(const OpenModel& open);
// The same of a model whose file has `header_bytes` before its tensors.
std::vector<LlamaPreset> LlamaPresets(const model::Model& model, uint64_t header_bytes);

// The one whose file is nearest to `bytes` in size, the smaller of equally near ones.
LlamaPreset NearestPreset(std::vector<LlamaPreset> presets, uint64_t bytes);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_LLAMA_PRESET_H_
