// Between the order GGUF keeps rows in and the checkpoint's.
#include <gtest/gtest.h>

#include <numeric>

#include "core/base/status.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::model {
namespace {

class CheckpointOrderTest : public ::testing::Test {
 protected:
  void Open(const testing::TinyCheckpoint& tiny) {
    tiny.Write(directory_.path());
    checkpoint_ = *checkpoint::Checkpoint::Open(directory_.path());
    model_ = *MapModel(*checkpoint_);
  }
  std::vector<float> Read(const MappedTensor& tensor) const {
    std::vector<float> values(tensor.weights());
    ReadRows(tensor, 0, tensor.rows, values.data());
    return values;
  }
  TemporaryDirectory directory_ = testing::MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  Model model_;
};

TEST_F(CheckpointOrderTest, ThereAndBackIsTheSameForEveryMatrix) {
  for (const auto& tiny : {testing::TinyGpt2(), testing::TinyLlama("llama", false), testing::TinyLlama("qwen2", true)}) {
    Open(tiny);
    for (const MappedTensor& tensor : model_.tensors) {
      if (!tensor.is_player()) continue;
      const std::vector<float> mapped = Read(tensor), plain = Read(InCheckpointOrder(tensor));
      EXPECT_EQ(ToCheckpointOrder(tensor, mapped, tensor.row_weights), plain) << tensor.name;
      EXPECT_EQ(FromCheckpointOrder(tensor, plain), mapped) << tensor.name;
    }
  }
}

TEST_F(CheckpointOrderTest, RowsOfLlamasQueriesAreWhereTheCheckpointHasThem) {
  Open(testing::TinyLlama("llama", true));
  for (const MappedTensor& tensor : model_.tensors) {
    if (tensor.name != "blk.0.attn_q.weight") continue;
    const MappedTensor plain = InCheckpointOrder(tensor);
    std::vector<float> source(tensor.source->elements());
    checkpoint::ToFloat(tensor.source->dtype, tensor.source->data.data(), source.size(), source.data());
    EXPECT_EQ(Read(plain), source);
    EXPECT_NE(Read(tensor), source);
  }
}

TEST_F(CheckpointOrderTest, GemmasNormsAreAsTheCheckpointHasThem) {
  Open(testing::TinyLlama("gemma3_text", true));
  for (const MappedTensor& tensor : model_.tensors) {
    if (tensor.plus == 0) continue;
    const std::vector<float> with = Read(tensor), without = Read(InCheckpointOrder(tensor));
    for (size_t i = 0; i < with.size(); ++i) EXPECT_EQ(with[i], without[i] + 1.0f) << tensor.name;
  }
}

}  // namespace
}  // namespace nashswarm::model
