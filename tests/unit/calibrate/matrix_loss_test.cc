#include "core/calibrate/matrix_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "core/calibrate/calibration.h"
#include "core/calibrate/overlay.h"
#include "core/forward/transformer.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::calibrate {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::WriteTestFile;
using ::testing::Each;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MatrixLossTest : public ::testing::Test {
 protected:
  void Calibrate(const TinyCheckpoint& tiny, Request::Source source = Request::Source::kText) {
    tiny.Write(path("model"));
    checkpoint_ = *checkpoint::Checkpoint::Open(path("model"));
    model_ = *model::MapModel(*checkpoint_);
    std::string text;
    for (int i = 0; i < 200; ++i) text += "Sentence number " + std::to_string(i * 7919 % 1000) + " is about nothing in particular.\n";
    WriteTestFile(path("text"), text);
    Request request;
    request.source = source;
    request.calibration_path = path("text");
    request.tokens = 4096;
    const Subject subject{&model_, forward::WeightsOf(*checkpoint_, model_),
                          *tokenizer::OpenTokenizer(path("model"), checkpoint_->config()), checkpoint_->weight_bytes()};
    const auto calibration =
        calibrate::Calibrate(subject, request, path("moments"), [](const std::string&, uint64_t, uint64_t) { return absl::OkStatus(); });
    NS_ASSERT_OK(calibration.status());
    calibration_ = *calibration;
    moments_ = *Moments::Open(path("moments"));
    tied_ = std::none_of(model_.tensors.begin(), model_.tensors.end(), [](const auto& t) { return t.role == model::Role::kOutput; });
  }
  std::string path(const std::string& name) const { return JoinPath(directory_.path(), name); }
  const model::MappedTensor& Find(const std::string& name) const {
    return *std::find_if(model_.tensors.begin(), model_.tensors.end(), [&](const auto& t) { return t.name == name; });
  }

  TemporaryDirectory directory_ = MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  model::Model model_;
  Calibration calibration_;
  std::unique_ptr<Moments> moments_;
  bool tied_ = false;
};

TEST_F(MatrixLossTest, EveryPlayerHasAMomentAndRowWeightsOfItsShapeInTheCheckpoint) {
  for (const TinyCheckpoint& tiny : {TinyGpt2(), TinyLlama("llama", true), TinyLlama("llama", false), TinyLlama("gemma3_text", true)}) {
    Calibrate(tiny);
    for (const model::MappedTensor& tensor : model_.tensors) {
      if (!tensor.is_player()) continue;
      const nsq::MatrixLoss loss = MatrixLossOf(tensor, tied_, moments_.get());
      ASSERT_NE(loss.moment, nullptr) << tensor.name;
      EXPECT_EQ(loss.moment->width(), tensor.source_row_weights) << tensor.name;
      EXPECT_THAT(loss.row_weights, SizeIs(tensor.source_rows)) << tensor.name;
      EXPECT_THAT(loss.row_weights, Each(Gt(0.0f))) << tensor.name;
    }
  }
}

TEST_F(MatrixLossTest, WithoutMomentsOrForAVectorItIsTheSquaredError) {
  Calibrate(TinyGpt2());
  const nsq::MatrixLoss none = MatrixLossOf(Find("blk.0.ffn_up.weight"), tied_, nullptr);
  EXPECT_EQ(none.moment, nullptr);
  EXPECT_THAT(none.importance, IsEmpty());
  EXPECT_THAT(none.row_weights, IsEmpty());
  EXPECT_EQ(MatrixLossOf(Find("blk.0.ffn_up.bias"), tied_, moments_.get()).moment, nullptr);
}

TEST_F(MatrixLossTest, PaddingOfTheFeedForwardWidthIsCutOff) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  for (const char* layer : {"0", "1"}) {  // 90 units instead of 96: GGUF pads them
    const std::string mlp = std::string("model.layers.") + layer + ".mlp.";
    for (const char* name : {"gate_proj.weight", "up_proj.weight"}) tiny.tensors.erase(mlp + name), tiny.Add(mlp + name, {90, 64});
    tiny.tensors.erase(mlp + "down_proj.weight");
    tiny.Add(mlp + "down_proj.weight", {64, 90});
  }
  tiny.config["intermediate_size"] = 90;
  Calibrate(tiny);
  ASSERT_EQ(Find("blk.0.ffn_down.weight").row_weights, 96u);
  EXPECT_EQ(MatrixLossOf(Find("blk.0.ffn_down.weight"), tied_, moments_.get()).moment->width(), 90u);
  EXPECT_THAT(MatrixLossOf(Find("blk.0.ffn_up.weight"), tied_, moments_.get()).row_weights, SizeIs(90));
}

