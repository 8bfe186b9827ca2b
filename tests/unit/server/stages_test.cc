#include "server/scheduler/stages.h"

#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::pair<Stage, int>> Next(Stage stage, int shards) {
  std::vector<std::pair<Stage, int>> tasks;
  for (const NewTask& task : NextTasks(stage, shards)) tasks.emplace_back(task.stage, task.shard);
  return tasks;
}

TEST(StagesTest, WhatFollowsWhat) {
  EXPECT_EQ(FirstTask().stage, J::PREPARE);
  EXPECT_THAT(Next(J::PREPARE, 2), ElementsAre(std::pair(J::MEASURE, 0), std::pair(J::MEASURE, 1)));
  EXPECT_THAT(Next(J::MEASURE, 2), ElementsAre(std::pair(J::SOLVE, 0)));
  EXPECT_THAT(Next(J::SOLVE, 1), ElementsAre(std::pair(J::ENCODE, 0)));
  EXPECT_THAT(Next(J::ENCODE, 2), ElementsAre(std::pair(J::PUBLISH, 0)));
  EXPECT_THAT(Next(J::PUBLISH, 2), IsEmpty());
}

TEST(StagesTest, WhatFeedsWhat) {
  EXPECT_THAT(InputStages(J::PREPARE), IsEmpty());
  EXPECT_THAT(InputStages(J::MEASURE), ElementsAre(J::PREPARE));
  EXPECT_THAT(InputStages(J::SOLVE), ElementsAre(J::PREPARE, J::MEASURE));
  EXPECT_THAT(InputStages(J::ENCODE), ElementsAre(J::PREPARE, J::SOLVE));
  EXPECT_THAT(InputStages(J::PUBLISH), ElementsAre(J::PREPARE, J::MEASURE, J::SOLVE, J::ENCODE));
}

TEST(StagesTest, SpecAsTheEngineReadsIt) {
  v1::CompressionSpec spec;
  spec.set_ratio(0.9);
  spec.set_artifact_format("gguf");
  spec.set_seed(7);
  spec.add_rules()->set_pattern(".*");
  spec.mutable_rules(0)->set_format("Q6_K");
  EXPECT_EQ(SpecToJson(spec).dump(),
            R"({"format":"gguf","rules":[{"format":"Q6_K","pattern":".*"}],"seed":7,"target":{"ratio":0.9},)"
            R"("zero_non_finite":false})");
}

TEST(StagesTest, CacheKeyNamesExactlyWhatTheOutputsDependOn) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  const std::vector<TaskOutput> inputs = {{"prepared.json", {Sha256Of("a"), 1}}};
  const auto key = [&](Stage stage) { return TaskCacheKey("engine", stage, 0, "model", spec, inputs); };
  const std::string measure = key(J::MEASURE), solve = key(J::SOLVE);
  spec.set_bits_per_weight(3);
  EXPECT_EQ(key(J::MEASURE), measure) << "another target measures the same";
  EXPECT_NE(key(J::SOLVE), solve);
  spec.set_threads(9);
  EXPECT_EQ(key(J::MEASURE), measure) << "threads never change the bytes";
  spec.set_seed(1);
  EXPECT_NE(key(J::MEASURE), measure);
  spec.set_seed(0);
  EXPECT_NE(TaskCacheKey("other engine", J::MEASURE, 0, "model", spec, inputs), measure);
  EXPECT_NE(TaskCacheKey("engine", J::MEASURE, 1, "model", spec, inputs), measure);
  EXPECT_NE(TaskCacheKey("engine", J::MEASURE, 0, "other model", spec, inputs), measure);
  EXPECT_NE(TaskCacheKey("engine", J::MEASURE, 0, "model", spec, {{"prepared.json", {Sha256Of("b"), 1}}}), measure);
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
  EXPECT_EQ(read(J::MEASURE, {}, {"curves-1.json"}), "");
  EXPECT_EQ(read(J::MEASURE, {}, {"curves-0.json"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::ENCODE, {}, {"shard-1.bin"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PUBLISH, {}, {"artifact/model.gguf"}), "");
  EXPECT_EQ(read(J::PUBLISH, {}, {"elsewhere/model.gguf"}), "ENGINE_PROTOCOL");
  EXPECT_EQ(read(J::PUBLISH, {}, {}), "ENGINE_PROTOCOL");
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
}

}  // namespace
}  // namespace nashswarm::server
