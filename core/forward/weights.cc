#include "core/forward/weights.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/status.h"
#include "core/quant/format.h"

namespace nashswarm::forward {
namespace {

absl::Status Missing(const std::string& model, std::string_view tensor) {
  return MakeError(absl::StatusCode::kNotFound, "MODEL_TENSOR_MISSING",
                   absl::StrCat(model, ": has no tensor '", ToAbsl(tensor), "'"));
}

absl::Status OutOfRows(const std::string& model, std::string_view tensor, uint64_t first, uint64_t count) {
  return MakeError(absl::StatusCode::kOutOfRange, "MODEL_TENSOR_SHAPE",
                   absl::StrCat(model, ": tensor '", ToAbsl(tensor), "' has no rows ", first, " to ", first + count));
}

bool HasRows(const WeightShape& shape, uint64_t first, uint64_t count) {
  return first <= shape.rows && count <= shape.rows - first;
}

class CheckpointWeights : public Weights {
 public:
  CheckpointWeights(const checkpoint::Checkpoint& checkpoint, const model::Model& model)
      : name_(checkpoint.directory()), model_(model), prefix_(model.architecture + ".") {
    for (const model::MappedTensor& tensor : model.tensors) {
      // A permuted bias is kept as one weight a row; to its readers it is a row like every vector.
      const WeightShape shape = tensor.vector ? WeightShape{1, tensor.weights()} : WeightShape{tensor.rows, tensor.row_weights};
      tensors_[tensor.name] = {shape, &tensor};
    }
    for (const checkpoint::GgufMetadata& entry : model.hyperparameters) hyperparameters_[entry.key] = &entry.value;
  }

  const std::string& name() const override { return name_; }
  const std::string& architecture() const override { return model_.architecture; }

  const checkpoint::GgufValue* Hyperparameter(std::string_view key) const override {
    const auto it = hyperparameters_.find(absl::StrCat(prefix_, ToAbsl(key)));
    return it == hyperparameters_.end() ? nullptr : it->second;
  }

  const WeightShape* Find(std::string_view tensor) const override {
    const auto it = tensors_.find(ToAbsl(tensor));
    return it == tensors_.end() ? nullptr : &it->second.shape;
  }

  absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const override {
    const auto it = tensors_.find(ToAbsl(tensor));
    if (it == tensors_.end()) return Missing(name_, tensor);
    const auto& [shape, mapped] = it->second;
    if (!HasRows(shape, first, count)) return OutOfRows(name_, tensor, first, count);
    if (count == 0) return absl::OkStatus();
    if (mapped->vector) {
      model::ReadRows(*mapped, 0, mapped->rows, out);
    } else {
      model::ReadRows(*mapped, first, count, out);
    }
    return absl::OkStatus();
  }

 private:
  struct Entry {
    WeightShape shape;
    const model::MappedTensor* tensor = nullptr;
  };

  std::string name_;
  const model::Model& model_;
  std::string prefix_;
  absl::flat_hash_map<std::string, Entry> tensors_;
  absl::flat_hash_map<std::string, const checkpoint::GgufValue*> hyperparameters_;
};

class GgufWeights : public Weights {
 public:
  GgufWeights(std::string path, std::shared_ptr<const MappedFile> file, checkpoint::GgufFile gguf)
      : name_(std::move(path)), file_(std::move(file)), gguf_(std::move(gguf)) {
    const checkpoint::GgufValue* architecture = gguf_.Find("general.architecture");
    if (architecture != nullptr && std::holds_alternative<std::string>(architecture->data)) {
      architecture_ = std::get<std::string>(architecture->data);
    }
    for (const checkpoint::GgufTensor& tensor : gguf_.tensors) {
      tensors_[tensor.name] = {WeightShape{tensor.rows(), tensor.row_weights(), Unsupported(tensor)}, &tensor};
      if (tensor.dims.size() == 3) AddExperts(tensor);
    }
  }

  const std::string& name() const override { return name_; }
  const std::string& architecture() const override { return architecture_; }

