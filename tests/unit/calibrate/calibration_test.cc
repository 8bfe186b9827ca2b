#include "core/calibrate/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/status.h"
#include "core/calibrate/collect.h"
#include "core/calibrate/imatrix.h"
#include "core/calibrate/objective.h"
#include "core/calibrate/overlay.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::calibrate {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::WriteTestFile;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const Progress kSilent = [](const std::string&, uint64_t, uint64_t) { return absl::OkStatus(); };

std::string Text(int sentences) {
  std::string text;
  for (int i = 0; i < sentences; ++i) text += "Sentence number " + std::to_string(i * 7919 % 1000) + " is about nothing in particular.\n";
  return text;
}

// A model on disk, opened, with what calibration needs around it.
class CalibrationTest : public ::testing::Test {
 protected:
  void Open(const nashswarm::testing::TinyCheckpoint& tiny) {
    tiny.Write(path("model"));
    checkpoint_ = *checkpoint::Checkpoint::Open(path("model"));
    model_ = *model::MapModel(*checkpoint_);
    subject_ = {&model_, forward::WeightsOf(*checkpoint_, model_), *tokenizer::OpenTokenizer(path("model"), checkpoint_->config()),
                checkpoint_->weight_bytes()};
  }
  std::string path(const std::string& name) const { return JoinPath(directory_.path(), name); }
  // On one text, part of which is held out; without loss weights.
  absl::StatusOr<Calibration> RunOnText(const std::string& text) {
    WriteTestFile(path("text"), text);
    Request request;
    request.source = Request::Source::kText;
    request.calibration_path = path("text");
    request.measure_loss_weights = false;
    return Run(request);
  }
  absl::StatusOr<Calibration> Run(const Request& request) { return Calibrate(subject_, request, path("moments"), kSilent); }

  TemporaryDirectory directory_ = MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  model::Model model_;
  Subject subject_;
};

TEST_F(CalibrationTest, AllInputsHaveTheirMomentAndAllPlayersTheirLossWeight) {
  for (const auto& tiny : {TinyGpt2(), TinyLlama("llama", true), TinyLlama("qwen2", false)}) {
    Open(tiny);
    WriteTestFile(path("text"), Text(200));
    Request request;
    request.source = Request::Source::kText;
    request.calibration_path = path("text");
    const auto calibration = Run(request);
    NS_ASSERT_OK(calibration.status());
    const auto moments = *Moments::Open(path("moments"));
    const bool tied = std::none_of(model_.tensors.begin(), model_.tensors.end(),
                                   [](const auto& t) { return t.role == model::Role::kOutput; });
    size_t players = 0;
    for (const model::MappedTensor& tensor : model_.tensors) {
      if (!tensor.is_player()) continue;
      ++players;
      const std::string input = forward::InputOf(tensor.name, tied);
      if (input.empty()) continue;
      EXPECT_THAT(moments->Diagonal(input), SizeIs(tensor.row_weights)) << tensor.name;
      ASSERT_NE(moments->Full(input), nullptr) << tensor.name;
      EXPECT_EQ(moments->Full(input)->width(), tensor.row_weights);
    }
    ASSERT_THAT(calibration->loss_weights, SizeIs(players));
    for (const LossWeight& weight : calibration->loss_weights) {
      EXPECT_GT(weight.kl, 0) << weight.tensor;
      EXPECT_GT(weight.distortion, 0) << weight.tensor;
    }
    EXPECT_THAT(moments->TokenCounts(), SizeIs(300));
  }
}

