// Where the forward pass takes a model's weights from. A checkpoint, a GGUF file and an artifact being made all look alike
// here: hyperparameters under GGUF's keys, tensors under GGUF's names with rows as GGUF orders them (outputs are rows; q and
// k of the llama architecture have rotary partners side by side).
#ifndef NASHSWARM_CORE_FORWARD_WEIGHTS_H_
#define NASHSWARM_CORE_FORWARD_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf.h"
#include "core/model/architecture.h"
#include "core/model/architecture_table.h"
#include "core/model/design.h"

namespace nashswarm::forward {

struct WeightShape {
  uint64_t rows = 0, row_weights = 0;  // a vector is one row
  std::string_view unsupported = {};   // the name of a type that cannot be decoded; "" when Read can
};

// Immutable; Find and Read may be called from any thread.
class Weights {
 public:
  virtual ~Weights() = default;
  virtual const std::string& name() const = 0;          // for messages: the path
  virtual const std::string& architecture() const = 0;  // as GGUF names it
  // What its layers are made of: the architecture's row of the table; nullptr when there is none.
  virtual const model::Design* design() const { return model::DesignOf(architecture()); }
  // The hyperparameter `key` without its "<architecture>." prefix ("attention.head_count"); nullptr when absent.
  virtual const checkpoint::GgufValue* Hyperparameter(std::string_view key) const = 0;
  virtual const WeightShape* Find(std::string_view tensor) const = 0;  // nullptr when absent
  // Rows [first, first + count) as floats: count * row_weights values into `out`. NOT_FOUND / MODEL_TENSOR_MISSING;
  // UNIMPLEMENTED / GGUF_TYPE_UNSUPPORTED.
  virtual absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const = 0;
};

// `checkpoint` and `model` (its mapping) outlive the result.
std::unique_ptr<Weights> WeightsOf(const checkpoint::Checkpoint& checkpoint, const model::Model& model);
// Any GGUF file.
std::unique_ptr<Weights> WeightsOf(std::string path, std::shared_ptr<const MappedFile> file, checkpoint::GgufFile gguf);

// MODEL_TENSOR_MISSING or MODEL_TENSOR_SHAPE unless `tensor` has `rows` rows of `row_weights`; UNIMPLEMENTED /
// GGUF_TYPE_UNSUPPORTED when they cannot be decoded.
absl::Status CheckTensor(const Weights& weights, std::string_view tensor, uint64_t rows, uint64_t row_weights);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_WEIGHTS_H_
