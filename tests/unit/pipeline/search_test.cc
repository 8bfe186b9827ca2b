// The search over whole plans, round by round as tasks of their own, on a model of two layers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/pipeline/files/search_round.h"
#include "core/pipeline/search_moves.h"
#include "core/pipeline/search_rounds.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::RunPipeline;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::TinyGpt2;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kText = TestData("text.txt");

// Random weights predict little; so much larger, what a tensor loses is seen in the predictions.
const std::string& Model() {
  static const TemporaryDirectory* const directory = [] {
    auto* made = new TemporaryDirectory(MakeTemporaryDirectory());
    nashswarm::testing::TinyCheckpoint checkpoint = TinyGpt2();
    for (auto& [name, tensor] : checkpoint.tensors) {
      const float factor = name.find("c_proj") != std::string::npos ? 8 : name.find("wte") != std::string::npos ? 8 : 2;
      for (float& value : tensor.values) value *= tensor.shape.size() == 2 ? factor : 1;
    }
    checkpoint.Write(made->path());
    return made;
  }();
  static const std::string* const path = new std::string(directory->path());
  return *path;
}

Spec Searching(const std::string& format, int context_rounds, int evaluations) {
  Spec spec = BitsPerWeight(format == "nsq" ? 3 : 5.5);
  spec.format = format;
  spec.calibration = Spec::Calibration::kText;
  spec.calibration_tokens = 2048;
  spec.evaluation_tokens = 512;
  spec.search = {false, context_rounds, evaluations, 0};
  return spec;
}

struct Job {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  absl::StatusOr<Json> result = absl::UnknownError("");

  std::string file(const std::string& name) const { return directory.path() + "/" + name; }
  Json json(const std::string& name) const { return *ParseJson(ReadTestFile(file(name)), name); }
  int rounds() const {
    int count = 0;
    while (PathExists(file(SearchRound::File(count)))) ++count;
    return count;
  }
  Json last() const { return json(SearchRound::File(rounds() - 1)); }
};

Job RunJob(const Spec& spec, int threads = 0) {
  Job job;
  job.result = RunPipeline(Model(), job.directory.path(), spec, threads, &job.observer, {kText, ""});
  return job;
}

// One job of each format that several tests look at: two rounds in context, and three of a flock of 12.
const Job& Searched(const std::string& format) {
  static const auto* const jobs = [] {
    auto* made = new std::map<std::string, Job>();
    for (const char* format : {"gguf", "nsq"}) made->emplace(format, RunJob(Searching(format, 2, 26)));
    return made;
  }();
  return jobs->at(format);
}

class SearchTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Formats, SearchTest, ::testing::Values("gguf", "nsq"), [](const auto& info) { return info.param; });

TEST_P(SearchTest, RoundsChainUntilThereIsNothingLeftToTry) {
  const Job& job = Searched(GetParam());
  NS_ASSERT_OK(job.result.status());
  const Json last = job.last();
  EXPECT_EQ(last.at("state").at("phase"), "done");
  EXPECT_EQ(last.at("state").at("evaluations"), 26);
  EXPECT_EQ(last.at("state").at("rounds"), job.rounds());
  const Json& trace = last.at("trace");
  EXPECT_EQ(trace.at(0).at("step"), "equilibrium");
  EXPECT_EQ(trace.at(1).at("step"), "context");
  EXPECT_EQ(trace.at(trace.size() - 1).at("step"), "swarm");
  EXPECT_EQ(trace.at(trace.size() - 1).at("plans"), 2);  // 26 = 12 + 12 + 2
  for (int round = 0; round + 1 < job.rounds(); ++round) {
    EXPECT_NE(job.json(SearchRound::File(round)).at("state").at("phase"), "done");
  }
}

TEST_P(SearchTest, WhatIsKeptMeasuredNoWorseThanTheEquilibrium) {
  const Job& job = Searched(GetParam());
  NS_ASSERT_OK(job.result.status());
  double kept = job.json(SearchRound::File(0)).at("state").at("equilibrium_kl");
  ASSERT_GT(kept, 0);
  const Json last = job.last();
  for (const Json& step : last.at("trace")) {
    const double kl = step.at("mean_kl");
    EXPECT_LE(kl, kept);
    EXPECT_EQ(step.at("kept").get<bool>(), step.at("step") == "equilibrium" || kl < kept);
    if (!step.at("kept").get<bool>() && step.contains("tried_kl")) {
      EXPECT_GE(step.at("tried_kl").get<double>(), kl);
    }
    kept = kl;
  }
  EXPECT_EQ(last.at("state").at("mean_kl").get<double>(), kept);
}

