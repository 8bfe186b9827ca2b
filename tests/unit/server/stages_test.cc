#include "server/stages/flow.h"

#include "absl/strings/ascii.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/stages/cache_key.h"
#include "server/stages/readers.h"
#include "server/stages/spec_json.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::pair<Stage, int>> Next(Stage stage, int shard, const JobShape& shape,
                                        const v1::CompressionSpec& spec = {}) {
  std::vector<std::pair<Stage, int>> tasks;
  for (const NewTask& task : NextTasks(stage, shard, shape, spec)) tasks.emplace_back(task.stage, task.shard);
  return tasks;
}
std::vector<std::pair<Stage, int>> Next(Stage stage, int shards, const v1::CompressionSpec& spec = {}) {
  return Next(stage, 0, {.shards = shards}, spec);
}

v1::CompressionSpec WithImatrix() {
  v1::CompressionSpec spec;
  spec.mutable_calibration()->set_imatrix("models/imatrix");
  return spec;
}
v1::CompressionSpec WithText() {
  v1::CompressionSpec spec;
  spec.mutable_calibration()->set_text("models/text");
  return spec;
}

TEST(StagesTest, WhatFollowsWhat) {
  EXPECT_EQ(FirstTask().stage, J::PREPARE);
  EXPECT_THAT(Next(J::PREPARE, 2), ElementsAre(std::pair(J::MEASURE, 0), std::pair(J::MEASURE, 1)));
  EXPECT_THAT(Next(J::MEASURE, 2), ElementsAre(std::pair(J::SOLVE, 0)));
  EXPECT_THAT(Next(J::SOLVE, 1), ElementsAre(std::pair(J::ENCODE, 0)));
  EXPECT_THAT(Next(J::ENCODE, 2), ElementsAre(std::pair(J::PUBLISH, 0)));
  EXPECT_THAT(Next(J::PUBLISH, 2), IsEmpty());
}

TEST(StagesTest, EveryStageOfTheApiHasARow) {
  const auto* stages = v1::Job::Stage_descriptor();
  ASSERT_EQ(static_cast<int>(Stages().size()), stages->value_count() - 1) << "all but STAGE_UNSPECIFIED";
  for (const StageRow& row : Stages()) {
    EXPECT_EQ(&RowOf(row.stage), &row);
    EXPECT_EQ(absl::AsciiStrToUpper(row.name), v1::Job::Stage_Name(row.stage));
  }
  const Stage unknown = static_cast<Stage>(1);
  EXPECT_THAT(Next(unknown, 2), IsEmpty()) << "of a newer server";
  EXPECT_THAT(Next(J::STAGE_UNSPECIFIED, 2), IsEmpty());
  EXPECT_THAT(InputStages(unknown, {}), IsEmpty());
}

TEST(StagesTest, RoundsOfASearchFollowOneAnother) {
  const JobShape shape = {.shards = 2, .search_rounds = 3};
  const auto encode = ElementsAre(std::pair(J::ENCODE, 0), std::pair(J::ENCODE, 1));
  EXPECT_THAT(Next(J::MEASURE, 1, shape), ElementsAre(std::pair(J::SOLVE, 0)));
  EXPECT_THAT(Next(J::SOLVE, 0, shape), ElementsAre(std::pair(J::SEARCH, 0)));
  EXPECT_THAT(Next(J::SEARCH, 0, shape), ElementsAre(std::pair(J::SEARCH, 1)));
  EXPECT_THAT(Next(J::SEARCH, 1, shape), ElementsAre(std::pair(J::SEARCH, 2)));
  EXPECT_THAT(Next(J::SEARCH, 2, shape), encode);
  EXPECT_THAT(Next(J::SEARCH, 1, {.shards = 2, .search_rounds = 2}), encode) << "it said that it was the last";
}

