#include "server/stages/needs.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;

const Json kNeed = {{"memory_bytes", 1000}, {"thread_bytes", 10}, {"disk_bytes", 7}};

std::optional<Need> Read(const Json& needs, Stage stage = J::MEASURE, int shard = 0, int threads = 4,
                         const v1::CompressionSpec& spec = {}) {
  return ReadNeed({{"needs", needs}}, stage, shard, spec, threads);
}

TEST(NeedsTest, ReadsTheStageTheShardAndTheThreads) {
  EXPECT_EQ(Read({{"measure", kNeed}}), (Need{1040, 7}));
  EXPECT_EQ(Read({{"measure", kNeed}}, J::MEASURE, 3, 1), (Need{1010, 7}));
  EXPECT_EQ(Read({{"measure", kNeed}}, J::MEASURE, 0, 0), (Need{1010, 7})) << "one thread at least";
  Json second = kNeed;
  second["disk_bytes"] = 8;
  EXPECT_EQ(Read({{"encode", {kNeed, second}}}, J::ENCODE, 1), (Need{1040, 8}));
  EXPECT_EQ(Read({{"encode", {kNeed, second}}}, J::ENCODE, 2), std::nullopt);
}

TEST(NeedsTest, ASolveThatTriesPlansOutNeedsWhatASearchNeeds) {
  Json search = kNeed;
  search["memory_bytes"] = 5000;
  const Json needs = {{"solve", kNeed}, {"search", search}};
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  EXPECT_EQ(Read(needs, J::SOLVE, 0, 1, spec)->memory_bytes, 1010);
  spec.set_max_kl(0.1);
  EXPECT_EQ(Read(needs, J::SOLVE, 0, 1, spec)->memory_bytes, 5010);
  spec.set_max_ppl_increase(0.1);
  EXPECT_EQ(Read(needs, J::SOLVE, 0, 1, spec)->memory_bytes, 5010);
}

TEST(NeedsTest, WhatIsNoNeedIsRefusedAndWhatIsTooLargeIsBounded) {
  for (const char* field : {"memory_bytes", "thread_bytes", "disk_bytes"}) {
    for (const Json& value : {Json(-1), Json(1.5), Json("1000"), Json(nullptr), Json(true), Json::array({1})}) {
      Json need = kNeed;
      need[field] = value;
      EXPECT_EQ(Read({{"measure", need}}), std::nullopt) << need;
    }
    Json need = kNeed;
    need.erase(field);
    EXPECT_EQ(Read({{"measure", need}}), std::nullopt) << need;
    need[field] = UINT64_MAX;
    const std::optional<Need> huge = Read({{"measure", need}}, J::MEASURE, 0, 1 << 30);
    ASSERT_TRUE(huge.has_value());
    EXPECT_GE(std::max(huge->memory_bytes, huge->disk_bytes), int64_t{1} << 50) << field;
  }
  EXPECT_EQ(Read({{"encode", kNeed}}), std::nullopt) << "another stage's";
  EXPECT_EQ(Read({{"measure", 5}}), std::nullopt);
  EXPECT_EQ(Read({{"measure", Json::array()}}), std::nullopt);
  EXPECT_EQ(Read(Json::array({kNeed})), std::nullopt);
  EXPECT_EQ(ReadNeed(Json(), J::MEASURE, 0, {}, 1), std::nullopt);
  EXPECT_EQ(ReadNeed({{"shards", 1}}, J::MEASURE, 0, {}, 1), std::nullopt);
}

TEST(NeedsTest, PrepareNeedsLittleOfTheWeightsAndMuchOfTheTokenizer) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  const Need small = NeedOfPrepare({0, 0}), weights = NeedOfPrepare({kGiB, kGiB}),
             tokenizer = NeedOfPrepare({0, kGiB / 64});
  EXPECT_GT(small.memory_bytes, 0);
  EXPECT_GT(small.disk_bytes, 0);
  EXPECT_LT(weights.memory_bytes, kGiB / 8);
  EXPECT_GE(tokenizer.memory_bytes, kGiB / 8);
  EXPECT_GT(NeedOfPrepare({INT64_MAX, INT64_MAX}).memory_bytes, 0) << "no overflow";
  EXPECT_GE(NeedOfPrepare({5, -3}).memory_bytes, small.memory_bytes);
  EXPECT_EQ(SizeOf({{"a.safetensors", {"", 10}}, {"tokenizer.json", {"", 5}}}).weight_bytes, 10);
  EXPECT_EQ(SizeOf({{"a.safetensors", {"", 10}}, {"tokenizer.json", {"", 5}}}).total_bytes, 15);
}

TEST(NeedsTest, FallBackIsEnoughForAnyModelOfThatSize) {
  // 16-bit weights as floats take twice the file; SEARCH keeps eight such copies at most, ENCODE a shard's tensors.
  EXPECT_GE(FallbackNeed(J::SEARCH, {100, 100}).memory_bytes, 8 * 2 * 100);
  EXPECT_GE(FallbackNeed(J::ENCODE, {100, 100}).memory_bytes, 100);
  EXPECT_GT(FallbackNeed(J::EVALUATE, {INT64_MAX, INT64_MAX}).memory_bytes, 0) << "no overflow";
  EXPECT_GT(FallbackNeed(J::EVALUATE, {INT64_MAX, INT64_MAX}).disk_bytes, 0);
}

TEST(NeedsTest, NextTasksGetTheNeedsOfTheJobsPrepare) {
  ClaimedTask task;
  task.model_files = {{"model.safetensors", {"", 100}}};
  task.lease.key.stage = J::PREPARE;
  const std::string result = Json{{"needs", {{"measure", kNeed}, {"publish", kNeed}}}}.dump();
  std::vector<NewTask> next = {{J::MEASURE, 0}, {J::MEASURE, 1}};
  AddNeeds(task, result, 2, &next);
  for (const NewTask& measure : next)
    EXPECT_EQ((Need{measure.need_memory_bytes, measure.need_disk_bytes}), (Need{1020, 7}));

  task.lease.key.stage = J::ENCODE;
  task.prepare_result_json = result;
  next = {{J::PUBLISH, 0}, {J::EVALUATE, 0}};
  AddNeeds(task, "{}", 2, &next);
  EXPECT_EQ(next[0].need_memory_bytes, 1020);
  EXPECT_EQ(next[1].need_memory_bytes, FallbackNeed(J::EVALUATE, SizeOf(task.model_files)).memory_bytes);
  task.prepare_result_json = "not JSON";
  AddNeeds(task, "{}", 2, &next);
  EXPECT_EQ(next[0].need_memory_bytes, FallbackNeed(J::PUBLISH, SizeOf(task.model_files)).memory_bytes);
}

}  // namespace
}  // namespace nashswarm::server
