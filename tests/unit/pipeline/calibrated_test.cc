// Jobs with calibration and evaluation, through every stage, on the bundled model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::RunPipeline;
using ::nashswarm::testing::TestData;
using ::testing::HasSubstr;

const std::string kModel = TestData("gpt2-wiki-6m");
// What the model wrote itself, so it is in distribution: about four thousand tokens.
const std::string kText = TestData("text.txt");

struct Job {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  absl::StatusOr<Json> result = absl::UnknownError("");
  Json report() const { return *ParseJson(ReadTestFile(directory.path() + "/artifact/report.json"), "report.json"); }
};

Spec Calibrated(double bits) {
  Spec spec = BitsPerWeight(bits);
  spec.calibration = Spec::Calibration::kText;
  spec.calibration_tokens = 2048;
  spec.evaluation_tokens = 1024;
  return spec;
}

Job RunJob(const Spec& spec, int threads = 0) {
  Job job;
  job.result = RunPipeline(kModel, job.directory.path(), spec, threads, &job.observer, {kText, ""});
  return job;
}

// One job that several tests look at.
const Job& AtThreeAndAHalfBits() {
  static const Job* const job = new Job(RunJob(Calibrated(3.5)));
  return *job;
}

TEST(CalibratedTest, CalibrationLowersTheDivergenceAtTheSameSize) {
  const Job& job = AtThreeAndAHalfBits();
  NS_ASSERT_OK(job.result.status());
  // The same held-out text, without what calibration knows: an importance of nothing, role defaults.
  Spec plain = BitsPerWeight(3.5);
  plain.evaluation_text = true;
  plain.evaluation_tokens = 1024;
  const Json report = job.report();
  const uint64_t held_out = report.at("texts").at(1).at("bytes");
  const std::string text = ReadTestFile(kText);
  Job other;
  const std::string path = other.directory.path() + "/held-out";
  nashswarm::testing::WriteTestFile(path, text.substr(text.size() - held_out));
  other.result = RunPipeline(kModel, other.directory.path(), plain, 0, &other.observer, {"", path});
  NS_ASSERT_OK(other.result.status());
  EXPECT_DOUBLE_EQ(job.result->at("quality").at("source_perplexity"), other.result->at("quality").at("source_perplexity"));
  const double calibrated = job.result->at("quality").at("mean_kl"), uncalibrated = other.result->at("quality").at("mean_kl");
  EXPECT_LT(calibrated, 0.6 * uncalibrated) << "wikitext gives 0.37";
}

TEST(CalibratedTest, TheReportHoldsWhatWasMeasuredAndNothingElse) {
  const Job& job = AtThreeAndAHalfBits();
  NS_ASSERT_OK(job.result.status());
  const Json report = job.report();
  ASSERT_EQ(report.at("headline").size(), 5u);
  EXPECT_EQ(report.at("headline").at(0).at("name"), "checkpoint");
  EXPECT_EQ(report.at("headline").at(4).at("is_artifact"), true);
  EXPECT_EQ(report.at("headline").at(4).at("bytes"), *FileSize(job.directory.path() + "/artifact/model.gguf"));
  EXPECT_EQ(report.at("headline").at(4).at("quality").at("mean_kl"), job.result->at("quality").at("mean_kl"));
  EXPECT_EQ(report.at("loss_is_kl"), true);
  EXPECT_GT(report.at("frontier").size(), 20u);
  double previous = 1e9;
  for (const Json& point : report.at("frontier")) {
    EXPECT_LE(point.at("predicted_loss").get<double>(), previous * (1 + 1e-9));
    previous = point.at("predicted_loss");
  }
  EXPECT_EQ(report.at("texts").size(), 2u);
  EXPECT_THAT(ReadTestFile(job.directory.path() + "/artifact/report.html"), HasSubstr("<html"));

  const Job unmeasured = RunJob(BitsPerWeight(3.5));
  NS_ASSERT_OK(unmeasured.result.status());
  EXPECT_FALSE(unmeasured.result->contains("quality"));
  const Json bare = unmeasured.report();
  ASSERT_EQ(bare.at("headline").size(), 3u);
  for (const Json& row : bare.at("headline")) EXPECT_FALSE(row.contains("quality")) << row.at("name");
  EXPECT_EQ(bare.at("loss_is_kl"), false);
}