  const checkpoint::GgufValue* Hyperparameter(std::string_view key) const override {
    return gguf_.Find(absl::StrCat(architecture_, ".", ToAbsl(key)));
  }

  const WeightShape* Find(std::string_view tensor) const override {
    const auto it = tensors_.find(ToAbsl(tensor));
    return it == tensors_.end() ? nullptr : &it->second.shape;
  }

  absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const override {
    const auto it = tensors_.find(ToAbsl(tensor));
    if (it == tensors_.end()) return Missing(name_, tensor);
    const auto& [shape, stored, first_row] = it->second;
    if (!HasRows(shape, first, count)) return OutOfRows(name_, tensor, first, count);
    NS_RETURN_IF_ERROR(checkpoint::CheckDecodable(*stored, name_));
    // ParseGguf has checked that all of the tensor's bytes lie in the file, so a row's bytes do not overflow.
    const uint64_t row_bytes = shape.rows == 0 ? 0 : stored->bytes / stored->rows();
    const uint8_t* data = file_->bytes().data() + gguf_.data_begin + stored->offset;
    for (uint64_t r = 0; r < count; ++r) {
      quant::DecodeRow(stored->format, data + (first_row + first + r) * row_bytes,
                       absl::MakeSpan(out + r * shape.row_weights, shape.row_weights));
    }
    return absl::OkStatus();
  }

 private:
  struct Entry {
    WeightShape shape;
    const checkpoint::GgufTensor* tensor = nullptr;
    uint64_t first_row = 0;  // of an expert, in the stack
  };

  static std::string_view Unsupported(const checkpoint::GgufTensor& tensor) {
    return quant::CanDecode(tensor.format) ? std::string_view() : quant::InfoOf(tensor.format).name;
  }

  // Matrices of experts are stacked in one tensor; each has a name of its own here.
  void AddExperts(const checkpoint::GgufTensor& stack) {
    const uint64_t rows = stack.dims[1];
    for (uint64_t e = 0; e < stack.dims[2] && e < model::kMaxExperts; ++e) {
      const std::string name = model::NameInStack(stack.name, e);
      if (name.empty()) return;
      tensors_[name] = {WeightShape{rows, stack.row_weights(), Unsupported(stack)}, &stack, e * rows};
    }
  }

  std::string name_, architecture_;
  std::shared_ptr<const MappedFile> file_;
  checkpoint::GgufFile gguf_;
  absl::flat_hash_map<std::string, Entry> tensors_;
};

}  // namespace

std::unique_ptr<Weights> WeightsOf(const checkpoint::Checkpoint& checkpoint, const model::Model& model) {
  return std::make_unique<CheckpointWeights>(checkpoint, model);
}

std::unique_ptr<Weights> WeightsOf(std::string path, std::shared_ptr<const MappedFile> file, checkpoint::GgufFile gguf) {
  return std::make_unique<GgufWeights>(std::move(path), std::move(file), std::move(gguf));
}

absl::Status CheckTensor(const Weights& weights, std::string_view tensor, uint64_t rows, uint64_t row_weights) {
  const WeightShape* shape = weights.Find(tensor);
  if (shape == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_MISSING",
                     absl::StrCat(weights.name(), ": has no tensor '", ToAbsl(tensor), "'"),
                     "the file is not a whole model of its architecture");
  }
  if (shape->rows != rows || shape->row_weights != row_weights) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TENSOR_SHAPE",
                     absl::StrCat(weights.name(), ": tensor '", ToAbsl(tensor), "' has ", shape->rows, " rows of ",
                                  shape->row_weights, ", the hyperparameters ask for ", rows, " of ", row_weights),
                     "hyperparameters and weights are of different models");
  }
  if (!shape->unsupported.empty()) {
    return MakeError(absl::StatusCode::kUnimplemented, "GGUF_TYPE_UNSUPPORTED",
                     absl::StrCat(weights.name(), ": tensor '", ToAbsl(tensor), "' is ", ToAbsl(shape->unsupported), ", and ",
                                  ToAbsl(shape->unsupported), " is not supported"),
                     "the file may be whole: nashswarm inspect lists its tensors; take one of another quantization to run it");
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::forward