TEST_F(CalibrationTest, MomentsAreThoseOfAPlainRun) {
  Open(TinyLlama("llama", true));
  WriteTestFile(path("text"), Text(100));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  request.tokens = 64;  // two windows of 32
  request.measure_loss_weights = false;
  NS_ASSERT_OK(Run(request).status());
  const auto moments = *Moments::Open(path("moments"));

  struct Recorder : forward::InputTap {
    void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) override {
      std::vector<double>& sum = sums[input];
      sum.resize(width);
      for (uint64_t t = 0; t < tokens; ++t) {
        for (uint64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(x[t * width + c]) * x[t * width + c] / 64;
      }
    }
    std::map<std::string, std::vector<double>> sums;
  } recorder;
  const auto transformer = *forward::Transformer::Open(subject_.weights, {1});
  const std::string text = Text(100);
  std::vector<int32_t> tokens = subject_.tokenizer->Encode(text);
  if (subject_.tokenizer->add_bos()) FAIL() << "the tiny tokenizer is not expected to add BOS";
  tokens.resize(64);
  std::vector<float> hidden(64 * transformer->width());
  NS_ASSERT_OK(transformer->Run({tokens, 2, 32}, hidden.data(), &recorder));
  ASSERT_FALSE(recorder.sums.empty());
  for (const auto& [input, sum] : recorder.sums) {
    const std::vector<float> diagonal = moments->Diagonal(input);
    ASSERT_THAT(diagonal, SizeIs(sum.size())) << input;
    for (size_t c = 0; c < sum.size(); ++c) EXPECT_NEAR(diagonal[c], sum[c], 1e-5 * (1 + sum[c])) << input;
  }
}

TEST_F(CalibrationTest, PairsOfExpertsAreThoseThatTokensUseTogether) {
  for (const uint64_t used : {2, 3}) {
    auto tiny = nashswarm::testing::TinyMixture("qwen2_moe", 6);
    tiny.config["num_experts_per_tok"] = used;
    Open(tiny);
    WriteTestFile(path("text"), Text(100));
    Request request;
    request.source = Request::Source::kText;
    request.calibration_path = path("text");
    request.tokens = 224;  // seven windows of 32
    request.measure_loss_weights = false;
    const auto calibration = Run(request);
    NS_ASSERT_OK(calibration.status());
    const auto moments = *Moments::Open(path("moments"));

    struct Counter : forward::InputTap {
      void Input(const std::string&, const float*, uint64_t, uint64_t) override {}
      void Experts(uint64_t layer, const uint16_t* chosen, uint64_t tokens, uint64_t each) override {
        for (uint64_t t = 0; t < tokens; ++t) {
          for (uint64_t a = 0; a < each; ++a) {
            for (uint64_t b = 0; b < a; ++b) ++pairs[{layer, chosen[t * each + a], chosen[t * each + b]}];
          }
        }
      }
      std::map<std::tuple<uint64_t, int, int>, float> pairs;  // either way round
    } counter;
    const auto transformer = *forward::Transformer::Open(subject_.weights, {1});
    std::vector<int32_t> tokens = subject_.tokenizer->Encode(Text(100));
    tokens.resize(224);
    std::vector<float> hidden(224 * transformer->width());
    NS_ASSERT_OK(transformer->Run({tokens, 7, 32}, hidden.data(), &counter));
    for (uint64_t layer = 0; layer < 2; ++layer) {
      const std::vector<float> pairs = moments->Vector(absl::StrCat(kExpertPairs, layer));
      ASSERT_THAT(pairs, SizeIs(36));
      for (int a = 0; a < 6; ++a) {
        float row = 0;
        for (int b = 0; b < 6; ++b) {
          const float both = counter.pairs[{layer, a, b}] + counter.pairs[{layer, b, a}];
          EXPECT_EQ(pairs[a * 6 + b], both) << a << " " << b;
          row += pairs[a * 6 + b];
        }
        EXPECT_EQ(row, (used - 1) * calibration->expert_tokens[layer][static_cast<size_t>(a)]) << "with each of its others";
      }
    }
    EXPECT_EQ(SizesOfMoments(model_, false).pair_bytes, 2 * 36 * sizeof(float));
  }
}

