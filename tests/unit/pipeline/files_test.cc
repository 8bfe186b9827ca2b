// The files that stages hand on: what is written is read back, to the byte, and a file that is damaged is a Status that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/calibrate/calibration.h"
#include "core/pipeline/files/curves.h"
#include "core/pipeline/files/evaluation.h"
#include "core/pipeline/files/history.h"
#include "core/pipeline/files/manifest.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/files/search_round.h"
#include "core/pipeline/files/shard_index.h"
#include "tests/support/files.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using quant::Format;

// A matrix with a choice, a matrix of nsq's, a vector.
Prepared SomePrepared() {
  Prepared prepared{"gguf", "Tiny", "llama", 1000, 4000, 96, {}, {{0, 2}, {2, 3}}, {"a warning"}};
  prepared.tensors = {{"blk.0.ffn_up.weight", "mlp.up", "ffn_up", 32, 64, false, {Format::kQ4_K, Format::kQ6_K}, "blk.0.ffn_up.weight"},
                      {"blk.0.ffn_down.weight", "mlp.down", "ffn_down", 64, 32, false, {}, "blk.0.ffn_down.weight"},
                      {"norm.weight", "norm", "norm", 1, 64, true, {Format::kF32}, "norm.weight", 1, 2}};
  return prepared;
}

Curves SomeCurves() {
  Curves curves;
  curves.tensors = {{0, 1, {{{Format::kQ4_K, 0}, 1152, 0.25}, {{Format::kQ6_K, 0}, 1680, 0}}}, {1, 0, {{{Format::kF32, 0.5}, 900, 0.125}}}};
  return curves;
}

Plan SomePlan() {
  Plan plan;
  plan.target_bytes = 5000, plan.file_bytes = 4999, plan.price = 0.5, plan.loss = 2, plan.lower_bound = 1.5, plan.duality_gap = 0.5;
  plan.proved_best = true, plan.summary = "a summary", plan.expert_order = {{1, 0}, {0, 1}};
  plan.path = {{4000, 3, 0.25}};
  plan.frontier = {{4000, 3}};
  plan.trials = {{4999, 2, 0.01, 20.5, 0.02, true}};
  plan.tensors = {{{Format::kQ4_K, 0}, 1152, 0.25, 8}, {{Format::kF32, 0.5}, 900, 0.125, 4}, {{Format::kF32, 0}, 256, 0, 0}};
  plan.search = SearchTrace{"words", 100, {{0, "equilibrium", 1, 0.5, 0.5, true}, {1, "swarm", 2, std::nullopt, 0.5, false}}, {{"game", 4999, 0.5}}};
  return plan;
}

SearchRound SomeRound() {
  SearchRound round{SomePlan(), {}, SomePlan().search->trace};
  round.state.phase = SearchState::Phase::kSwarm;
  round.state.plan_summary = "a summary";
  round.state.base_weights = {8, 4, 0};
  round.state.birds = {3, {{0.5}, {1}}, {{0.25}, {0}}, {{0.5}, {}}, {0.125, std::numeric_limits<double>::infinity()}};
  round.state.settled = {0.5};
  return round;
}

ShardIndex SomeIndex() {
  return {2052, {{0, 1152, 0.5, 2}, {1, 900, 0.25, 2, EncodedStream{0.5, 0.125, 7}}}};
}

evaluate::Score SomeScore() { return {20.5, 3.02, 0.1, 400, evaluate::Agreement{0.01, 0.001, 0.05, 0.9, 0.02, 0.003}}; }

calibrate::Calibration SomeCalibration() {
  return {{{"calibration", "a text", "ab", 100, 50, 25, "a note"}},
          {{"blk.0.ffn_up.weight", Format::kQ4_K, 0.25, 0.5, 0.125}},
          {{"checkpoint", 4000, {20, 3, 0.1, 400, std::nullopt}}, {"rounding", 2000, SomeScore()}},
          {{3, 4}, {5, 0}}};
}

