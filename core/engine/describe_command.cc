#include <iostream>

#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"
#include "core/engine/commands.h"
#include "core/model/architecture_table.h"
#include "core/pipeline/kinds/artifact_kind.h"
#include "core/pipeline/stage_table.h"
#include "core/quant/format.h"

namespace nashswarm::engine {

int RunDescribe() {
  OrderedJson out;
  out["version"] = NASHSWARM_VERSION;
  for (const model::Architecture& row : model::Architectures()) {
    out["architectures"].push_back(OrderedJson{{"model_type", row.model_type}, {"gguf", row.gguf}});
  }
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    out["number_formats"].push_back(OrderedJson{
        {"name", info.name}, {"bits_per_weight", info.bits_per_weight()}, {"block_weights", info.block_weights}});
  }
  for (const pipeline::ArtifactKind* kind : pipeline::AllKinds()) out["artifact_kinds"].push_back(kind->name());
  for (const pipeline::StageRow& stage : pipeline::Stages()) out["stages"].push_back(stage.name);
  out["limits"] = OrderedJson{{"header_bytes", checkpoint::kMaxHeaderBytes}, {"experts", model::kMaxExperts}};
  std::cout << out.dump(1) << "\n" << std::flush;
  return std::cout.good() ? 0 : 1;
}

}  // namespace nashswarm::engine