TEST_F(CalibrationTest, EvaluationTextIsHeldOut) {
  Open(TinyGpt2());
  const auto calibration = RunOnText(Text(400));
  NS_ASSERT_OK(calibration.status());
  ASSERT_THAT(calibration->texts, SizeIs(2));
  EXPECT_EQ(calibration->texts[0].bytes + calibration->texts[1].bytes, Text(400).size());
  EXPECT_EQ(calibration->texts[1].source, "held-out part of the calibration text");
  EXPECT_THAT(calibration->texts[1].note, HasSubstr("held out"));
  // The windows to measure on are of the held-out part.
  const auto windows = EvaluationWindows(**Moments::Open(path("moments")));
  ASSERT_FALSE(windows.empty());
  const std::string text = Text(400), held_out = text.substr(calibration->texts[0].bytes);
  const std::vector<int32_t> expected = subject_.tokenizer->Encode(held_out);
  EXPECT_TRUE(std::equal(windows[0].tokens.begin(), windows[0].tokens.end(), expected.begin()));
  ASSERT_FALSE(calibration->references.empty());
  EXPECT_EQ(calibration->references[0].name, "checkpoint");
  EXPECT_EQ(calibration->references[0].bytes, checkpoint_->weight_bytes());
  for (size_t i = 1; i < calibration->references.size(); ++i) EXPECT_GT(calibration->references[i].score.agreement->mean_kl, 0);
}

TEST_F(CalibrationTest, AWeightBeyondTheRangeOfHalvesLeavesNumbersInTheFile) {
  auto tiny = TinyLlama("llama", true);
  tiny.tensors["model.layers.0.mlp.down_proj.weight"].values[5] = -1e5f;
  Open(tiny);
  const auto calibration = RunOnText(Text(400));
  NS_ASSERT_OK(calibration.status());
  WriteTestFile(path("calibration.json"), ToJson(*calibration).dump());
  const auto read = ReadCalibration(path("calibration.json"));
  NS_ASSERT_OK(read.status());
  ASSERT_THAT(read->references, SizeIs(3));
  for (const Reference& reference : read->references) EXPECT_TRUE(evaluate::IsFinite(reference.score)) << reference.name;
}

TEST_F(CalibrationTest, TheModelsOwnTextIsTheSameForTheSameSeed) {
  Open(TinyGpt2());
  Request request;
  request.source = Request::Source::kSelf;
  request.tokens = 320;
  request.measure_loss_weights = false;
  NS_ASSERT_OK(Run(request).status());
  const auto first = (*Moments::Open(path("moments")))->TokenCounts();
  NS_ASSERT_OK(Run(request).status());
  EXPECT_EQ((*Moments::Open(path("moments")))->TokenCounts(), first);
  EXPECT_FALSE(EvaluationWindows(**Moments::Open(path("moments"))).empty());
  request.seed = 1;
  NS_ASSERT_OK(Run(request).status());
  EXPECT_NE((*Moments::Open(path("moments")))->TokenCounts(), first);
}

TEST_F(CalibrationTest, AnImportanceMatrixCanBeWrittenAndBroughtBack) {
  for (const auto& tiny : {TinyGpt2(), TinyLlama("llama", false)}) {
    Open(tiny);
    WriteTestFile(path("text"), Text(200));
    Request request;
    request.source = Request::Source::kText;
    request.calibration_path = path("text");
    request.measure_loss_weights = false;
    NS_ASSERT_OK(Run(request).status());
    const auto made = *Moments::Open(path("moments"));
    const auto transformer = *forward::Transformer::Open(subject_.weights, {1});
    NS_ASSERT_OK(WriteImatrix(path("imatrix.gguf"), model_, transformer->tied_head(), *made, 4096, 512, "text"));

    Request bring;
    bring.source = Request::Source::kImatrix;
    bring.calibration_path = path("imatrix.gguf");
    NS_ASSERT_OK(Calibrate(subject_, bring, path("brought"), kSilent).status());
    const auto brought = *Moments::Open(path("brought"));
    for (const model::MappedTensor& tensor : model_.tensors) {
      const std::string input = forward::InputOf(tensor.name, transformer->tied_head());
      if (input.empty() || !tensor.is_player()) continue;
      const std::vector<float> expected = made->Diagonal(input), got = brought->Diagonal(input);
      ASSERT_THAT(got, SizeIs(expected.size())) << tensor.name;
      for (size_t c = 0; c < got.size(); ++c) EXPECT_NEAR(got[c], expected[c], 1e-5 * expected[c]) << tensor.name;
      EXPECT_EQ(brought->Full(input), nullptr);
    }
  }
}

