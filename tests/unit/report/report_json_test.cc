#include "core/report/report_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/base/status.h"
#include "tests/unit/report/sample_report.h"

namespace nashswarm::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> KeysOf(const OrderedJson& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

// As a reader of the file gets it.
absl::StatusOr<Report> Reread(const Report& report) {
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(ToJson(report).dump(1), "report.json"));
  return FromJson(json);
}

TEST(ReportJsonTest, KeysAreTheMembersInTheirOrder) {
  const OrderedJson json = ToJson(FullReport());
  EXPECT_THAT(KeysOf(json),
              ElementsAre("schema", "engine", "made", "cpu", "command", "model_name", "architecture", "source_digest", "parameters", "target",
                          "plan_summary", "plan_in_words", "artifact", "memory", "headline", "loss_is_kl", "chosen_bytes", "chosen_predicted_loss", "frontier", "trials", "search", "price_path",
                          "tensors", "texts", "costs", "warnings"));
  EXPECT_EQ(json["schema"], "nashswarm.report/1");
  EXPECT_THAT(KeysOf(json["headline"][0]),
              ElementsAre("name", "is_artifact", "bytes", "bits_per_weight", "ratio_fp32", "ratio_source", "quality"));
  EXPECT_THAT(KeysOf(json["headline"][3]), ElementsAre("name", "note", "is_artifact", "bytes", "bits_per_weight", "ratio_fp32", "ratio_source"));
  EXPECT_THAT(KeysOf(json["headline"][0]["quality"]), ElementsAre("perplexity", "perplexity_change", "mean_kl", "mean_kl_stderr",
                                                                  "p99_kl", "same_top1", "tokens"));  // the checkpoint has no error of a change
  EXPECT_THAT(KeysOf(json["headline"][4]["quality"]), ElementsAre("perplexity", "perplexity_change", "perplexity_change_stderr", "mean_kl",
                                                                  "mean_kl_stderr", "p99_kl", "same_top1", "tokens"));
  EXPECT_THAT(KeysOf(json["artifact"]), ElementsAre("name", "bytes", "sha256"));
  EXPECT_THAT(KeysOf(json["memory"]), ElementsAre("weight_bytes", "cache_bytes", "context"));
  EXPECT_THAT(KeysOf(json["tensors"][0]), ElementsAre("name", "role", "layer", "weights", "format", "bits_per_weight",
                                                      "relative_error", "predicted_loss", "vector"));
  EXPECT_THAT(KeysOf(json["frontier"][0]), ElementsAre("bytes", "bits_per_weight", "predicted_loss"));
  EXPECT_THAT(KeysOf(json["trials"][0]), ElementsAre("bytes", "bits_per_weight", "predicted_loss", "mean_kl", "perplexity",
                                                     "perplexity_change", "passed"));
  EXPECT_THAT(KeysOf(json["search"]), ElementsAre("text", "tokens", "trace", "ablation"));
  EXPECT_THAT(KeysOf(json["search"]["trace"][0]), ElementsAre("round", "step", "plans", "tried_kl", "mean_kl", "kept"));
  EXPECT_THAT(KeysOf(json["search"]["trace"][3]), ElementsAre("round", "step", "plans", "mean_kl", "kept"));  // nothing was measured
  EXPECT_THAT(KeysOf(json["search"]["ablation"][0]), ElementsAre("name", "bytes", "bits_per_weight", "mean_kl"));
  EXPECT_THAT(KeysOf(json["price_path"][0]), ElementsAre("price", "bytes", "loss"));
  EXPECT_THAT(KeysOf(json["texts"][0]), ElementsAre("purpose", "source", "sha256", "bytes", "tokens", "context", "note"));
  EXPECT_THAT(KeysOf(json["costs"][0]), ElementsAre("stage", "tasks", "seconds", "peak_bytes"));
}

TEST(ReportJsonTest, ComesBackAsItWas) {
  for (const Report& report : {FullReport(), MinimalReport(), DeepReport(126), Report{}}) {
    const absl::StatusOr<Report> back = Reread(report);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(ToJson(*back), ToJson(report));
  }
  const Report back = *Reread(FullReport());
  EXPECT_EQ(back.parameters, 124439808u);
  EXPECT_EQ(back.headline[4].quality->mean_kl, 0.04731);
  EXPECT_FALSE(back.headline[3].quality.has_value());
  EXPECT_EQ(back.tensors[0].layer, -1);
  EXPECT_TRUE(back.tensors[2].vector);
  EXPECT_EQ(back.trials[0].passed, false);
  EXPECT_EQ(back.warnings, FullReport().warnings);
}