struct File {
  std::string name;
  std::function<absl::Status(const std::string& directory)> write;
  std::function<absl::Status(const std::string& directory)> read;
};

std::vector<File> Files() {
  using Directory = const std::string&;
  return {{Prepared::kFile, [](Directory d) { return SomePrepared().Write(d); }, [](Directory d) { return Prepared::Read(d).status(); }},
          {Curves::File(0), [](Directory d) { return SomeCurves().Write(d, 0); },
           [](Directory d) { return Curves::Read(d, 0, SomePrepared()).status(); }},
          {Plan::kFile, [](Directory d) { return SomePlan().Write(d); }, [](Directory d) { return Plan::Read(d, SomePrepared()).status(); }},
          {SearchRound::File(1), [](Directory d) { return SomeRound().Write(d, 1); },
           [](Directory d) { return SearchRound::Read(d, 1, SomePrepared()).status(); }},
          {ShardIndex::File(0), [](Directory d) { return SomeIndex().Write(d, 0); },
           [](Directory d) { return ShardIndex::Read(d, 0, SomePrepared()).status(); }},
          {Evaluation::kFile, [](Directory d) { return Evaluation{"ab", SomeScore(), PresetScore{"Q3_K_M", 3000, true, SomeScore()}}.Write(d); },
           [](Directory d) { return Evaluation::Read(d).status(); }},
          {calibrate::kCalibrationFile, [](Directory d) { return calibrate::WriteCalibration(SomeCalibration(), JoinPath(d, calibrate::kCalibrationFile)); },
           [](Directory d) { return calibrate::ReadCalibration(JoinPath(d, calibrate::kCalibrationFile)).status(); }}};
}

// The key that `place` is an element, or a member, of; "" at the top.
std::string ParentKey(const Json::json_pointer& place) {
  const Json::json_pointer parent = place.parent_pointer();
  return parent.empty() ? "" : parent.back();
}

// What a file may lack: what not every job has, by the key that says so, and what is there for readers of the file alone. (A score
// of EVALUATE's own has its agreement; that is looked at below.)
bool MayBeAbsent(const Json::json_pointer& place) {
  for (const char* known : {"search", "expert_order", "preset", "tried_kl", "weight", "crc32"}) {
    if (place.back() == known) return true;
  }
  return place.back() == "mean_kl" && ParentKey(place) == "score" && place.to_string() != "/score/mean_kl";
}

// Pointers to every value within `json`, itself not.
void Collect(const Json& json, const Json::json_pointer& at, std::vector<Json::json_pointer>* out) {
  const auto add = [&](const Json::json_pointer& place, const Json& value) {
    out->push_back(place);
    Collect(value, place, out);
  };
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) add(at / key, value);
  } else if (json.is_array()) {
    for (size_t i = 0; i < json.size(); ++i) add(at / i, json[i]);
  }
}

TEST(StageFilesTest, ComeBackToTheByte) {
  const auto dir = MakeTemporaryDirectory();
  NS_ASSERT_OK(SomePrepared().Write(dir.path()));
  NS_ASSERT_OK(SomePlan().Write(dir.path()));
  NS_ASSERT_OK(SomeRound().Write(dir.path(), 1));
  NS_ASSERT_OK(SomeIndex().Write(dir.path(), 0));
  const auto again = MakeTemporaryDirectory();
  NS_ASSERT_OK(Prepared::Read(dir.path())->Write(again.path()));
  NS_ASSERT_OK(Plan::Read(dir.path(), SomePrepared())->Write(again.path()));
  NS_ASSERT_OK(SearchRound::Read(dir.path(), 1, SomePrepared())->Write(again.path(), 1));
  NS_ASSERT_OK(ShardIndex::Read(dir.path(), 0, SomePrepared())->Write(again.path(), 0));
  for (const std::string& file : {std::string(Prepared::kFile), std::string(Plan::kFile), SearchRound::File(1), ShardIndex::File(0)}) {
    EXPECT_EQ(ReadTestFile(again.path() + "/" + file), ReadTestFile(dir.path() + "/" + file)) << file;
  }
  const auto round = SearchRound::Read(dir.path(), 1, SomePrepared());
  EXPECT_EQ(round->state.birds, SomeRound().state.birds) << "infinity is written as null";
}