TEST(CalibratedTest, TheReportComparesWithWhatAUserWouldTakeInstead) {
  const Job& job = AtThreeAndAHalfBits();
  NS_ASSERT_OK(job.result.status());
  const Json rows = job.report().at("headline");
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows.at(1).at("name"), "rounding in groups of 32, 4 bits");
  EXPECT_EQ(rows.at(2).at("name"), "rounding in groups of 128, 4 bits");
  EXPECT_EQ(rows.at(3).at("name"), "llama.cpp Q2_K");  // the nearest to 2.56 MB
  EXPECT_THAT(rows.at(3).at("note").get<std::string>(), HasSubstr("importance matrix"));
  for (size_t r = 1; r < rows.size(); ++r) {
    const Json& quality = rows.at(r).at("quality");
    EXPECT_GT(quality.at("mean_kl").get<double>(), 0) << r;
    // The error of the pairs, not of two means: those of this text are several per cent.
    EXPECT_GT(quality.at("perplexity_change_stderr").get<double>(), 0) << r;
    EXPECT_LT(quality.at("perplexity_change_stderr").get<double>(), 0.02) << r;
  }
  // Rounding in larger groups is smaller and worse.
  EXPECT_LT(rows.at(2).at("bytes"), rows.at(1).at("bytes"));
  EXPECT_GT(rows.at(2).at("quality").at("mean_kl"), rows.at(1).at("quality").at("mean_kl"));
}

TEST(CalibratedTest, WithoutATextThePresetIsPredictedByTheCurvesOfThePlan) {
  const Job job = RunJob(BitsPerWeight(4.5));
  NS_ASSERT_OK(job.result.status());
  const Json report = job.report(), &preset = report.at("headline").at(1), &ours = report.at("headline").at(2);
  EXPECT_EQ(preset.at("name"), "llama.cpp Q3_K_S");
  EXPECT_GT(preset.at("predicted_loss"), ours.at("predicted_loss"));  // the plan is the best of its size, and as large
  EXPECT_EQ(ours.at("predicted_loss"), report.at("chosen_predicted_loss"));
}

TEST(CalibratedTest, TheReportSaysHowToMakeAndRunTheFile) {
  const Job& job = AtThreeAndAHalfBits();
  NS_ASSERT_OK(job.result.status());
  const Json report = job.report();
  EXPECT_EQ(report.at("artifact").at("sha256"), ToHex(Sha256Of(ReadTestFile(job.directory.path() + "/artifact/model.gguf"))));
  EXPECT_EQ(report.at("memory").at("weight_bytes"), report.at("artifact").at("bytes"));
  EXPECT_GT(report.at("memory").at("cache_bytes").get<uint64_t>(), 0u);
  EXPECT_THAT(report.at("command").get<std::string>(), HasSubstr("nashswarm compress CHECKPOINT -o OUT --bpw 3.5 --calibrate CALIBRATION.txt"));
  EXPECT_EQ(report.at("made").get<std::string>().size(), 20u);
  EXPECT_FALSE(report.at("cpu").get<std::string>().empty());
  EXPECT_FALSE(report.at("plan_in_words").get<std::string>().empty());
}

TEST(SpecTest, TheCommandLineAsksForTheSame) {
  const Spec all = *ParseSpec(Json::parse(R"({"target": {"max_kl": 0.01}, "format": "nsq", "seed": 7, "zero_non_finite": true,
      "rules": [{"pattern": "it's", "format": "keep"}], "calibration": {"source": "self", "tokens": 100},
      "expert_order": "together", "evaluation": {"text": true, "tokens": 200, "context": 64},
      "search": {"context_rounds": 2, "swarm_evaluations": 9, "swarm_seconds": 1.5}})"));
  EXPECT_EQ(all.CommandLine(),
            "nashswarm compress CHECKPOINT -o OUT --max-kl 0.01 --format nsq --calibrate self --calibration-tokens 100 "
            "--evaluate EVALUATION.txt --evaluation-tokens 200 --evaluation-context 64 --rule 'it'\\''s=keep' --expert-order together "
            "--context-rounds 2 --swarm 9 --swarm-seconds 1.5 --seed 7 --zero-non-finite");
  const auto line = [](const char* target) { return ParseSpec(Json{{"target", Json::parse(target)}})->CommandLine(); };
  EXPECT_EQ(line(R"({"bits_per_weight": 4.5})"), "nashswarm compress CHECKPOINT -o OUT --bpw 4.5");
  EXPECT_EQ(line(R"({"size_bytes": 2600000})"), "nashswarm compress CHECKPOINT -o OUT --size 2600000");
  EXPECT_EQ(line(R"({"ratio": 0.88})"), "nashswarm compress CHECKPOINT -o OUT --ratio 0.88");
}

