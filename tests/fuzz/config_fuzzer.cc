// config.json of every architecture over the weights of a small model: a mapping that is accepted must read every weight from
// where it is, and the forward pass must take or refuse its hyperparameters. The first byte says which model's weights.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/base/checked.h"
#include "core/forward/model_config.h"
#include "core/forward/weights.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

using namespace nashswarm;

constexpr uint64_t kMaxWeights = 1 << 20;  // of one tensor; the largest that is there has 19 200

void Require(bool condition) {
  if (!condition) std::abort();
}

struct Models {
  TemporaryDirectory root = testing::MakeTemporaryDirectory();
  std::vector<std::string> directories;

  Models() {
    Add(testing::TinyGpt2());
    for (const char* type : {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"}) Add(testing::TinyLlama(type, /*tied=*/false));
    Add(testing::TinyLlama("llama", /*tied=*/true));
  }
  void Add(const testing::TinyCheckpoint& checkpoint) {
    directories.push_back(JoinPath(root.path(), std::to_string(directories.size())));
    checkpoint.Write(directories.back());
  }
};

void ReadAll(const model::MappedTensor& tensor) {
  const auto weights = CheckedMul(tensor.rows, tensor.row_weights);
  Require(weights.has_value() && *weights <= kMaxWeights);  // padding is all that may be added to what is there
  if (tensor.source != nullptr) {
    Require(tensor.source_rows * tensor.source_row_weights * checkpoint::BytesOf(tensor.source->dtype) == tensor.source->data.size());
  }
  for (uint64_t row = 0; row < tensor.rows; ++row) {  // exactly one row of room: AddressSanitizer sees a longer one
    const auto out = std::make_unique<float[]>(tensor.row_weights);
    model::ReadRows(tensor, row, 1, out.get());
  }
  if (tensor.source == nullptr) return;
  std::vector<float> all(*weights);
  model::ReadRows(tensor, 0, tensor.rows, all.data());
  const std::vector<float> there = model::ToCheckpointOrder(tensor, all, tensor.row_weights);
  // A scale that is no power of two rounds on its way there and back.
  Require(tensor.scaled > 0 || model::FromCheckpointOrder(tensor, there) == all);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Models models;
  if (size < 2) return 0;
  const std::string& directory = models.directories[data[0] % models.directories.size()];
  testing::WriteTestFile(JoinPath(directory, "config.json"), {reinterpret_cast<const char*>(data) + 1, size - 1});
  const auto checkpoint = checkpoint::Checkpoint::Open(directory);
  if (!checkpoint.ok()) return 0;
  const auto model = model::MapModel(**checkpoint);
  if (!model.ok()) return 0;
  for (const model::MappedTensor& tensor : model->tensors) ReadAll(tensor);
  const auto weights = forward::WeightsOf(**checkpoint, *model);
  const auto config = forward::ReadModelConfig(*weights);
  if (!config.ok()) return 0;
  Require(config->layers == 2 && config->attention.head_width > 0 && config->attention.heads % config->attention.kv_heads == 0);
  for (uint64_t layer = 0; layer < config->layers; ++layer) (void)config->attention.WindowOf(layer);
  return 0;
}
