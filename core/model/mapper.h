// What the architectures' mappers share: looking up tensors, checking their shapes, collecting hyperparameters.
#ifndef NASHSWARM_CORE_MODEL_MAPPER_H_
#define NASHSWARM_CORE_MODEL_MAPPER_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/model/architecture.h"
#include "core/model/architecture_table.h"

namespace nashswarm::model {

// Padding of the feed-forward width when it does not divide into the smallest block of any quantized format: hidden
// units that are zero in and zero out change nothing, and let their matrices be quantized at all.
inline constexpr uint64_t kNarrowBlock = 32;

// Collects the mapping of one checkpoint. The first error sticks; later calls do nothing.
class Mapper {
 public:
  Mapper(const checkpoint::Checkpoint& checkpoint, std::string architecture);

  // Hyperparameters from config.json; `name` with alternatives separated by '|'. A value of another type or out of range is
  // CONFIG_INVALID with key and value; null and absent are the fallback. Counts are in [1, 2^31), reals positive and finite.
  uint64_t Count(std::string_view names);
  uint64_t CountOr(std::string_view names, uint64_t fallback);
  double Real(std::string_view names, double fallback) { return RealIn(config(), names, fallback); }
  bool Flag(std::string_view names, bool fallback) { return FlagIn(config(), names, fallback); }
  std::string Text(std::string_view names, std::string_view fallback) { return TextIn(config(), names, fallback); }
  // The same of an object within config.json. With a fallback of 0 a real may be 0 too.
  uint64_t CountIn(const Json& object, std::string_view names, uint64_t fallback);
  double RealIn(const Json& object, std::string_view names, double fallback);
  bool FlagIn(const Json& object, std::string_view names, bool fallback);
  std::string TextIn(const Json& object, std::string_view names, std::string_view fallback);
  bool Says(std::string_view names) const { return FindIn(config(), names).second != nullptr; }  // not null
  const Json& config() const { return checkpoint_.config(); }

  // Tensors go by the names that transformers gives them. Wrappers put something in front, and a base model saved alone has less:
  // "_orig_mod." (torch.compile) and a leading "module." (data parallel) are taken off when the mapper is made; `root` ("model.") is
  // put in front of all names but the head's when the layers ("layers.") are without it, and taken off when they have it twice.
  void UseRoot(const std::string& root, const std::string& layers);

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
    uint64_t scaled = 0;                              // that many outputs, from the first on, are multiplied by
    float scale = 1;
  };
  const checkpoint::SourceTensor* Find(const std::string& source) const;  // nullptr when absent
  bool Has(const std::string& source) const { return Find(source) != nullptr; }
  void Matrix(std::string name, const std::string& source, Role role, int layer, Shape shape);
  void Vector(std::string name, const std::string& source, Role role, int layer, Shape shape);
  // A bias, which config.json asks for (`wanted`) or not. As transformers does: one that is not there is zero, one that nothing
  // asks for is left out; either is said.
  void Bias(bool wanted, std::string name, const std::string& source, int layer, Shape shape);
  void Constant(std::string name, Role role, std::vector<float> values);
  void Ignore(const std::string& source) { used_.insert(Find(source)); }
  void Warn(std::string text) { model_.warnings.push_back(std::move(text)); }
  void Fail(std::string_view reason, const std::string& message, std::string_view hint);
  bool ok() const { return status_.ok(); }

  // Checks that no weight of the checkpoint was left over, except buffers whose name ends with one of `buffers`.
  absl::StatusOr<Model> Finish(uint64_t embedding_rows, absl::Span<const std::string_view> buffers);

 private:
  // Name and value of the first of the alternatives that is there; null counts as absent. {names, nullptr} when none is.
  static std::pair<std::string, const Json*> FindIn(const Json& object, std::string_view names);
  void BadValue(const std::string& name, const Json& value, std::string_view wanted);
  void Add(std::string name, const std::string& source, Role role, int layer, Shape shape, bool vector);

  const checkpoint::Checkpoint& checkpoint_;
  Model model_;
  std::map<std::string, const checkpoint::SourceTensor*> by_name_;
  std::set<const checkpoint::SourceTensor*> used_;
  std::vector<std::string> zero_biases_, unwanted_biases_;
  absl::Status status_;
};

// A head that config.json ties to `embedding` and that is stored all the same: left out, with a warning when it differs.
void IgnoreTiedHead(const std::string& embedding, Mapper* map);

// GGUF's part of a layer ("attn_q", "ffn_up.#") as this architecture's checkpoints name it, behind "model.layers.N.".
std::string NameInCheckpoint(const Architecture& row, std::string_view part);

// The mappings that rows of the table name.
absl::StatusOr<Model> MapDecoder(const checkpoint::Checkpoint& checkpoint, const Architecture& row);  // what most have in common
absl::StatusOr<Model> MapGpt2(const checkpoint::Checkpoint& checkpoint, const Architecture& row);

}  // namespace nashswarm::model

#endif  // NASHSWARM_CORE_MODEL_MAPPER_H_