TEST(StagesTest, ShapeIsWhatTheLastTasksSaid) {
  ClaimedTask task;
  task.shards = 4;
  task.search_rounds = 3;
  TaskFinish finish;
  EXPECT_EQ(ShapeAfter(task, finish).shards, 4);
  EXPECT_EQ(ShapeAfter(task, finish).search_rounds, 3);
  finish.shards = 5;
  finish.search_rounds = 0;
  EXPECT_EQ(ShapeAfter(task, finish).shards, 5);
  EXPECT_EQ(ShapeAfter(task, finish).search_rounds, 0);
}

TEST(StagesTest, CalibrateAndEvaluateAreTakenOnlyWhenAskedFor) {
  const auto measure = ElementsAre(std::pair(J::MEASURE, 0), std::pair(J::MEASURE, 1));
  EXPECT_THAT(Next(J::PREPARE, 2, WithImatrix()), ElementsAre(std::pair(J::CALIBRATE, 0)));
  EXPECT_THAT(Next(J::CALIBRATE, 2, WithImatrix()), measure);
  EXPECT_THAT(Next(J::ENCODE, 2, WithImatrix()), ElementsAre(std::pair(J::PUBLISH, 0))) << "no text to measure on";
  EXPECT_THAT(Next(J::PREPARE, 2, WithText()), ElementsAre(std::pair(J::CALIBRATE, 0)));
  EXPECT_THAT(Next(J::ENCODE, 2, WithText()), ElementsAre(std::pair(J::EVALUATE, 0))) << "a part of it is held out";
  EXPECT_THAT(Next(J::EVALUATE, 2, WithText()), ElementsAre(std::pair(J::PUBLISH, 0)));

  v1::CompressionSpec spec;
  spec.mutable_calibration()->set_self(true);
  EXPECT_THAT(Next(J::ENCODE, 1, spec), ElementsAre(std::pair(J::EVALUATE, 0)));
  spec.Clear();
  spec.mutable_evaluation()->set_text("models/text");
  EXPECT_THAT(Next(J::PREPARE, 1, spec), ElementsAre(std::pair(J::CALIBRATE, 0)));
  EXPECT_THAT(Next(J::ENCODE, 1, spec), ElementsAre(std::pair(J::EVALUATE, 0)));
  for (const bool kl : {false, true}) {
    spec.Clear();
    kl ? spec.set_max_kl(0.1) : spec.set_max_ppl_increase(0.02);
    EXPECT_THAT(Next(J::PREPARE, 1, spec), ElementsAre(std::pair(J::CALIBRATE, 0)));
  }
}

TEST(StagesTest, WhatFeedsWhat) {
  const v1::CompressionSpec plain;
  EXPECT_THAT(InputStages(J::PREPARE, plain), IsEmpty());
  EXPECT_THAT(InputStages(J::MEASURE, plain), ElementsAre(J::PREPARE));
  EXPECT_THAT(InputStages(J::SOLVE, plain), ElementsAre(J::PREPARE, J::MEASURE));
  EXPECT_THAT(InputStages(J::ENCODE, plain), ElementsAre(J::PREPARE, J::SOLVE, J::SEARCH));
  EXPECT_THAT(InputStages(J::PUBLISH, plain), ElementsAre(J::PREPARE, J::MEASURE, J::SOLVE, J::SEARCH, J::ENCODE));

  const v1::CompressionSpec text = WithText();
  EXPECT_THAT(InputStages(J::PREPARE, text), IsEmpty());
  EXPECT_THAT(InputStages(J::CALIBRATE, text), IsEmpty());
  EXPECT_THAT(InputStages(J::MEASURE, text), ElementsAre(J::PREPARE, J::CALIBRATE));
  EXPECT_THAT(InputStages(J::SOLVE, text), ElementsAre(J::PREPARE, J::CALIBRATE, J::MEASURE));
  EXPECT_THAT(InputStages(J::SEARCH, text), ElementsAre(J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH));
  EXPECT_THAT(InputStages(J::ENCODE, text), ElementsAre(J::PREPARE, J::CALIBRATE, J::SOLVE, J::SEARCH));
  EXPECT_THAT(InputStages(J::EVALUATE, text), ElementsAre(J::PREPARE, J::CALIBRATE, J::SOLVE, J::SEARCH, J::ENCODE));
  EXPECT_THAT(InputStages(J::PUBLISH, text),
              ElementsAre(J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH, J::ENCODE, J::EVALUATE));
  EXPECT_THAT(InputStages(J::PUBLISH, WithImatrix()),
              ElementsAre(J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH, J::ENCODE));
}