// More tokens than any text has: all of it, and no overflow on the way there.
TEST_F(CalibrationTest, AskingForMoreTokensThanTheTextHasUsesAllOfIt) {
  Open(TinyGpt2());
  WriteTestFile(path("text"), Text(200));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  request.measure_loss_weights = false;
  request.tokens = 1 << 20;
  const auto some = Run(request);
  NS_ASSERT_OK(some.status());
  EXPECT_GT(some->texts[0].tokens, 0u);
  EXPECT_THAT(some->texts[0].note, HasSubstr("fewer tokens than the 1048576 asked for: all "));
  for (const uint64_t tokens : {uint64_t{1} << 60, uint64_t{1} << 62, (uint64_t{1} << 63) - 1}) {
    request.tokens = tokens;
    const auto all = Run(request);
    NS_ASSERT_OK(all.status());
    EXPECT_EQ(all->texts[0].tokens, some->texts[0].tokens);
  }
  request.tokens = 64;
  const auto few = Run(request);
  NS_ASSERT_OK(few.status());
  EXPECT_THAT(few->texts[0].note, Not(HasSubstr("fewer tokens")));
}

TEST_F(CalibrationTest, BadInputIsNamed) {
  Open(TinyGpt2());
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("nothing");
  EXPECT_TRUE(absl::IsNotFound(Run(request).status()));
  WriteTestFile(path("empty"), " \n");
  request.calibration_path = path("empty");
  EXPECT_EQ(ReasonOf(Run(request).status()), "TEXT_EMPTY");
  WriteTestFile(path("short"), "Hi.");
  request.calibration_path = path("short");
  EXPECT_EQ(ReasonOf(Run(request).status()), "TEXT_TOO_SHORT");
  WriteTestFile(path("text"), Text(400));
  request.calibration_path = path("text");
  request.evaluation_context = 33;  // the model has 32
  EXPECT_EQ(ReasonOf(Run(request).status()), "CONTEXT_TOO_LONG");

  Request imatrix;
  imatrix.source = Request::Source::kImatrix;
  imatrix.calibration_path = path("text");
  EXPECT_EQ(ReasonOf(Run(imatrix).status()), "IMATRIX_INVALID");
}

TEST_F(CalibrationTest, WeightsThatAreNotNumbersAreAnError) {
  auto tiny = TinyGpt2();
  tiny.tensors["h.1.mlp.c_fc.weight"].values[5] = std::nanf("");
  Open(tiny);
  WriteTestFile(path("text"), Text(200));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  const absl::Status status = Run(request).status();
  EXPECT_EQ(ReasonOf(status), "NON_FINITE_ACTIVATIONS");
  EXPECT_THAT(std::string(status.message()), HasSubstr("1"));
}

TEST_F(CalibrationTest, JsonKeepsEverything) {
  Open(TinyGpt2());
  WriteTestFile(path("text"), Text(300));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  const auto calibration = Run(request);
  NS_ASSERT_OK(calibration.status());
  WriteTestFile(path("calibration.json"), ToJson(*calibration).dump());
  const auto read = ReadCalibration(path("calibration.json"));
  NS_ASSERT_OK(read.status());
  EXPECT_EQ(ToJson(*read), ToJson(*calibration));
}

