#include "core/forward/weights.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "core/forward/transformer.h"
#include "core/quant/format.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::forward {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;

struct Opened {
  explicit Opened(const TinyCheckpoint& tiny) {
    tiny.Write(dir.path());
    checkpoint = *checkpoint::Checkpoint::Open(dir.path());
    model = *model::MapModel(*checkpoint);
    weights = WeightsOf(*checkpoint, model);
  }
  TemporaryDirectory dir = MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Model model;
  std::shared_ptr<const Weights> weights;
};

std::vector<float> ReadAll(const Weights& weights, const std::string& tensor) {
  const WeightShape* shape = weights.Find(tensor);
  EXPECT_NE(shape, nullptr) << tensor;
  std::vector<float> out(shape->rows * shape->row_weights);
  NS_EXPECT_OK(weights.Read(tensor, 0, shape->rows, out.data()));
  return out;
}

// The model as a GGUF file: matrices in `format`, vectors in F32.
std::shared_ptr<const Weights> AsGguf(const Opened& opened, const std::string& path, quant::Format format) {
  std::vector<checkpoint::GgufMetadata> metadata = {
      {"general.architecture", checkpoint::GgufValue::String(opened.model.architecture)}};
  metadata.insert(metadata.end(), opened.model.hyperparameters.begin(), opened.model.hyperparameters.end());
  std::vector<checkpoint::GgufTensor> tensors;
  std::string data;
  for (const model::MappedTensor& tensor : opened.model.tensors) {
    const WeightShape shape = *opened.weights->Find(tensor.name);
    const quant::Format stored = tensor.vector ? quant::Format::kF32 : format;
    const std::vector<float> values = ReadAll(*opened.weights, tensor.name);
    const uint64_t row_bytes = *quant::EncodedBytes(stored, 1, shape.row_weights);
    std::string bytes(row_bytes * shape.rows, '\0');
    for (uint64_t r = 0; r < shape.rows; ++r) {
      quant::EncodeRow(stored, {values.data() + r * shape.row_weights, shape.row_weights}, {},
                       reinterpret_cast<uint8_t*>(bytes.data()) + r * row_bytes);
    }
    const std::vector<uint64_t> dims = tensor.vector ? std::vector<uint64_t>{shape.row_weights}
                                                     : std::vector<uint64_t>{shape.row_weights, shape.rows};
    tensors.push_back({tensor.name, dims, stored, 0, bytes.size()});
    bytes.resize((bytes.size() + checkpoint::kGgufAlignment - 1) / checkpoint::kGgufAlignment * checkpoint::kGgufAlignment);
    data += bytes;
  }
  testing::WriteTestFile(path, checkpoint::SerializeGgufHeader(metadata, &tensors) + data);
  const auto file = *MappedFile::Open(path);
  auto gguf = checkpoint::ParseGguf(file->bytes(), path);
  EXPECT_TRUE(gguf.ok()) << gguf.status();
  return WeightsOf(path, file, *std::move(gguf));
}

TEST(WeightsTest, CheckpointIsReadInGgufsNamesAndOrder) {
  TinyCheckpoint tiny = TinyLlama("qwen2", false);
  const Opened opened(tiny);
  EXPECT_EQ(opened.weights->architecture(), "qwen2");
  EXPECT_EQ(opened.weights->name(), opened.dir.path());
  ASSERT_NE(opened.weights->Hyperparameter("attention.head_count"), nullptr);
  EXPECT_EQ(std::get<uint64_t>(opened.weights->Hyperparameter("attention.head_count")->data), 4u);
  EXPECT_EQ(opened.weights->Hyperparameter("head_count"), nullptr);
  EXPECT_EQ(ReadAll(*opened.weights, "blk.1.attn_q.weight"), tiny.tensors.at("model.layers.1.self_attn.q_proj.weight").values);
  std::vector<float> row(64);
  NS_ASSERT_OK(opened.weights->Read("token_embd.weight", 299, 1, row.data()));
  EXPECT_EQ(row[3], tiny.tensors.at("model.embed_tokens.weight").values[299 * 64 + 3]);
}

TEST(WeightsTest, VectorsAreOneRow) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.config["attention_bias"] = true;
  tiny.Add("model.layers.0.self_attn.q_proj.bias", {64});
  const Opened opened(tiny);
  const WeightShape* shape = opened.weights->Find("blk.0.attn_q.bias");  // its rows are permuted one by one
  ASSERT_NE(shape, nullptr);
  EXPECT_EQ(shape->rows, 1u);
  EXPECT_EQ(shape->row_weights, 64u);
  EXPECT_EQ(ReadAll(*opened.weights, "blk.0.attn_q.bias")[3], tiny.tensors.at("model.layers.0.self_attn.q_proj.bias").values[9]);
}