TEST_P(SearchTest, TheArtifactIsTheOneThatWasMeasured) {
  const Job& job = Searched(GetParam());
  NS_ASSERT_OK(job.result.status());
  const Json plan = job.last().at("plan"), solved = job.json("plan.json"), shard = job.json("shard-0.json");
  uint64_t bytes = 0;
  for (size_t t = 0; t < plan.at("tensors").size(); ++t) {
    const Json& planned = plan.at("tensors").at(t);
    bytes += planned.at("bytes").get<uint64_t>();
    const Json& made = shard.at("tensors").at(t);
    EXPECT_LE(made.at("bytes"), planned.at("bytes")) << "alignment at most, of gguf";
    if (planned.at("step").get<double>() > 0) {
      EXPECT_EQ(made.at("bytes"), planned.at("bytes")) << t;
      EXPECT_EQ(made.at("step"), planned.at("step")) << t;
      EXPECT_EQ(made.at("distortion"), planned.at("distortion")) << t;
    }
  }
  const uint64_t file = *FileSize(job.file("artifact/model." + std::string(GetParam() == "nsq" ? "nsq" : "gguf")));
  EXPECT_EQ(plan.at("file_bytes").get<uint64_t>(), bytes + job.json("prepared.json").at("header_bytes").get<uint64_t>());
  EXPECT_LE(file, plan.at("file_bytes"));
  if (GetParam() == "gguf") {
    EXPECT_EQ(file, plan.at("file_bytes"));
  }
  EXPECT_LE(plan.at("file_bytes"), plan.at("target_bytes"));
  EXPECT_EQ(plan.at("target_bytes"), solved.at("target_bytes"));
}

// A worker that died is followed by another, which has the files of the rounds before and nothing else.
TEST_P(SearchTest, ARoundRunAgainGivesTheSameBytes) {
  const Job& job = Searched(GetParam());
  NS_ASSERT_OK(job.result.status());
  const auto out = MakeTemporaryDirectory();
  RecordingObserver observer;
  for (const int round : {0, job.rounds() - 1}) {
    Task task{Model(), job.directory.path(), out.path(), Searching(GetParam(), 2, 26), round, 1, "00", &observer, kText, ""};
    NS_ASSERT_OK(Search(task).status());
    EXPECT_EQ(ReadTestFile(out.path() + "/" + SearchRound::File(round)), ReadTestFile(job.file(SearchRound::File(round)))) << round;
    EXPECT_EQ(observer.last_done, observer.last_total);
  }
}

TEST(SearchRoundsTest, DependOnWhatIsAsked) {
  Prepared prepared;
  prepared.tensors.resize(1);
  prepared.tensors[0].formats = {quant::Format::kQ4_K, quant::Format::kQ5_K};
  Spec spec = Searching("gguf", 3, 25);
  EXPECT_EQ(FlockSize(spec), 12u);
  EXPECT_EQ(SearchRounds(spec, prepared), 3 + 3);
  spec.search.swarm_evaluations = 5;
  EXPECT_EQ(FlockSize(spec), 5u);
  EXPECT_EQ(SearchRounds(spec, prepared), 3 + 1);
  spec.search.swarm_evaluations = 10000;
  EXPECT_LE(SearchRounds(spec, prepared), 64);
  EXPECT_GE(FlockSize(spec) * 61, 10000u);
  spec.search.context_rounds = 1000;
  EXPECT_LE(SearchRounds(spec, prepared), 64);

  Spec plain = Searching("gguf", 0, 0);
  EXPECT_EQ(SearchRounds(plain, prepared), 0);
  plain.search = {};
  EXPECT_EQ(SearchRounds(plain, prepared), 0);
  EXPECT_EQ(FlockSize(plain), 0u);
  EXPECT_GT(SearchRounds(spec, prepared), 0);
  for (const auto calibration : {Spec::Calibration::kNone, Spec::Calibration::kImatrix}) {
    Spec other = spec;
    other.calibration = calibration;
    EXPECT_EQ(SearchRounds(other, prepared), 0);
  }
  Spec quality = spec;
  quality.target = Spec::Target::kMaxKl;
  EXPECT_EQ(SearchRounds(quality, prepared), 0);
  Spec off = spec;
  off.search.off = true;
  EXPECT_EQ(SearchRounds(off, prepared), 0);
  prepared.tensors[0].formats.resize(1);
  EXPECT_EQ(SearchRounds(spec, prepared), 0);
  prepared.tensors[0].formats.clear();  // coded
  EXPECT_GT(SearchRounds(spec, prepared), 0);
}

TEST(SearchOffTest, HasNoRounds) {
  Spec spec = Searching("gguf", 2, 12);
  spec.search.off = true;
  const Job job = RunJob(spec);
  NS_ASSERT_OK(job.result.status());
  EXPECT_EQ(job.rounds(), 0);
}

TEST(SearchTextTest, TooLittleTextKeepsThePlan) {
  Spec spec = Searching("gguf", 2, 12);
  spec.calibration_tokens = 256;  // eight windows
  const Job job = RunJob(spec);
  NS_ASSERT_OK(job.result.status());
  EXPECT_EQ(job.rounds(), 1);
  EXPECT_EQ(job.last().at("plan"), job.json("plan.json"));
  EXPECT_EQ(job.last().at("state").at("phase"), "done");
}

}  // namespace
}  // namespace nashswarm::pipeline