// A loss weight is what a whole run of the changed model says, in whichever layer the tensor is.
TEST_F(CalibrationTest, LossWeightsAreThoseOfTheWholeModelRunAnew) {
  Open(TinyLlama("llama", false));
  WriteTestFile(path("text"), Text(200));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  request.measure_loss_weights = false;
  NS_ASSERT_OK(Run(request).status());
  const auto moments = *Moments::Open(path("moments"));
  const auto windows = evaluate::CutTokens(subject_.tokenizer->Encode(Text(20)), 32, -1);
  const auto transformer = *forward::Transformer::Open(subject_.weights, {1});
  const evaluate::Progress silent = [](uint64_t, uint64_t) { return absl::OkStatus(); };
  const auto weights = MeasureLossWeights(*transformer, subject_.weights, model_, *moments, windows, 2, silent);
  NS_ASSERT_OK(weights.status());
  const auto reference = *evaluate::Predict(*transformer, windows, silent);
  size_t next = 0;
  for (const model::MappedTensor& tensor : model_.tensors) {
    if (!tensor.is_player()) continue;
    const LossWeight& weight = weights->at(next++);
    ASSERT_EQ(weight.tensor, tensor.name);
    std::vector<float> values(tensor.weights());
    model::ReadRows(tensor, 0, tensor.rows, values.data());
    const uint64_t row_bytes = *quant::EncodedBytes(weight.format, 1, tensor.row_weights);
    std::vector<uint8_t> encoded(tensor.rows * row_bytes);
    const Objective objective = Objective::Of(tensor, false, moments.get());
    objective.Encode(weight.format, values.data(), tensor.rows, tensor.row_weights, encoded.data());
    std::vector<float> decoded(values.size());
    for (uint64_t r = 0; r < tensor.rows; ++r) {
      quant::DecodeRow(weight.format, &encoded[r * row_bytes], {&decoded[r * tensor.row_weights], tensor.row_weights});
    }
    const double distortion =
        objective.Compare(values.data(), decoded.data(), 0, 1, tensor.rows, tensor.row_weights).relative();
    EXPECT_NEAR(weight.distortion, distortion, 1e-6 * distortion) << tensor.name;
    auto changed = std::make_shared<OverlayWeights>(subject_.weights);
    changed->Replace(tensor.name, decoded);
    const auto model = *forward::Transformer::Open(changed, {1});
    const auto predictions = *evaluate::Predict(*model, windows, silent);
    const double kl = evaluate::ScorePredictions(predictions, &reference, windows, 1)->agreement->mean_kl;
    EXPECT_NEAR(weight.kl, kl, 1e-3 * kl + 1e-9) << tensor.name;
  }
}

TEST_F(CalibrationTest, ErrorsInRowsLookedUpOftenCountMore) {
  Open(TinyGpt2());
  WriteTestFile(path("text"), Text(200));
  Request request;
  request.source = Request::Source::kText;
  request.calibration_path = path("text");
  request.measure_loss_weights = false;
  NS_ASSERT_OK(Run(request).status());
  const auto moments = *Moments::Open(path("moments"));
  const auto embedding = std::find_if(model_.tensors.begin(), model_.tensors.end(),
                                      [](const auto& t) { return t.role == model::Role::kTokenEmbedding; });
  const Objective objective = Objective::Of(*embedding, true, moments.get());
  std::vector<float> values(embedding->weights());
  model::ReadRows(*embedding, 0, embedding->rows, values.data());
  const auto error_in_row = [&](uint64_t row) {
    std::vector<float> decoded = values;
    for (uint64_t c = 0; c < embedding->row_weights; ++c) decoded[row * embedding->row_weights + c] += 0.01f;
    return objective.Compare(values.data(), decoded.data(), 0, 1, embedding->rows, embedding->row_weights);
  };
  const std::vector<float> counts = moments->TokenCounts();
  ASSERT_GT(counts['e'], 100);
  ASSERT_EQ(counts['Q'], 0);
  const Distortion often = error_in_row('e'), never = error_in_row('Q');
  EXPECT_NEAR(often.product.error, never.product.error, 1e-3 * often.product.error);  // as a matrix both count alike
  EXPECT_NEAR(often.table.error / never.table.error, (counts['e'] + 0.1) / 0.1, 1e-2 * often.table.error / never.table.error);
}

// The relative error of a tied embedding counts both its uses.
TEST(ObjectiveTest, BothUsesOfATensorCount) {
  Distortion distortion;
  distortion.product = {1, 4};
  distortion.table = {1, 8};
  EXPECT_DOUBLE_EQ(distortion.relative(), 0.25 + 0.125);
  EXPECT_DOUBLE_EQ(Distortion{}.relative(), 0);
}

}  // namespace
}  // namespace nashswarm::calibrate
