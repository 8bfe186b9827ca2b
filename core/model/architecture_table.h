// The table of architectures: a row says everything that sets one apart. Who adds an architecture whose blocks are known adds
// a row (docs/development.md); MapDecoder, the forward pass, hints and lists of what is known all read it.
//
// Names, defaults and choices are those of the modules and configurations in Hugging Face's transformers; GGUF's names, and
// what its readers run, those of llama.cpp's loader.
#ifndef NASHSWARM_CORE_MODEL_ARCHITECTURE_TABLE_H_
#define NASHSWARM_CORE_MODEL_ARCHITECTURE_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"
#include "core/model/design.h"

namespace nashswarm::model {

// Which layers have a sliding window, as transformers has it: the members' names of the configurations are its.
enum class WindowRule {
  kNone,            // no layer, whatever config.json says
  kRefused,         // no layer: GGUF has none here, so that use_sliding_window is refused
  kEvery,           // all layers, when there is a window
  kEveryOnRequest,  // likewise, with use_sliding_window alone
  kFromLayer,       // use_sliding_window, from layer max_window_layers on, or by layer_types
  kEveryOther,      // use_sliding_window, the even ones below max_window_layers, or by layer_types
  kPeriodic,        // all but every sliding_window_pattern-th, or by layer_types
};

// Part of a layer: "attn_q" is "self_attn.q_proj". "#" stands for the number of an expert.
struct PartName {
  std::string_view gguf, checkpoint;
};

// Whether projections have biases: what config.json says under `key`, `otherwise` when it does not, or always so without a key.
struct BiasRule {
  std::string_view key = "";
  bool otherwise = false;
};

struct ExpertsRule {
  bool present = false;                    // this model_type has experts; what follows means nothing without
  std::string_view width = "intermediate_size", shared_width = "";  // keys of the widths of hidden units
  bool always_normalized = false;          // whatever norm_topk_prob says
  bool some_layers_without = false;        // config.json can ask for layers without experts, which are refused
};

struct Architecture {
  std::string_view model_type;             // in config.json
  std::string_view gguf;                   // general.architecture; rows that share it have one design
  const Design* design = nullptr;
  // Makes the model of a checkpoint of this row.
  absl::StatusOr<Model> (*map)(const checkpoint::Checkpoint& checkpoint, const Architecture& architecture) = nullptr;

  // For MapDecoder.
  absl::Span<const PartName> names = {};   // where they are not the common ones
  float norm_plus = 0;                     // what is added to the weights of norms
  std::string_view activation = "hidden_act";  // its key
  bool tied_head = false;                  // where config.json does not say; so for the rest of these values
  double epsilon = 1e-6, rope_base = 1e4;
  WindowRule window = WindowRule::kNone;
  uint64_t window_width = 4096;
  std::string_view score_width = "";       // key of what scores of attention are divided by the root of; "" the width of a head
  double score_width_otherwise = 0;
  BiasRule attention_bias{"attention_bias"}, mlp_bias;
  bool bias_of_output = true;              // attn_output has a bias when attn_q, attn_k and attn_v have
  ExpertsRule experts;
  bool window_is_run = false;              // by llama.cpp; otherwise there is a warning
};

absl::Span<const Architecture> Architectures();
// nullptr: not known.
const Architecture* FindArchitecture(std::string_view model_type);
// The layers of a GGUF file's architecture; nullptr: not known.
const Design* DesignOf(std::string_view gguf);

// For hints, in the table's order: model_types of config.json, and the names that GGUF files have, once each.
std::string ListModelTypes();
std::string ListGgufArchitectures();

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_ARCHITECTURE_TABLE_H_
