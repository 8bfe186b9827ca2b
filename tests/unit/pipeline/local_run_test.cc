// Many sizes of one model from one measurement, on models of two layers.
#include "core/pipeline/local_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::TestData;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A model, a text, and which stages ran on them.
struct Bench {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  std::vector<std::string> stages;

  explicit Bench(const nashswarm::testing::TinyCheckpoint& checkpoint = nashswarm::testing::TinyGpt2()) {
    checkpoint.Write(model());
    nashswarm::testing::WriteTestFile(text(), ReadTestFile(TestData("text.txt")).substr(0, 6000));
  }
  std::string model() const { return directory.path() + "/m"; }
  std::string text() const { return directory.path() + "/text"; }

  LocalJob Job(const std::string& format, bool calibrated = false) {
    LocalJob job;
    job.model_dir = model();
    job.spec = nashswarm::testing::BitsPerWeight(4);
    job.spec.format = format;
    if (calibrated) {
      job.spec.calibration = Spec::Calibration::kText;
      job.spec.calibration_tokens = 768;
      job.spec.evaluation_tokens = 512;
      job.calibration_path = text();
    }
    job.observer = &observer;
    job.on_stage = [this](const std::string& stage) { stages.push_back(stage); };
    return job;
  }
};

Spec AtBytes(uint64_t bytes) {
  Spec spec;
  spec.target = Spec::Target::kSizeBytes;
  spec.size_bytes = bytes;
  return spec;
}

class LocalRunTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Formats, LocalRunTest, ::testing::Values("gguf", "nsq"), [](const auto& info) { return std::string(info.param); });

TEST_P(LocalRunTest, PredictedLossesFallWithTheSize) {
  Bench bench(nashswarm::testing::TinyLlama("llama", false));
  const auto run = LocalRun::Measure(bench.Job(GetParam()));
  NS_ASSERT_OK(run.status());
  EXPECT_FALSE((*run)->has_measured_weights());
  const uint64_t smallest = (*run)->smallest_file();
  double loss = (*run)->loss_of_zeros();
  uint64_t bytes = 0;
  for (int step = 0; step <= 12; ++step) {
    const uint64_t target = smallest + smallest * step / 4;
    const auto predicted = (*run)->Predict(target);
    NS_ASSERT_OK(predicted.status());
    EXPECT_LE(predicted->bytes, target);
    EXPECT_GE(predicted->bytes, bytes);
    EXPECT_LE(predicted->loss, loss);
    if (predicted->bytes > bytes) {
      EXPECT_LT(predicted->loss, loss) << "a larger file for nothing, at " << target;
    }
    loss = predicted->loss;
    bytes = predicted->bytes;
  }
  EXPECT_LT(loss, 0.5 * (*run)->Predict(smallest)->loss);
  const auto top = (*run)->Predict(1ull << 30);
  NS_ASSERT_OK(top.status());
  EXPECT_TRUE(top->at_the_top);
  EXPECT_LT(top->bytes, 1u << 30);
  EXPECT_FALSE((*run)->Predict(smallest)->at_the_top);
}

TEST_P(LocalRunTest, TheFileFitsAndHasTheBytesThatAreSaid) {
  Bench bench;
  const auto run = LocalRun::Measure(bench.Job(GetParam()));
  NS_ASSERT_OK(run.status());
  const uint64_t smallest = (*run)->smallest_file();
  std::string path;
  for (const uint64_t target : {smallest, smallest + smallest / 2}) {
    const auto made = (*run)->Make(AtBytes(target));
    NS_ASSERT_OK(made.status());
    path = made->path;
    EXPECT_LE(made->bytes, target);
    EXPECT_EQ(made->bytes, *FileSize(path));
    const auto predicted = (*run)->Predict(target);
    NS_ASSERT_OK(predicted.status());
    EXPECT_DOUBLE_EQ(made->predicted_loss, predicted->loss);
    if (std::string(GetParam()) == "gguf") {
      EXPECT_EQ(made->bytes, predicted->bytes) << "of block formats the size is known";
    } else {
      EXPECT_GT(static_cast<double>(made->bytes), 0.95 * static_cast<double>(predicted->bytes)) << "but for what a small header may take";
    }
    EXPECT_EQ(made->search_rounds, 0);
    EXPECT_FALSE(made->evaluation.has_value()) << "without a text";
  }
  EXPECT_FALSE(PathExists(path)) << "it lives as long as what Make returned";
  EXPECT_EQ(std::count(bench.stages.begin(), bench.stages.end(), "measure"), 1) << "once, for every size";
}

TEST_P(LocalRunTest, ATargetThatCannotBeMetNamesTheSmallest) {
  Bench bench;
  const auto run = LocalRun::Measure(bench.Job(GetParam()));
  NS_ASSERT_OK(run.status());
  const uint64_t smallest = (*run)->smallest_file();
  NS_EXPECT_OK((*run)->Predict(smallest).status());
  EXPECT_EQ(ReasonOf((*run)->Predict(smallest - 1).status()), "TARGET_INFEASIBLE");
  EXPECT_EQ(ReasonOf((*run)->Predict(1).status()), "TARGET_INFEASIBLE") << "less than the header";
  const absl::Status status = (*run)->Make(AtBytes(smallest - 1)).status();
  EXPECT_EQ(ReasonOf(status), "TARGET_INFEASIBLE");
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(smallest, " bytes")));
  EXPECT_THAT(HintOf(status), HasSubstr(absl::StrCat("--size ", smallest)));
}

TEST(LocalRunCalibratedTest, TakesOverTheCalibrationOfARunThatIsGone) {
  Bench bench;
  auto first = LocalRun::Measure(bench.Job("gguf", true));
  NS_ASSERT_OK(first.status());
  EXPECT_TRUE((*first)->has_measured_weights());
  EXPECT_THAT(bench.stages, ElementsAre("prepare", "calibrate", "measure"));
  bench.stages.clear();
  const auto second = LocalRun::Measure(bench.Job("nsq", true), first->get());
  NS_ASSERT_OK(second.status());
  EXPECT_THAT(bench.stages, Not(Contains("calibrate")));
  ASSERT_EQ((*second)->calibration().loss_weights.size(), (*first)->calibration().loss_weights.size());
  EXPECT_EQ(calibrate::ToJson((*second)->calibration()), calibrate::ToJson((*first)->calibration()));
  const std::string gone = (*first)->moments_path();
  first->reset();
  EXPECT_FALSE(PathExists(gone));
  ASSERT_TRUE(PathExists((*second)->moments_path()));
  const auto made = (*second)->Make(AtBytes((*second)->smallest_file() * 2));
  NS_ASSERT_OK(made.status());
  ASSERT_TRUE(made->evaluation.has_value());
  EXPECT_EQ(made->evaluation->score.tokens, 16u * 15) << "the second half of 16 windows of 32, their first token excepted";
  EXPECT_GT(made->evaluation->score.agreement->mean_kl, 0);
}

TEST(LocalRunCalibratedTest, ARunWithoutACalibrationHasNoneToGive) {
  Bench bench;
  const auto plain = LocalRun::Measure(bench.Job("gguf"));
  NS_ASSERT_OK(plain.status());
  EXPECT_EQ(ReasonOf(LocalRun::Measure(bench.Job("gguf", true), plain->get()).status()), "CALIBRATION_MISSING");
}

}  // namespace
}  // namespace nashswarm::pipeline
