// What the architectures' mappers share: looking up tensors, checking their shapes, collecting hyperparameters.
#ifndef NASHSWARM_CORE_MODEL_MAPPER_H_
#define NASHSWARM_CORE_MODEL_MAPPER_H_

#include <set>
#include <string>
#include <string_view>

#include "core/model/architecture.h"

namespace nashswarm::model {

// Padding of the feed-forward width when it does not divide into the smallest block of any quantized format: hidden
// units that are zero in and zero out change nothing, and let their matrices be quantized at all.
inline constexpr uint64_t kNarrowBlock = 32;

// Collects the mapping of one checkpoint. The first error sticks; later calls do nothing.
class Mapper {
 public:
  Mapper(const checkpoint::Checkpoint& checkpoint, std::string architecture);

  // Hyperparameters from config.json; `name` with alternatives separated by '|'. Counts are in [1, 2^31).
  uint64_t Count(std::string_view names);
  uint64_t CountOr(std::string_view names, uint64_t fallback);
  double Real(std::string_view names, double fallback);
  const Json& config() const { return checkpoint_.config(); }

  // GGUF metadata "<architecture>.<key>".
  void Put(std::string_view key, checkpoint::GgufValue value);

  struct Shape {
    uint64_t rows = 0, row_weights = 0;               // of the checkpoint, in stored orientation
    uint64_t padded_rows = 0, padded_row_weights = 0; // 0: no padding
    Layout layout = Layout::kRows;
    uint64_t head_rows = 0;
    float plus = 0;                                   // added to every weight
    int expert = -1;                                  // whose matrix it is
    double token_share = 1;
  };
  bool Has(const std::string& source) const { return checkpoint_.Find(source) != nullptr; }
  void Matrix(std::string name, const std::string& source, Role role, int layer, Shape shape);
  void Vector(std::string name, const std::string& source, Role role, int layer, Shape shape);
  // As Vector, when the checkpoint has it.
  void OptionalVector(std::string name, const std::string& source, Role role, int layer, Shape shape);
  void Constant(std::string name, Role role, std::vector<float> values);
  void Ignore(const std::string& source) { used_.insert(source); }
  void Warn(std::string text) { model_.warnings.push_back(std::move(text)); }
  void Fail(std::string_view reason, const std::string& message, std::string_view hint);
  bool ok() const { return status_.ok(); }

  // Checks that no weight of the checkpoint was left over, except buffers whose name ends with one of `buffers`.
  absl::StatusOr<Model> Finish(uint64_t embedding_rows, absl::Span<const std::string_view> buffers);

 private:
  const Json* FindConfig(std::string_view names) const;
  void Add(std::string name, const std::string& source, Role role, int layer, Shape shape, bool vector);

  const checkpoint::Checkpoint& checkpoint_;
  Model model_;
  std::set<std::string> used_;
  absl::Status status_;
};

// One per architecture family.
absl::StatusOr<Model> MapGpt2(const checkpoint::Checkpoint& checkpoint);
bool IsLlamaFamily(std::string_view model_type);
absl::StatusOr<Model> MapLlama(const checkpoint::Checkpoint& checkpoint, std::string_view model_type);  // one of the family

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_MAPPER_H_