// As the first engines wrote them: what is kept by content is found by these bytes.
TEST(StageFilesTest, KeysAreSortedAndNumbersAsTheyWere) {
  const auto dir = MakeTemporaryDirectory();
  Curves curves;
  curves.tensors = {{2, 0, {{{Format::kF32, 0}, 256, 0, /*exact=*/true}, {{Format::kF16, 0}, 128, 0}, {{Format::kF32, 0.5}, 64, 1e-9}}}};
  NS_ASSERT_OK(curves.Write(dir.path(), 1));
  EXPECT_EQ(ReadTestFile(dir.path() + "/curves-1.json"), R"({
 "tensors": [
  {
   "curve": [
    {
     "bytes": 256,
     "distortion": 0,
     "format": "F32"
    },
    {
     "bytes": 128,
     "distortion": 0.0,
     "format": "F16"
    },
    {
     "bytes": 64,
     "distortion": 1e-09,
     "step": 0.5
    }
   ],
   "non_finite": 0,
   "tensor": 2
  }
 ]
})");
  NS_ASSERT_OK(SomeIndex().Write(dir.path(), 0));
  EXPECT_EQ(ReadTestFile(dir.path() + "/shard-0.json"), R"({
 "bytes": 2052,
 "tensors": [
  {
   "bytes": 1152,
   "energy": 2.0,
   "error": 0.5,
   "tensor": 0
  },
  {
   "bytes": 900,
   "crc32": 7,
   "distortion": 0.125,
   "energy": 2.0,
   "error": 0.25,
   "step": 0.5,
   "tensor": 1
  }
 ]
})");
}

TEST(StageFilesTest, AMissingKeyIsAnErrorThatNamesFileAndKey) {
  const auto dir = MakeTemporaryDirectory();
  size_t removed = 0;
  for (const File& file : Files()) {
    NS_ASSERT_OK(file.write(dir.path()));
    NS_ASSERT_OK(file.read(dir.path()));
    const std::string path = dir.path() + "/" + file.name;
    const Json whole = *ParseJson(ReadTestFile(path), file.name);
    std::vector<Json::json_pointer> places;
    Collect(whole, Json::json_pointer(), &places);
    for (const Json::json_pointer& place : places) {
      Json damaged = whole;
      Json& parent = damaged[place.parent_pointer()];
      if (!parent.is_object()) continue;
      parent.erase(place.back());
      WriteTestFile(path, damaged.dump());
      const absl::Status status = file.read(dir.path());
      if (MayBeAbsent(place)) continue;
      ++removed;
      EXPECT_EQ(ReasonOf(status), "STAGE_FILE_INVALID") << file.name << " without " << place.to_string();
      EXPECT_THAT(std::string(status.message()), HasSubstr(file.name));
      EXPECT_THAT(std::string(status.message()), HasSubstr(place.back())) << place.to_string();
    }
  }
  EXPECT_GT(removed, 100u);
}