TEST(ReportJsonTest, EveryKeyHoldsItsOwnMember) {
  Report r;
  r.engine = "e", r.model_name = "m", r.architecture = "a", r.source_digest = "d", r.parameters = 1, r.target = "t", r.plan_summary = "p";
  r.made = "md", r.cpu = "cu", r.command = "cm", r.plan_in_words = "pw";
  r.artifact = ArtifactFile{"an", 46, "as"}, r.memory = Memory{47, 48, 49};
  r.headline = {{"n", "no", true, 2, 3.5, 4.5, 5.5, 50.5, Quality{6.5, 7.5, 51.5, 8.5, 9.5, 10.5, 11.5, 12}}};
  r.loss_is_kl = true, r.chosen_bytes = 13, r.chosen_predicted_loss = 14.5;
  r.frontier = {{15, 16.5, 17.5}};
  r.trials = {{18, 19.5, 20.5, 21.5, 22.5, 23.5, true}};
  r.search = SearchReport{"st", 38, {{39, "ss", 40, 41.5, 42.5, true}}, {{"sn", 43, 44.5, 45.5}}};
  r.price_path = {{24.5, 25, 26.5}};
  r.tensors = {{"tn", "tr", 27, 28, "tf", 29.5, 30.5, 31.5, true}};
  r.texts = {{"xp", "xs", "xh", 32, 33, 34, "xn"}};
  r.costs = {{"cs", 35, 36.5, 37}};
  r.warnings = {"w"};
  EXPECT_EQ(Json(ToJson(r)), Json::parse(R"({
    "schema": "nashswarm.report/1", "engine": "e", "made": "md", "cpu": "cu", "command": "cm", "model_name": "m", "architecture": "a", "source_digest": "d", "parameters": 1,
    "target": "t", "plan_summary": "p", "plan_in_words": "pw", "artifact": {"name": "an", "bytes": 46, "sha256": "as"},
    "memory": {"weight_bytes": 47, "cache_bytes": 48, "context": 49},
    "headline": [{"name": "n", "note": "no", "is_artifact": true, "bytes": 2, "bits_per_weight": 3.5, "ratio_fp32": 4.5, "ratio_source": 5.5,
                  "predicted_loss": 50.5,
                  "quality": {"perplexity": 6.5, "perplexity_change": 7.5, "perplexity_change_stderr": 51.5, "mean_kl": 8.5, "mean_kl_stderr": 9.5, "p99_kl": 10.5,
                              "same_top1": 11.5, "tokens": 12}}],
    "loss_is_kl": true, "chosen_bytes": 13, "chosen_predicted_loss": 14.5,
    "frontier": [{"bytes": 15, "bits_per_weight": 16.5, "predicted_loss": 17.5}],
    "trials": [{"bytes": 18, "bits_per_weight": 19.5, "predicted_loss": 20.5, "mean_kl": 21.5, "perplexity": 22.5,
                "perplexity_change": 23.5, "passed": true}],
    "search": {"text": "st", "tokens": 38,
               "trace": [{"round": 39, "step": "ss", "plans": 40, "tried_kl": 41.5, "mean_kl": 42.5, "kept": true}],
               "ablation": [{"name": "sn", "bytes": 43, "bits_per_weight": 44.5, "mean_kl": 45.5}]},
    "price_path": [{"price": 24.5, "bytes": 25, "loss": 26.5}],
    "tensors": [{"name": "tn", "role": "tr", "layer": 27, "weights": 28, "format": "tf", "bits_per_weight": 29.5,
                 "relative_error": 30.5, "predicted_loss": 31.5, "vector": true}],
    "texts": [{"purpose": "xp", "source": "xs", "sha256": "xh", "bytes": 32, "tokens": 33, "context": 34, "note": "xn"}],
    "costs": [{"stage": "cs", "tasks": 35, "seconds": 36.5, "peak_bytes": 37}],
    "warnings": ["w"]})"));
}

TEST(ReportJsonTest, WhatIsUnknownIsAbsent) {
  Report report = MinimalReport();
  report.texts = {{"calibration", "an importance matrix", "", 0, 0, 0, ""}};
  report.costs = {{"solve", 1, 0.5, 0}};
  const OrderedJson json = ToJson(report);
  EXPECT_FALSE(json["headline"][0].contains("quality"));
  EXPECT_FALSE(json.contains("chosen_bytes"));
  EXPECT_FALSE(json.contains("search"));
  EXPECT_FALSE(json.contains("chosen_predicted_loss"));
  EXPECT_FALSE(json["texts"][0].contains("tokens"));
  EXPECT_FALSE(json["texts"][0].contains("context"));
  EXPECT_FALSE(json["costs"][0].contains("peak_bytes"));
}

TEST(ReportJsonTest, NumbersThatAreNoneAreAbsent) {
  Report report = FullReport();
  report.headline[4].quality->perplexity = std::numeric_limits<double>::infinity();
  report.tensors[0].relative_error = std::numeric_limits<double>::quiet_NaN();
  const OrderedJson json = ToJson(report);
  EXPECT_FALSE(json["headline"][4]["quality"].contains("perplexity"));
  EXPECT_TRUE(json["headline"][4]["quality"].contains("mean_kl"));
  EXPECT_FALSE(json["tensors"][0].contains("relative_error"));
  EXPECT_THAT(json.dump(), testing::Not(HasSubstr("null")));
}

TEST(ReportJsonTest, BytesThatAreNoTextDoNotThrow) {
  Report report = MinimalReport();
  report.warnings = {"bad \xFF name"};
  EXPECT_THAT(ToJson(report).dump(), HasSubstr("bad \xEF\xBF\xBD name"));
}

TEST(ReportJsonTest, RefusesWhatIsNoReport) {
  const auto reason = [](std::string_view text) {
    const absl::StatusOr<Report> report = FromJson(*ParseJson(text, "report.json"));
    return report.ok() ? "ok" : ReasonOf(report.status());
  };
  EXPECT_EQ(reason(R"([])"), "REPORT_SCHEMA");
  EXPECT_EQ(reason(R"({})"), "REPORT_SCHEMA");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/2"})"), "REPORT_SCHEMA");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1"})"), "ok");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "later": [1]})"), "ok");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "parameters": -1})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "parameters": "many"})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "headline": {}})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "headline": [1]})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "warnings": [1]})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "tensors": [{"layer": 4294967296}]})"), "REPORT_FIELD");
  EXPECT_EQ(reason(R"({"schema": "nashswarm.report/1", "tensors": [{"layer": 0.5}]})"), "REPORT_FIELD");
  const auto error = FromJson(*ParseJson(R"({"schema": "nashswarm.report/1", "headline": [{}, {"quality": {"tokens": -1}}]})", "x"));
  EXPECT_THAT(std::string(error.status().message()), HasSubstr("headline[1].quality.tokens"));
}

}  // namespace
}  // namespace nashswarm::report