TEST(StagesTest, ResultsThatAreTheSameForAnotherJobAreKept) {
  for (const Stage stage : {J::PREPARE, J::CALIBRATE, J::MEASURE, J::SOLVE, J::SEARCH}) EXPECT_TRUE(RowOf(stage).kept);
  for (const Stage stage : {J::ENCODE, J::EVALUATE, J::PUBLISH}) EXPECT_FALSE(RowOf(stage).kept);
  for (const Stage stage : {J::CALIBRATE, J::SEARCH, J::EVALUATE}) EXPECT_EQ(UnitName(RowOf(stage).unit), "tokens");
  for (const Stage stage : {J::PREPARE, J::MEASURE, J::SOLVE, J::ENCODE}) EXPECT_EQ(UnitName(RowOf(stage).unit), "weights");
  EXPECT_EQ(StageName(J::SEARCH), "search") << "as the engine and the metrics call it";
}

TEST(StagesTest, SpecAsTheEngineReadsIt) {
  v1::CompressionSpec spec;
  spec.set_ratio(0.9);
  spec.set_artifact_format("gguf");
  spec.set_seed(7);
  spec.set_model_name("Org/Model-1B");
  spec.add_rules()->set_pattern(".*");
  spec.mutable_rules(0)->set_format("Q6_K");
  EXPECT_EQ(SpecToJson(spec).dump(),
            R"({"allow_tokenizer_mismatch":false,"expert_order":"original","format":"gguf","model_name":"Org/Model-1B","rules":[{"format":"Q6_K","pattern":".*"}],"seed":7,"target":{"ratio":0.9},)"
            R"("zero_non_finite":false})");
  spec.set_expert_order(v1::CompressionSpec::ORIGINAL);
  EXPECT_EQ(SpecToJson(spec)["expert_order"], "original");
  spec.set_expert_order(v1::CompressionSpec::TOGETHER);
  EXPECT_EQ(SpecToJson(spec)["expert_order"], "together");
}

TEST(StagesTest, CalibrationAndEvaluationAsTheEngineReadsThem) {
  v1::CompressionSpec spec;
  spec.set_max_ppl_increase(0.02);
  EXPECT_FALSE(SpecToJson(spec).contains("calibration"));
  EXPECT_FALSE(SpecToJson(spec).contains("evaluation"));
  EXPECT_EQ(SpecToJson(spec)["target"], Json({{"max_ppl_increase", 0.02}}));
  spec.set_max_kl(0.5);
  EXPECT_EQ(SpecToJson(spec)["target"], Json({{"max_kl", 0.5}}));
  spec.mutable_calibration()->set_text("models/wiki");
  spec.mutable_calibration()->set_tokens(9000);
  EXPECT_EQ(SpecToJson(spec)["calibration"], Json({{"source", "text"}, {"tokens", 9000}}));
  spec.mutable_calibration()->set_self(true);
  EXPECT_EQ(SpecToJson(spec)["calibration"]["source"], "self");
  spec.mutable_calibration()->set_imatrix("models/im");
  EXPECT_EQ(SpecToJson(spec)["calibration"]["source"], "imatrix");
  spec.mutable_evaluation()->set_context(512);
  EXPECT_EQ(SpecToJson(spec)["evaluation"], Json({{"text", false}, {"tokens", 0}, {"context", 512}}));
  spec.mutable_evaluation()->set_text("models/wiki");
  EXPECT_EQ(SpecToJson(spec)["evaluation"]["text"], true);
}