TEST(StageFilesTest, AValueOfAnotherTypeIsAnErrorThatNamesTheFile) {
  const auto dir = MakeTemporaryDirectory();
  size_t spoiled = 0;
  for (const File& file : Files()) {
    NS_ASSERT_OK(file.write(dir.path()));
    const std::string path = dir.path() + "/" + file.name;
    const Json whole = *ParseJson(ReadTestFile(path), file.name);
    std::vector<Json::json_pointer> places;
    Collect(whole, Json::json_pointer(), &places);
    for (const Json::json_pointer& place : places) {
      if (place.back() == "weight") continue;  // not read
      for (const Json& wrong : {Json("neither"), Json(true), Json(-1), Json(), Json::array({Json::object()}), Json::object()}) {
        Json damaged = whole;
        damaged[place] = wrong;
        if (damaged[place].type() == whole[place].type() || (wrong.is_number() && whole[place].is_number_float())) continue;
        if (wrong.is_null() && ParentKey(place) == "own_value") continue;  // infinity
        WriteTestFile(path, damaged.dump());
        const absl::Status status = file.read(dir.path());
        ++spoiled;
        if (status.ok()) {
          EXPECT_TRUE(wrong.is_number()) << file.name << " is read with " << place.to_string() << " " << wrong;  // a count with a sign
          continue;
        }
        EXPECT_EQ(ReasonOf(status), "STAGE_FILE_INVALID") << file.name << " " << place.to_string() << " " << wrong;
        EXPECT_THAT(std::string(status.message()), HasSubstr(file.name));
      }
    }
    for (const char* text : {"[]", "3", "null", "\"text\""}) {
      WriteTestFile(path, text);
      EXPECT_EQ(ReasonOf(file.read(dir.path())), "STAGE_FILE_INVALID") << file.name << " " << text;
    }
    WriteTestFile(path, "{");
    EXPECT_EQ(ReasonOf(file.read(dir.path())), "JSON_SYNTAX") << file.name;
  }
  EXPECT_GT(spoiled, 500u);
}

TEST(StageFilesTest, AreOfTheModelThatWasPrepared) {
  const auto dir = MakeTemporaryDirectory();
  const auto error = [&](const absl::Status& status) { return ReasonOf(status) + " " + std::string(status.message()); };
  Plan plan = SomePlan();
  plan.tensors.pop_back();
  NS_ASSERT_OK(plan.Write(dir.path()));
  EXPECT_THAT(error(Plan::Read(dir.path(), SomePrepared()).status()), HasSubstr("STAGE_FILE_INVALID plan.json: 'tensors'"));
  Curves curves = SomeCurves();
  std::swap(curves.tensors[0], curves.tensors[1]);
  NS_ASSERT_OK(curves.Write(dir.path(), 0));
  EXPECT_THAT(error(Curves::Read(dir.path(), 0, SomePrepared()).status()), HasSubstr("'tensors[0].tensor' is not 0"));
  EXPECT_EQ(ReasonOf(Curves::Read(dir.path(), 2, SomePrepared()).status()), "FILE_NOT_FOUND");
  ShardIndex index = SomeIndex();
  index.tensors.pop_back();
  NS_ASSERT_OK(index.Write(dir.path(), 0));
  EXPECT_THAT(error(ShardIndex::Read(dir.path(), 0, SomePrepared()).status()), HasSubstr("STAGE_FILE_INVALID shard-0.json: 'tensors'"));
  for (const std::vector<std::pair<uint64_t, uint64_t>>& shards :
       std::vector<std::vector<std::pair<uint64_t, uint64_t>>>{{}, {{0, 2}}, {{0, 4}}, {{1, 3}}, {{0, 2}, {1, 3}}, {{0, 0}, {0, 3}}}) {
    Prepared prepared = SomePrepared();
    prepared.shards = shards;
    NS_ASSERT_OK(prepared.Write(dir.path()));
    EXPECT_THAT(error(Prepared::Read(dir.path()).status()), HasSubstr("STAGE_FILE_INVALID prepared.json: 'shards'"));
  }
}

TEST(StageFilesTest, AnotherVersionIsRefused) {
  const auto dir = MakeTemporaryDirectory();
  const std::string path = dir.path() + "/plan.json";
  NS_ASSERT_OK(SomePlan().Write(dir.path()));
  Json json = *ParseJson(ReadTestFile(path), "plan.json");
  EXPECT_FALSE(json.contains("version"));
  json["version"] = 2;
  WriteTestFile(path, json.dump());
  EXPECT_EQ(ReasonOf(Plan::Read(dir.path(), SomePrepared()).status()), "STAGE_FILE_VERSION");
  NS_ASSERT_OK(WriteJsonObject(path, 2, Json::object()));
  NS_ASSERT_OK(ReadJsonObject(path, 2).status());
}

