// What compression must reach on a trained mixture of experts: a file of 2.98 bits a weight that loses no more than rounding to 4
// bits in groups of 32, whose file is larger by more than half.
#include <gtest/gtest.h>

#include <string>

#include "core/base/file.h"
#include "core/calibrate/moments.h"
#include "core/calibrate/texts.h"
#include "core/evaluate/score.h"
#include "core/forward/transformer.h"
#include "core/pipeline/baseline_file.h"
#include "core/pipeline/local_run.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::TestData;

std::unique_ptr<forward::Transformer> OpenModelOf(const OpenModel& open) {
  return forward::Transformer::Open(forward::WeightsOf(*open.checkpoint, open.model), {}).value();
}

TEST(TrainedMixtureTest, NsqAtThreeBitsLosesNoMoreThanRoundingToFour) {
  const std::string shared = TestData("../../../shared"), model = shared + "/models/moe-wiki-8m", data = shared + "/data/wikitext2";
  if (!PathExists(model + "/model.safetensors") || !PathExists(data + "/eval.txt")) {
    GTEST_SKIP() << "SKIPPED: no trained mixture of experts here";
  }
  RecordingObserver observer;
  LocalJob job;
  job.model_dir = model;
  job.spec.format = "nsq";
  job.spec.bits_per_weight = 2.98;
  job.spec.calibration = Spec::Calibration::kText;
  job.spec.calibration_tokens = 16384;
  job.spec.evaluation_text = true;
  job.spec.evaluation_tokens = 4096;
  job.calibration_path = data + "/calib.txt";
  job.evaluation_path = data + "/eval.txt";
  job.observer = &observer;
  Spec target;
  target.bits_per_weight = 2.98;
  const auto run = LocalRun::Measure(std::move(job));
  NS_ASSERT_OK(run.status());
  const auto made = (*run)->Make(target);
  NS_ASSERT_OK(made.status());
  const auto parameters = static_cast<double>((*run)->prepared().parameters);
  EXPECT_LE(8.0 * static_cast<double>(made->bytes) / parameters, 2.98);

  const OpenModel open = *OpenAndMap(model);
  const auto moments = calibrate::Moments::Open((*run)->moments_path());
  NS_ASSERT_OK(moments.status());
  const std::vector<evaluate::Window> windows = calibrate::EvaluationWindows(**moments);
  const auto quiet = [](uint64_t, uint64_t) { return absl::OkStatus(); };
  const auto reference_model = OpenModelOf(open);
  const auto reference = evaluate::Predict(*reference_model, windows, quiet);
  const Baseline rounding{"", Baseline::Method::kGroups, 4, 32};
  const TemporaryDirectory directory = MakeTemporaryDirectory();
  const std::string path = directory.path() + "/rounded.safetensors", dense = directory.path() + "/dense";
  NS_ASSERT_OK(WriteBaseline(open, rounding, path, 0));
  NS_ASSERT_OK(UnpackBaseline(open, rounding, path, dense, 0));
  EXPECT_GT(8.0 * static_cast<double>(*FileSize(path)) / parameters, 4.7);
  const OpenModel rounded = *OpenAndMap(dense);
  const auto rounded_model = OpenModelOf(rounded);
  const auto predictions = evaluate::Predict(*rounded_model, windows, quiet);
  const auto score = evaluate::ScorePredictions(*predictions, &*reference, windows, 0);
  NS_ASSERT_OK(score.status());
  EXPECT_LE(made->evaluation->score.agreement->mean_kl, score->agreement->mean_kl);
  std::printf("mean KL: nsq %.5f, rounding %.5f\n", made->evaluation->score.agreement->mean_kl, score->agreement->mean_kl);
}

}  // namespace
}  // namespace nashswarm::pipeline