// Rows of llama's q stand in another order in GGUF: what GGUF has at row 2i + 1 of a head of 16 is row i + 8 of the checkpoint.
TEST_F(MatrixLossTest, RowWeightsOfRotatedHeadsAreInTheCheckpointsOrder) {
  Calibrate(TinyLlama("llama", true));
  const model::MappedTensor& query = Find("blk.0.attn_q.weight");
  ASSERT_EQ(query.head_rows, 16u);
  const std::vector<float> stored = moments_->Vector("rows/blk.0.attn_q.weight");
  const std::vector<float> weights = MatrixLossOf(query, tied_, moments_.get()).row_weights;
  double mean = 0;
  for (const float row : stored) mean += row / static_cast<double>(stored.size());
  for (size_t head = 0; head < 4; ++head) {
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_NEAR(weights[16 * head + i], stored[16 * head + 2 * i] / mean + 0.05, 1e-4);
      EXPECT_NEAR(weights[16 * head + 8 + i], stored[16 * head + 2 * i + 1] / mean + 0.05, 1e-4);
    }
  }
}

// The point of it: of two errors with the same plain size, the one with the smaller loss does less to the predictions.
TEST_F(MatrixLossTest, RowsThatCountMoreChangeThePredictionsMore) {
  TinyCheckpoint tiny = TinyGpt2();
  for (auto& [name, values] : tiny.tensors) {  // random weights as they are hardly have anything to say
    if (values.shape.size() == 2) {
      for (float& value : values.values) value *= 6;
    }
  }
  for (size_t unit = 0; unit < 64; ++unit) {  // and units alike matter alike: the first quarter speaks up
    for (size_t out = 0; out < 64; ++out) tiny.tensors["h.1.mlp.c_proj.weight"].values[unit * 64 + out] *= 3;
  }
  Calibrate(tiny);
  const model::MappedTensor& tensor = Find("blk.1.ffn_up.weight");
  const nsq::MatrixLoss loss = MatrixLossOf(tensor, tied_, moments_.get());
  std::vector<size_t> order(loss.row_weights.size());
  for (size_t r = 0; r < order.size(); ++r) order[r] = r;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return loss.row_weights[a] < loss.row_weights[b]; });
  const std::shared_ptr<const forward::Weights> weights = forward::WeightsOf(*checkpoint_, model_);
  const auto exact = *forward::Transformer::Open(weights, {1});
  const std::vector<evaluate::Window> windows = EvaluationWindows(*moments_);
  const auto silent = [](uint64_t, uint64_t) { return absl::OkStatus(); };
  const evaluate::Predictions reference = *evaluate::Predict(*exact, windows, silent);
  const auto kl_of_error_in = [&](size_t first) {  // a quarter of the rows, each weight 30 % off
    std::vector<float> values(tensor.weights());
    model::ReadRows(tensor, 0, tensor.rows, values.data());
    for (size_t i = first; i < first + order.size() / 4; ++i) {
      for (uint64_t c = 0; c < tensor.row_weights; ++c) values[order[i] * tensor.row_weights + c] *= c % 2 == 0 ? 1.3f : 0.7f;
    }
    auto overlay = std::make_shared<OverlayWeights>(weights);
    overlay->Replace(tensor.name, values);
    const auto changed = *forward::Transformer::Open(overlay, {1});
    const evaluate::Predictions predictions = *evaluate::Predict(*changed, windows, silent);
    return evaluate::ScorePredictions(predictions, &reference, windows, 1)->agreement->mean_kl;
  };
  EXPECT_GT(kl_of_error_in(order.size() - order.size() / 4), 1.2 * kl_of_error_in(0));
}

TEST_F(MatrixLossTest, CalibrationWeighsTheSameErrorByTheMatrixLossToo) {
  Calibrate(TinyLlama("llama", true));
  ASSERT_FALSE(calibration_.loss_weights.empty());
  for (const LossWeight& weight : calibration_.loss_weights) {
    EXPECT_GT(weight.matrix_distortion, 0) << weight.tensor;
    EXPECT_NEAR(weight.matrix_weight() * weight.matrix_distortion, weight.kl, 1e-9) << weight.tensor;
  }
  NS_ASSERT_OK(WriteFileDurably(path("calibration.json"), ToJson(calibration_).dump()));
  const auto read = ReadCalibration(path("calibration.json"));
  NS_ASSERT_OK(read.status());
  EXPECT_EQ(read->loss_weights.at(3).matrix_distortion, calibration_.loss_weights.at(3).matrix_distortion);
}

// One window in eight chooses between plans and is in nothing that is fitted.
TEST_F(MatrixLossTest, SearchWindowsAreHeldOutOfWhatCalibrates) {
  Calibrate(TinyGpt2());
  const std::vector<evaluate::Window> search = SearchWindows(*moments_);
  ASSERT_FALSE(search.empty());
  double counted = 0;
  for (const float count : moments_->TokenCounts()) counted += count;
  EXPECT_EQ(counted, static_cast<double>(calibration_.texts.at(0).tokens));
  EXPECT_NEAR(static_cast<double>(evaluate::TokensOf(search)), counted / 7, counted / 14);
}

}  // namespace
}  // namespace nashswarm::calibrate