TEST(StagesTest, SearchAsTheEngineReadsIt) {
  v1::CompressionSpec spec;
  EXPECT_FALSE(SpecToJson(spec).contains("search"));
  spec.mutable_search()->set_context_rounds(2);
  spec.mutable_search()->set_swarm_evaluations(100);
  spec.mutable_search()->set_swarm_seconds(1.5);
  EXPECT_EQ(SpecToJson(spec)["search"], Json({{"context_rounds", 2}, {"swarm_evaluations", 100}, {"swarm_seconds", 1.5}}));
  spec.mutable_search()->Clear();
  EXPECT_EQ(SpecToJson(spec)["search"], Json({{"context_rounds", 0}, {"swarm_evaluations", 0}, {"swarm_seconds", 0.0}}));
  spec.mutable_search()->set_off(true);
  EXPECT_EQ(SpecToJson(spec)["search"], Json({{"off", true}}));
}

ClaimedTask TaskOf(Stage stage, int shard, const v1::CompressionSpec& spec) {
  ClaimedTask task;
  task.lease.key.stage = stage;
  task.lease.key.shard = shard;
  task.model_manifest = DigestOf("model");
  task.spec = spec;
  return task;
}

TEST(StagesTest, CacheKeyNamesTheContentOfDataFilesAndNeverTheirNames) {
  v1::CompressionSpec spec = WithText();
  spec.mutable_evaluation()->set_text("models/held-out");
  std::vector<DataFile> data = {{"calibration", DigestOf("a text")}, {"evaluation", DigestOf("another")}};
  const auto key = [&](Stage stage) {
    ClaimedTask task = TaskOf(stage, 0, spec);
    task.data = data;
    return TaskCacheKey("engine", task, {});
  };
  const std::string prepare = key(J::PREPARE), calibrate = key(J::CALIBRATE), measure = key(J::MEASURE),
                    solve = key(J::SOLVE);
  spec.set_max_kl(0.1);
  EXPECT_EQ(key(J::CALIBRATE), calibrate) << "another target calibrates the same";
  EXPECT_EQ(key(J::MEASURE), measure);
  EXPECT_NE(key(J::SOLVE), solve);
  spec.clear_target();
  spec.mutable_calibration()->set_text("models/renamed");
  spec.mutable_evaluation()->set_text("models/renamed-too");
  EXPECT_EQ(key(J::CALIBRATE), calibrate) << "the same text under another name";
  EXPECT_EQ(key(J::MEASURE), measure);
  EXPECT_EQ(key(J::SOLVE), solve);
  for (DataFile& file : data) {
    const BlobDigest before = file.digest;
    file.digest = DigestOf("other content");
    EXPECT_NE(key(J::PREPARE), prepare) << "how long a text is decides what later stages need";
    EXPECT_NE(key(J::CALIBRATE), calibrate) << file.purpose;
    EXPECT_NE(key(J::MEASURE), measure) << file.purpose;
    file.digest = before;
  }
  spec.mutable_calibration()->set_tokens(100);
  EXPECT_NE(key(J::PREPARE), prepare);
  EXPECT_NE(key(J::CALIBRATE), calibrate);
  spec.mutable_calibration()->set_tokens(0);
  EXPECT_EQ(key(J::CALIBRATE), calibrate);
  spec.mutable_evaluation()->set_context(64);
  EXPECT_NE(key(J::PREPARE), prepare);
  EXPECT_NE(key(J::CALIBRATE), calibrate);
  spec.mutable_evaluation()->set_context(0);
  spec.mutable_calibration()->set_imatrix("models/text");
  EXPECT_NE(key(J::CALIBRATE), calibrate) << "the same bytes read as something else";
}