TEST(StageFilesTest, ThePlanToEncodeIsThatOfTheLastRound) {
  const auto dir = MakeTemporaryDirectory();
  NS_ASSERT_OK(SomePlan().Write(dir.path()));
  EXPECT_EQ(ReadPlanToEncode(dir.path(), SomePrepared())->summary, "a summary");
  for (const int r : {0, 1}) {
    SearchRound round = SomeRound();
    round.plan.summary = "round " + std::to_string(r);
    NS_ASSERT_OK(round.Write(dir.path(), r));
    EXPECT_EQ(ReadPlanToEncode(dir.path(), SomePrepared())->summary, round.plan.summary);
  }
}

TEST(StageFilesTest, AShardIsOneOfTheModels) {
  const Prepared prepared = SomePrepared();
  EXPECT_EQ(prepared.Shard(1)->first, 2u);
  EXPECT_EQ(prepared.WeightsOf(*prepared.Shard(0)), 2u * 32 * 64);
  EXPECT_EQ(ReasonOf(prepared.Shard(2).status()), "SHARD_UNKNOWN");
  EXPECT_EQ(ReasonOf(prepared.Shard(-1).status()), "SHARD_UNKNOWN");
}

TEST(HistoryTest, WhatIsNoTaskCostsNothing) {
  const Json history = *ParseJson(R"([{"stage": "measure", "result": {"seconds": 1.5, "peak_bytes": 7}},
    {"stage": "measure", "result": {"seconds": 2, "peak_bytes": 5}}, {"stage": "solve", "result": 3}, 4, {"stage": "solve", "result": {"peak_bytes": -1}}])", "x");
  const std::vector<report::StageCost> costs = CostsIn(history);
  ASSERT_EQ(costs.size(), 4u);
  EXPECT_EQ(costs[0].tasks, 2);
  EXPECT_EQ(costs[0].seconds, 3.5);
  EXPECT_EQ(costs[0].peak_bytes, 7u);
  EXPECT_EQ(costs[3].peak_bytes, 0u);
}

TEST(ManifestTest, KeysStandAsTheyAlwaysDid) {
  const auto dir = MakeTemporaryDirectory();
  Manifest manifest;
  manifest.plan = SomePlan();
  manifest.result.quality = JobQuality{};
  manifest.tensors.resize(1);
  manifest.tensors[0].stored_as = "another";
  NS_ASSERT_OK(manifest.Write(dir.path()));
  const OrderedJson json = OrderedJson::parse(ReadTestFile(dir.path() + "/manifest.json"));
  const auto keys = [](const OrderedJson& object) {
    std::vector<std::string> out;
    for (const auto& [key, value] : object.items()) out.push_back(key);
    return out;
  };
  EXPECT_THAT(keys(json), ElementsAre("schema", "engine", "source", "artifact", "result", "plan", "tensors"));
  EXPECT_THAT(keys(json["source"]), ElementsAre("name", "digest", "weight_bytes", "architecture", "parameters"));
  EXPECT_THAT(keys(json["artifact"]), ElementsAre("file", "bytes", "sha256"));
  for (const OrderedJson& sorted : {json["result"], json["result"]["quality"], json["plan"], json["tensors"][0]}) {
    EXPECT_EQ(keys(sorted), keys(OrderedJson(Json(sorted))));
  }
  EXPECT_THAT(keys(json["plan"]), ElementsAre("duality_gap", "expert_order", "file_bytes", "loss", "lower_bound", "path", "price",
                                              "proved_best", "summary", "target_bytes"));
}

}  // namespace
}  // namespace nashswarm::pipeline