TEST(SpecTest, TheCommandLineHasEveryDigitAndTheName) {
  Spec spec;
  const auto flag = [&](Spec::Target target, double value) {
    spec.target = target;
    spec.bits_per_weight = spec.ratio = spec.quality = value;
    const std::string line = spec.CommandLine();
    return line.substr(line.rfind(' ') + 1);
  };
  for (const double value : {2.0 / 3, 0.1, 1e-7, 0.88, 0.02}) {
    for (const Spec::Target target : {Spec::Target::kBitsPerWeight, Spec::Target::kRatio, Spec::Target::kMaxKl}) {
      EXPECT_EQ(std::strtod(flag(target, value).c_str(), nullptr), value) << value;
    }
    const std::string increase = flag(Spec::Target::kMaxPerplexityIncrease, value);
    EXPECT_EQ(std::strtod(increase.c_str(), nullptr) / (increase.ends_with('%') ? 100 : 1), value) << increase;
  }
  EXPECT_EQ(flag(Spec::Target::kMaxPerplexityIncrease, 0.02), "2%");
  EXPECT_EQ(flag(Spec::Target::kMaxPerplexityIncrease, 0.07), "7%");
  EXPECT_EQ(flag(Spec::Target::kMaxPerplexityIncrease, 2.5), "250%");
  spec.target = Spec::Target::kBitsPerWeight;
  spec.bits_per_weight = 4.5;
  spec.model_name = "org/it's 7B";
  EXPECT_EQ(spec.CommandLine(), "nashswarm compress CHECKPOINT -o OUT --bpw 4.5 --name 'org/it'\\''s 7B'");
}

TEST(CalibratedTest, SameBytesAtAnyThreadCount) {
  std::string first;
  for (const int threads : {1, 3}) {
    Spec spec = Calibrated(3.5);
    spec.calibration_tokens = 512;
    const Job job = RunJob(spec, threads);
    NS_ASSERT_OK(job.result.status());
    const std::string digest = Sha256Of(ReadTestFile(job.directory.path() + "/artifact/model.gguf"));
    if (first.empty()) first = digest;
    EXPECT_EQ(digest, first) << threads << " threads";
  }
}

TEST(CalibratedTest, AQualityTargetIsMetByTheArtifactItself) {
  Spec spec = Calibrated(0);
  spec.target = Spec::Target::kMaxKl;
  spec.quality = 0.01;
  const Job job = RunJob(spec);
  NS_ASSERT_OK(job.result.status());
  const double kl = job.result->at("quality").at("mean_kl");
  EXPECT_LE(kl, 0.01);
  EXPECT_GT(kl, 0.007);  // and hardly better than asked, or it would be too large
  const Json report = job.report();
  EXPECT_GE(report.at("trials").size(), 2u);
  // What was tried out is what was written.
  bool found = false;
  for (const Json& trial : report.at("trials")) {
    found |= trial.at("bytes") == job.result->at("output_bytes") && std::abs(trial.at("mean_kl").get<double>() - kl) < 1e-9;
  }
  EXPECT_TRUE(found);
}

TEST(CalibratedTest, AQualityTargetNeedsText) {
  const auto spec = ParseSpec(Json::parse(R"({"target": {"max_kl": 0.01}})"));
  EXPECT_EQ(ReasonOf(spec.status()), "SPEC_INVALID");
  EXPECT_THAT(HintOf(spec.status()), HasSubstr("--calibrate self"));
}

}  // namespace
}  // namespace nashswarm::pipeline