TEST(StagesTest, CacheKeyNamesExactlyWhatTheOutputsDependOn) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  const std::vector<TaskOutput> inputs = {{"prepared.json", {Sha256Of("a"), 1}}};
  const auto key = [&](Stage stage) { return TaskCacheKey("engine", TaskOf(stage, 0, spec), inputs); };
  const std::string measure = key(J::MEASURE), solve = key(J::SOLVE);
  spec.set_bits_per_weight(3);
  EXPECT_EQ(key(J::MEASURE), measure) << "another target measures the same";
  EXPECT_NE(key(J::SOLVE), solve);
  spec.set_threads(9);
  EXPECT_EQ(key(J::MEASURE), measure) << "threads never change the bytes";
  spec.set_seed(1);
  EXPECT_NE(key(J::MEASURE), measure);
  spec.set_seed(0);
  EXPECT_NE(TaskCacheKey("other engine", TaskOf(J::MEASURE, 0, spec), inputs), measure);
  EXPECT_NE(TaskCacheKey("engine", TaskOf(J::MEASURE, 1, spec), inputs), measure);
  EXPECT_NE(TaskCacheKey("engine", TaskOf(J::MEASURE, 0, spec), {{"prepared.json", {Sha256Of("b"), 1}}}), measure);
  ClaimedTask other = TaskOf(J::MEASURE, 0, spec);
  other.model_id = "renamed";
  EXPECT_EQ(TaskCacheKey("engine", other, inputs), measure) << "the same checkpoint under another name";
  other.model_manifest = DigestOf("other model");
  EXPECT_NE(TaskCacheKey("engine", other, inputs), measure);
}

TEST(StagesTest, EveryFormatSharesOneCalibration) {
  v1::CompressionSpec spec = WithText();
  spec.set_artifact_format("gguf");
  const auto key = [&](Stage stage) { return TaskCacheKey("engine", TaskOf(stage, 0, spec), {}); };
  const std::string prepare = key(J::PREPARE), calibrate = key(J::CALIBRATE), measure = key(J::MEASURE);
  const auto expect_another_artifact = [&] {
    EXPECT_NE(key(J::PREPARE), prepare);
    EXPECT_EQ(key(J::CALIBRATE), calibrate);
    EXPECT_NE(key(J::MEASURE), measure);
  };
  spec.set_artifact_format("nsq");
  expect_another_artifact();
  spec.set_artifact_format("gguf");
  EXPECT_EQ(key(J::MEASURE), measure);
  spec.add_rules()->set_pattern(".*");
  expect_another_artifact();
  spec.clear_rules();
  spec.set_seed(1);
  EXPECT_NE(key(J::CALIBRATE), calibrate) << "the text the model writes depends on it";
}

TEST(StagesTest, EveryExpertOrderSharesCalibrationAndMeasurements) {
  v1::CompressionSpec spec = WithText();
  const auto key = [&](Stage stage) { return TaskCacheKey("engine", TaskOf(stage, 0, spec), {}); };
  std::map<Stage, std::string> original;
  const std::vector<Stage> shared = {J::CALIBRATE, J::MEASURE};
  const std::vector<Stage> apart = {J::PREPARE, J::SOLVE, J::SEARCH, J::ENCODE, J::EVALUATE, J::PUBLISH};
  for (const Stage stage : shared) original[stage] = key(stage);
  for (const Stage stage : apart) original[stage] = key(stage);
  spec.set_expert_order(v1::CompressionSpec::ORIGINAL);
  for (const auto& [stage, before] : original) EXPECT_EQ(key(stage), before) << "said or not: " << stage;
  spec.set_expert_order(v1::CompressionSpec::TOGETHER);
  for (const Stage stage : shared) EXPECT_EQ(key(stage), original[stage]) << stage;
  for (const Stage stage : apart) EXPECT_NE(key(stage), original[stage]) << stage;
}

TEST(StagesTest, AModelByAnotherNameSharesCalibrationAndMeasurements) {
  v1::CompressionSpec spec = WithText();
  const auto key = [&](Stage stage) { return TaskCacheKey("engine", TaskOf(stage, 0, spec), {}); };
  std::map<Stage, std::string> before;
  const std::vector<Stage> shared = {J::CALIBRATE, J::MEASURE}, apart = {J::PREPARE, J::ENCODE, J::PUBLISH};
  for (const Stage stage : shared) before[stage] = key(stage);
  for (const Stage stage : apart) before[stage] = key(stage);
  spec.set_model_name("Org/Model-1B");
  for (const Stage stage : shared) EXPECT_EQ(key(stage), before[stage]) << stage;
  for (const Stage stage : apart) EXPECT_NE(key(stage), before[stage]) << stage;
  spec.clear_model_name();
  spec.set_allow_tokenizer_mismatch(true);
  for (const Stage stage : shared) EXPECT_EQ(key(stage), before[stage]) << stage;
  for (const Stage stage : apart) EXPECT_NE(key(stage), before[stage]) << stage;
}

