// Small synthetic checkpoints with random weights, one per architecture, for tests that need a whole model.
#ifndef NASHSWARM_TESTS_SUPPORT_TINY_CHECKPOINT_H_
#define NASHSWARM_TESTS_SUPPORT_TINY_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/dtype.h"

namespace nashswarm::testing {

struct TinyTensor {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// A checkpoint under construction: change config or tensors, then Write it.
struct TinyCheckpoint {
  Json config;
  std::map<std::string, TinyTensor> tensors;
  checkpoint::DType dtype = checkpoint::DType::kF32;

  void Add(const std::string& name, std::vector<uint64_t> shape);   // random values, fixed by name
  // Writes config.json, model.safetensors and a byte-level BPE tokenizer of `vocab_size` tokens.
  void Write(const std::string& directory) const;
};

// Two layers, width 64, feed-forward 96, 4 heads (2 of keys and values), vocabulary 300. `model_type`: llama, mistral,
// qwen2, qwen3, gemma3_text, or one of four experts and two for a token: mixtral, qwen2_moe, qwen3_moe, olmoe.
TinyCheckpoint TinyLlama(const std::string& model_type, bool tied);
// One of the four with `experts` experts a layer, 4 or more, no tied embedding.
TinyCheckpoint TinyMixture(const std::string& model_type, int experts);
// Two layers, width 64, 4 heads, context 32, vocabulary 300.
TinyCheckpoint TinyGpt2();

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_SUPPORT_TINY_CHECKPOINT_H_