TEST(WeightsTest, Errors) {
  const Opened opened(TinyGpt2());
  const auto gguf = AsGguf(opened, JoinPath(opened.dir.path(), "model.gguf"), quant::Format::kF16);
  for (const Weights* weights : {opened.weights.get(), gguf.get()}) {
    float out[256];
    EXPECT_EQ(weights->Find("blk.2.attn_qkv.weight"), nullptr);
    EXPECT_EQ(ReasonOf(weights->Read("blk.2.attn_qkv.weight", 0, 1, out)), "MODEL_TENSOR_MISSING");
    EXPECT_EQ(weights->Read("blk.2.attn_qkv.weight", 0, 1, out).code(), absl::StatusCode::kNotFound);
    EXPECT_FALSE(weights->Read("token_embd.weight", 300, 1, out).ok());
    EXPECT_FALSE(weights->Read("token_embd.weight", 1, UINT64_MAX, out).ok());
    NS_EXPECT_OK(weights->Read("token_embd.weight", 300, 0, out));
  }
}

std::vector<float> LogitsOf(std::shared_ptr<const Weights> weights) {
  const auto transformer = Transformer::Open(weights, {.threads = 2});
  EXPECT_TRUE(transformer.ok()) << transformer.status();
  Batch batch{{}, 1, 24};
  for (int i = 0; i < 24; ++i) batch.tokens.push_back(i * 37 % 300);
  std::vector<float> hidden(24 * 64), logits(24 * 300);
  NS_EXPECT_OK((*transformer)->Run(batch, hidden.data(), nullptr));
  NS_EXPECT_OK((*transformer)->Logits(hidden.data(), 24, logits.data(), nullptr));
  return logits;
}

TEST(WeightsTest, GgufInF32GivesTheCheckpointsLogits) {
  for (const TinyCheckpoint& tiny : {TinyGpt2(), TinyLlama("llama", true), TinyLlama("mistral", false), TinyLlama("qwen2", true),
                                     TinyLlama("qwen3", false), TinyLlama("gemma3_text", true)}) {
    const Opened opened(tiny);
    const std::string path = JoinPath(opened.dir.path(), "model.gguf");
    EXPECT_EQ(LogitsOf(AsGguf(opened, path, quant::Format::kF32)), LogitsOf(opened.weights));
  }
}

TEST(WeightsTest, Gpt2ScoresByLayerAreThoseOfQueriesScaledByHand) {
  TinyCheckpoint tiny = TinyGpt2(), by_hand = TinyGpt2();
  for (auto& [name, tensor] : tiny.tensors) {
    for (float& value : tensor.values) value *= 8;  // so that attention prefers some positions to others
  }
  by_hand.tensors = tiny.tensors;
  tiny.config["scale_attn_by_inverse_layer_idx"] = true;
  const auto plain = LogitsOf(Opened(by_hand).weights);
  // Layer 1 divides by 2, which is exact.
  for (uint64_t in = 0; in < 64; ++in) {
    for (uint64_t out = 0; out < 64; ++out) by_hand.tensors["h.1.attn.c_attn.weight"].values[in * 192 + out] /= 2;
  }
  for (uint64_t out = 0; out < 64; ++out) by_hand.tensors["h.1.attn.c_attn.bias"].values[out] /= 2;
  const Opened opened(tiny);
  const auto logits = LogitsOf(opened.weights);
  EXPECT_EQ(logits, LogitsOf(Opened(by_hand).weights));
  EXPECT_NE(logits, plain);
  EXPECT_EQ(logits, LogitsOf(AsGguf(opened, JoinPath(opened.dir.path(), "model.gguf"), quant::Format::kF32)));
}

TEST(WeightsTest, TypesWithoutACodecAreRefusedByName) {
  const Opened opened(TinyLlama("llama", true));
  const std::string path = JoinPath(opened.dir.path(), "model.gguf");
  AsGguf(opened, path, quant::Format::kF32);
  const auto file = *MappedFile::Open(path);
  checkpoint::GgufFile gguf = *checkpoint::ParseGguf(file->bytes(), path);
  for (checkpoint::GgufTensor& tensor : gguf.tensors) {
    if (tensor.name == "blk.1.ffn_down.weight") tensor.format = static_cast<quant::Format>(28);  // F64
  }
  const std::shared_ptr<const Weights> weights = WeightsOf(path, file, gguf);
  float row[96];
  EXPECT_EQ(ReasonOf(weights->Read("blk.1.ffn_down.weight", 0, 1, row)), "GGUF_TYPE_UNSUPPORTED");
  NS_EXPECT_OK(weights->Read("blk.0.ffn_down.weight", 0, 1, row));
  const absl::Status status = Transformer::Open(weights, {}).status();  // before anything is run
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("'blk.1.ffn_down.weight' is F64, and F64 is not supported"), std::string::npos) << status;
}

TEST(WeightsTest, QuantizedGgufComesClose) {
  const Opened opened(TinyLlama("llama", false));
  const auto exact = LogitsOf(opened.weights);
  const auto coded = LogitsOf(AsGguf(opened, JoinPath(opened.dir.path(), "model.gguf"), quant::Format::kQ8_0));
  double error = 0, energy = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += (exact[i] - coded[i]) * (exact[i] - coded[i]);
    energy += exact[i] * exact[i];
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 1e-3 * energy);
}

}  // namespace
}  // namespace nashswarm::forward