TEST(StagesTest, SearchIsPartOfTheKeysFromSolveOn) {
  v1::CompressionSpec spec = WithText();
  const auto key = [&](Stage stage, int shard = 0) { return TaskCacheKey("engine", TaskOf(stage, shard, spec), {}); };
  std::map<Stage, std::string> without;
  const std::vector<Stage> before = {J::PREPARE, J::CALIBRATE, J::MEASURE};
  const std::vector<Stage> after = {J::SOLVE, J::SEARCH, J::ENCODE, J::EVALUATE, J::PUBLISH};
  for (const Stage stage : before) without[stage] = key(stage);
  for (const Stage stage : after) without[stage] = key(stage);
  spec.mutable_search()->set_context_rounds(1);
  for (const Stage stage : before) EXPECT_EQ(key(stage), without[stage]) << stage;
  for (const Stage stage : after) EXPECT_NE(key(stage), without[stage]) << stage;
  const std::string one_round = key(J::SEARCH);
  spec.mutable_search()->set_swarm_evaluations(10);
  EXPECT_NE(key(J::SEARCH), one_round);
  spec.mutable_search()->set_swarm_evaluations(0);
  EXPECT_EQ(key(J::SEARCH), one_round);
  EXPECT_NE(key(J::SEARCH, 1), one_round) << "each round is another";
  spec.set_max_kl(0.1);
  EXPECT_NE(key(J::SEARCH), one_round) << "another target";
}

