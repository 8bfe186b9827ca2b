// What a model is called and where it comes from: the model card (README.md's front matter, as the Hugging Face hub reads it), the
// name that it goes by, and config.json. As general.* of a GGUF file: the GGUF specification, "Metadata", and the naming
// convention there (docs/gguf.md).
#ifndef NASHSWARM_CORE_MODEL_MODEL_CARD_H_
#define NASHSWARM_CORE_MODEL_MODEL_CARD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::model {

// The parts of a name such as "org/SmolLM2-135M-Instruct-v0.2"; what it does not have is empty.
struct NameParts {
  std::string organization, name, basename, size_label, finetune, version;
};
NameParts SplitName(std::string_view name);

struct ModelCard {
  NameParts name;
  std::string license, license_name, license_link;
  std::vector<std::string> base_models;        // "org/name" each
  std::vector<std::string> tags, languages;
};

// `directory` may have no README.md, or one without front matter: that is no error, and nor is one that cannot be read. `name`:
// what the user or the hub calls it, "org/name" or "name"; empty: the card's own, else config.json's, else the architecture's
// with the size. `parameters` is rounded to a size where the name tells none.
ModelCard ReadModelCard(const std::string& directory, const std::string& name, const Json& config, std::string_view architecture,
                        uint64_t parameters);

// "135M", "7.2B".
std::string SizeLabel(uint64_t parameters);

// general.name, basename, size_label, license, base_model.*, ...: what is known of them.
void AppendMetadata(const ModelCard& card, std::vector<checkpoint::GgufMetadata>* out);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_MODEL_CARD_H_
