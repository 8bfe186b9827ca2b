// Dense artifacts: plain safetensors, as wide as the user asks.
#ifndef NASHSWARM_CORE_ARTIFACT_DENSE_H_
#define NASHSWARM_CORE_ARTIFACT_DENSE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "core/artifact/gguf_artifact.h"
#include "core/checkpoint/dtype.h"

namespace nashswarm::artifact {

// Decodes every tensor of `artifact` into the safetensors file `path`, under its GGUF name and with its rows as GGUF
// orders them, as F32, F16 or BF16 (`dtype`); an order of experts goes into its metadata. Row by row: memory does not
// grow with the model. Whole or not at all. DATA_LOSS / EXPERT_ORDER_INVALID, and the errors of writing.
absl::Status WriteDense(const OpenGguf& artifact, checkpoint::DType dtype, const std::string& path,
                        const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_CORE_ARTIFACT_DENSE_H_