TEST(StagesTest, ResultsThatBreakTheProtocolAreRefused) {
  const auto read = [](Stage stage, const Json& result, std::vector<std::string> names) {
    TaskFinish finish;
    for (const std::string& name : names) finish.outputs.push_back({name, {}});
    return ReasonOf(ReadStageResult(stage, 1, result, "gguf", &finish));
  };
  EXPECT_EQ(read(J::PREPARE, {{"shards", 3}}, {"prepared.json"}), "");
  EXPECT_EQ(read(J::PREPARE, {{"shards", 3}}, {}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PREPARE, {{"shards", 0}}, {"prepared.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PREPARE, {{"shards", kMaxShards + 1}}, {"prepared.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PREPARE, {{"shards", "3"}}, {"prepared.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::CALIBRATE, {}, {"calibration.json", "moments.safetensors"}), "");
  EXPECT_EQ(read(J::CALIBRATE, {}, {"calibration.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::SOLVE, {}, {"plan.json"}), "");
  EXPECT_EQ(read(J::SOLVE, {{"search_rounds", 64}}, {"plan.json"}), "");
  EXPECT_EQ(read(J::SOLVE, {{"search_rounds", 65}}, {"plan.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::SOLVE, {{"search_rounds", -1}}, {"plan.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::SOLVE, {{"search_rounds", "3"}}, {"plan.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::SOLVE, {}, {}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::SEARCH, {}, {"search-1.json"}), "");
  EXPECT_EQ(read(J::SEARCH, {}, {"search-0.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::EVALUATE, {}, {"evaluation.json"}), "");
  EXPECT_EQ(read(J::EVALUATE, {}, {}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::MEASURE, {}, {"curves-1.json"}), "");
  EXPECT_EQ(read(J::MEASURE, {}, {"curves-0.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::ENCODE, {}, {"shard-1.bin"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PUBLISH, {}, {"artifact/model.gguf"}), "");
  EXPECT_EQ(read(J::PUBLISH, {}, {"elsewhere/model.gguf"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PUBLISH, {}, {}), "ENGINE_PROTOCOL");
}

TEST(StagesTest, RoundsOfASearchAreCounted) {
  const auto rounds = [](Stage stage, int shard, const Json& result) {
    TaskFinish finish;
    finish.outputs = {{"plan.json", {}}, {"search-2.json", {}}};
    EXPECT_TRUE(ReadStageResult(stage, shard, result, "gguf", &finish).ok());
    return finish.search_rounds;
  };
  EXPECT_EQ(rounds(J::SOLVE, 0, {{"search_rounds", 5}}), 5);
  EXPECT_EQ(rounds(J::SOLVE, 0, {{"seconds", 1}}), 0) << "no search";
  EXPECT_EQ(rounds(J::SEARCH, 2, {{"seconds", 1}}), std::nullopt) << "as many as SOLVE said";
  EXPECT_EQ(rounds(J::SEARCH, 2, {{"done", false}}), std::nullopt);
  EXPECT_EQ(rounds(J::SEARCH, 2, {{"done", true}}), 3) << "this was the last";
}

TEST(StagesTest, PublishResultBecomesTheJobsResult) {
  TaskFinish finish;
  finish.outputs = {{"artifact/model.gguf", {Sha256Of("a"), 1}}, {"artifact/report/report.json", {Sha256Of("b"), 2}}};
  const Json result = {{"output_bytes", 10}, {"bits_per_weight", 4.5}, {"warnings", {"w"}}, {"plan_summary", "near"}};
  ASSERT_TRUE(ReadStageResult(J::PUBLISH, 0, result, "gguf", &finish).ok());
  ASSERT_TRUE(finish.success.has_value());
  EXPECT_EQ(finish.success->files[1].path, "report/report.json");
  EXPECT_EQ(finish.success->result.output_bytes(), 10);
  EXPECT_EQ(finish.success->result.warnings(0), "w");
  EXPECT_FALSE(finish.success->result.has_quality()) << "nothing was measured, so there is no zero to show";
}

// A job must fit into a message of 4 MiB, and so must a list of them.
TEST(StagesTest, WarningsOfAResultAreBounded) {
  TaskFinish finish;
  finish.outputs = {{"artifact/model.gguf", {Sha256Of("a"), 1}}};
  Json warnings = Json::array();
  for (int i = 0; i < 5000; ++i) warnings.push_back(absl::StrCat("warning ", i, std::string(5000, 'w')));
  const Json result = {{"warnings", warnings}, {"plan_summary", std::string(1 << 20, 's')}};
  ASSERT_TRUE(ReadStageResult(J::PUBLISH, 0, result, "gguf", &finish).ok());
  const v1::Job::Result& read = finish.success->result;
  EXPECT_LT(read.ByteSizeLong(), size_t{1} << 20);
  EXPECT_EQ(read.warnings(0).substr(0, 10), "warning 0w");
  EXPECT_EQ(read.warnings(read.warnings_size() - 1), absl::StrCat("and ", 5000 - (read.warnings_size() - 1), " more warnings"));
}

TEST(StagesTest, MeasuredQualityBecomesTheJobs) {
  TaskFinish finish;
  finish.outputs = {{"artifact/model.gguf", {Sha256Of("a"), 1}}};
  const Json quality = {{"perplexity", 12.5},  {"source_perplexity", 12.25}, {"mean_kl", 0.02}, {"mean_kl_stderr", 0.001},
                        {"p99_kl", 0.25}, {"same_top1", 0.9}, {"tokens", 4096}};
  ASSERT_TRUE(ReadStageResult(J::PUBLISH, 0, {{"quality", quality}}, "gguf", &finish).ok());
  const v1::Job::Quality& read = finish.success->result.quality();
  EXPECT_EQ(read.perplexity(), 12.5);
  EXPECT_EQ(read.source_perplexity(), 12.25);
  EXPECT_EQ(read.mean_kl(), 0.02);
  EXPECT_EQ(read.mean_kl_stderr(), 0.001);
  EXPECT_EQ(read.p99_kl(), 0.25);
  EXPECT_EQ(read.same_top1(), 0.9);
  EXPECT_EQ(read.tokens(), 4096);
}

}  // namespace
}  // namespace nashswarm::server
