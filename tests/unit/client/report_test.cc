// nashswarm report: where it finds a report, and what it shows of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/commandline/wrap.h"
#include "client/cli/errors.h"
#include "client/cli/report_text.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using commandline::WidestLine;
using nlohmann::json;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

json Tensor(const std::string& name, double error, double loss, bool vector = false) {
  return {{"name", name}, {"role", "ffn_down"}, {"layer", 0}, {"weights", 1000}, {"format", "Q4_K"},
          {"bits_per_weight", 4.5}, {"relative_error", error}, {"predicted_loss", loss}, {"vector", vector}};
}

json SomeReport() {
  const json quality = {{"perplexity", 12.5},  {"perplexity_change", 0.0204}, {"perplexity_change_stderr", 0.0031}, {"mean_kl", 0.0203}, {"mean_kl_stderr", 0.0011},
                        {"p99_kl", 0.31}, {"same_top1", 0.952},     {"tokens", 4096}};
  return {{"schema", "nashswarm.report/1"},
          {"engine", "nashswarm 0.1.0"},
          {"model_name", "models/tiny"},
          {"architecture", "gpt2"},
          {"parameters", 5840000},
          {"target", "3.5 bits a weight"},
          {"plan_summary", "3.4987 of 3.5 bits a weight, duality gap 0.1 %"},
          {"plan_in_words", "Kept the token embedding at 6.0 bits and attention's values at 5.1; brought the FFN's up-projections down to 2.4 bits."},
          {"artifact", {{"name", "model.gguf"}, {"bytes", 2554000}, {"sha256", std::string(64, 'b')}}},
          {"memory", {{"weight_bytes", 2554000}, {"cache_bytes", 786432}, {"context", 256}}},
          {"made", "2026-11-30T17:05:00Z"},
          {"cpu", "AMD EPYC"},
          {"command", "nashswarm compress CHECKPOINT -o OUT --bpw 3.5 --calibrate CALIBRATION.txt --evaluate EVALUATION.txt"},
          {"headline",
           {{{"name", "checkpoint"}, {"is_artifact", false}, {"bytes", 23400000}, {"bits_per_weight", 32.05},
             {"ratio_fp32", 0.0}, {"ratio_source", 0.0}},
            {{"name", "rounding in groups of 128, 4 bits"}, {"is_artifact", false}, {"bytes", 3140000}, {"bits_per_weight", 4.291},
             {"ratio_fp32", 0.866}, {"ratio_source", 0.732},
             {"quality", {{"perplexity", 2e9}, {"perplexity_change", 172340825.81}, {"mean_kl", 17.1}, {"mean_kl_stderr", 0.2}, {"same_top1", 1.0}}}},
            {{"name", "nashswarm"}, {"is_artifact", true}, {"bytes", 2554000}, {"bits_per_weight", 3.4987},
             {"ratio_fp32", 0.891}, {"ratio_source", 0.782}, {"quality", quality}}}},
          {"loss_is_kl", true},
          {"tensors",
           {Tensor("small", 0.9, 0.1), Tensor("norm", 0, 0, true), Tensor("great", 0.2, 5), Tensor("t3", 0.2, 1),
            Tensor("t4", 0.2, 1), Tensor("t5", 0.2, 1), Tensor("t6", 0.2, 1.9)}},
          {"texts", {{{"purpose", "evaluation"}, {"source", "a text"}, {"sha256", std::string(64, 'a')},
                      {"tokens", 4096}, {"context", 512}, {"note", "cut at 4096 tokens"}}}},
          {"costs", {{{"stage", "encode"}, {"tasks", 12}, {"seconds", 3.24}, {"peak_bytes", 120000000}}}},
          {"warnings", {"a fallback was used"}}};
}

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    text_ = SomeReport().dump();
    directory_.Write("out/report.json", text_);
    directory_.Write("out/model.gguf", "GGUF");
    directory_.Write("one.gguf", "GGUF");
    directory_.Write("one.report.json", text_);
    directory_.Write("old/model.gguf", "GGUF");
    directory_.Write("nsq/report.json", text_);
    directory_.Write("nsq/model.nsq", "packed");
    server_.AddArtifact("a", {{"model.gguf", "GGUF"}, {"report.json", text_}});
    server_.AddArtifact("old", {{"model.gguf", "GGUF"}});
    v1::Job& job = server_.state.jobs["jobs/j"];
    job.set_name("jobs/j");
    job.set_state(v1::Job::SUCCEEDED);
    job.mutable_result()->set_artifact("artifacts/a");
  }
  RunResult OnServer(std::vector<std::string> arguments) {
    return RunCli(arguments, {{"NASHSWARM_SERVER", server_.address}});
  }

  std::string text_;
  FakeServer server_;
  TemporaryDirectory directory_;
};

TEST_F(ReportTest, IsFoundWhereverItIs) {
  const std::string shown = RunCli({"report", directory_ / "out"}).out;
  EXPECT_THAT(shown, HasSubstr("3.5 bits a weight"));
  for (const char* local : {"out/", "out/report.json", "out/model.gguf", "one.gguf", "one.report.json", "nsq",
                            "nsq/model.nsq"}) {
    const RunResult r = RunCli({"report", directory_ / local});
    EXPECT_EQ(r.exit_code, 0) << local << r.err;
    EXPECT_EQ(r.out, shown) << local;
  }
  for (const char* name : {"jobs/j", "j", "artifacts/a", "a"}) {
    const RunResult r = OnServer({"report", name});
    EXPECT_EQ(r.exit_code, 0) << name << r.err;
    EXPECT_EQ(r.out, shown) << name;
  }
  EXPECT_EQ(OnServer({"report", directory_ / "out"}).out, shown) << "what is here needs no server";
}

TEST_F(ReportTest, JsonIsTheFile) {
  EXPECT_EQ(json::parse(RunCli({"report", directory_ / "out", "--json"}).out), SomeReport());
  EXPECT_EQ(json::parse(OnServer({"report", "j", "--json"}).out), SomeReport());
}

TEST_F(ReportTest, FetchingOutlivesLostConnectionsAndDamage) {
  server_.state.drop_read_after = {700};
  EXPECT_EQ(OnServer({"report", "a"}).exit_code, 0);
  server_.state.wrong_content = true;
  const RunResult damaged = OnServer({"report", "a"});
  EXPECT_EQ(damaged.exit_code, kExitCorrupt);
  EXPECT_THAT(damaged.err, HasSubstr("DIGEST_MISMATCH"));
}

TEST_F(ReportTest, WhatHasNoneSaysSo) {
  for (const RunResult& r : {OnServer({"report", "artifacts/old"}), RunCli({"report", directory_ / "old"}),
                             RunCli({"report", directory_ / "old/model.gguf"})}) {
    EXPECT_EQ(r.exit_code, kExitNotFound);
    EXPECT_THAT(r.err, HasSubstr("NO_REPORT"));
    EXPECT_THAT(r.err, HasSubstr("hint:"));
  }
  EXPECT_EQ(OnServer({"report", "none"}).exit_code, kExitNotFound);
  const RunResult no_server = RunCli({"report", "jobs/j"});
  EXPECT_EQ(no_server.exit_code, kExitNotFound);
  EXPECT_THAT(no_server.err, HasSubstr("--server"));
}

TEST_F(ReportTest, WhatIsNoReportIsRefused) {
  for (const char* text : {"", "not JSON", "[]", "{}", R"({"schema": 7})", R"({"schema": "something/1"})"}) {
    EXPECT_EQ(ReasonOf(ParseReport(text, "x").status()), "BAD_REPORT") << text;
  }
  const absl::Status newer = ParseReport(R"({"schema": "nashswarm.report/2"})", "x").status();
  EXPECT_EQ(ReasonOf(newer), "REPORT_SCHEMA");
}

TEST_F(ReportTest, ShowsTheNumbersOfTheFile) {
  const std::string text = RenderReport(SomeReport(), false);
  EXPECT_THAT(text, HasSubstr("model       models/tiny (gpt2)\n"));
  EXPECT_THAT(text, HasSubstr("3.4987 of 3.5 bits a weight, duality gap 0.1 %"));
  EXPECT_THAT(text, HasSubstr("* nashswarm            2.55 MB   3.50  0.0203 ±0.001   95.2 %  +2.04 % ±0.31\n"));
  EXPECT_THAT(text, HasSubstr("  checkpoint           23.4 MB  32.05              -        -              -\n"));
  EXPECT_THAT(text, HasSubstr("  4-bit groups of 128  3.14 MB   4.29      17.1 ±0.2  100.0 %     over x1000\n"));
  EXPECT_THAT(text, HasSubstr("to run it   2.55 MB of weights, 786 kB for a context of 256 tokens\n"));
  EXPECT_THAT(text, HasSubstr("made        2026-11-30T17:05:00Z on AMD EPYC\n"));
  EXPECT_THAT(text, HasSubstr("sha256      " + std::string(64, 'b') + "\n"));
  EXPECT_THAT(text, HasSubstr("again       nashswarm compress CHECKPOINT -o OUT --bpw 3.5 --calibrate\n            CALIBRATION.txt --evaluate"));
  EXPECT_THAT(text, HasSubstr("evaluation  a text    4096      512  aaaaaaaa\ncut at 4096 tokens\n"));
  EXPECT_THAT(text, HasSubstr("encode     12  3.2 s       120 MB\n"));
  EXPECT_THAT(text, HasSubstr("warning: a fallback was used\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

// Tables were up to 130 columns wide, and a terminal has 80.
TEST_F(ReportTest, KeepsToTheTerminal) {
  json report = SomeReport();
  report["tensors"].push_back(Tensor("model.layers.10.block_sparse_moe.experts.3.down_projection_with_a_long_name.weight", 0.001234, 9));
  report["headline"][2]["quality"]["mean_kl"] = 0.0000123;
  report["headline"][2]["quality"]["mean_kl_stderr"] = 0.0000011;
  report["warnings"] = {"FALLBACK: rows of 576 weights (100.0 % of the model) do not divide by 256, so no K-quant fits them; they take one of "
                        "IQ4_NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16, BF16, F32"};
  report["texts"][0]["source"] = "held-out part of the calibration text";
  report["texts"][0]["note"] = "one text was given: its first 11105 bytes calibrate, its last 2393 are held out to measure on";
  json bare = report;
  for (json& row : bare["headline"]) row.erase("quality"), row["predicted_loss"] = 123456.7;
  for (const json& shown : {SomeReport(), report, bare}) EXPECT_LE(WidestLine(RenderReport(shown, false)), 80u) << RenderReport(shown, false);
}

TEST_F(ReportTest, PredictedLossesAreRelativeToThisFile) {
  json report = SomeReport();
  for (json& row : report["headline"]) row.erase("quality");
  report["headline"][1]["predicted_loss"] = 90000.0, report["headline"][2]["predicted_loss"] = 60000.0;
  const std::string text = RenderReport(report, false);
  EXPECT_THAT(text, HasSubstr("86.6 %            1.50\n"));
  EXPECT_THAT(text, HasSubstr("89.1 %            1.00\n"));
  EXPECT_THAT(text, HasSubstr("weighted error, this file's is 1"));
}

// Of a lossless artifact: every loss was divided by its own, which is 0, and what was measured of it was left out.
TEST_F(ReportTest, LosslessArtifactsHaveNoInfiniteLosses) {
  json report = SomeReport();
  for (json& row : report["headline"]) row.erase("quality");
  report["headline"][1]["predicted_loss"] = 0.5, report["headline"][2]["predicted_loss"] = 0.0;
  std::string text = RenderReport(report, false);
  EXPECT_THAT(text.substr(0, text.find("Worst tensors")), Not(AnyOf(HasSubstr("inf"), HasSubstr("nan"), HasSubstr("PREDICTED"))));
  EXPECT_THAT(text, HasSubstr("89.1 %           78.2 %\n"));

  report = SomeReport();
  json& quality = report["headline"][2]["quality"];
  report["headline"][0]["quality"] = quality;
  for (json* lossless : {&quality, &report["headline"][0]["quality"]}) {
    for (const char* key : {"perplexity_change", "perplexity_change_stderr", "mean_kl", "mean_kl_stderr"}) (*lossless)[key] = 0.0;
    (*lossless)["same_top1"] = 1.0;
  }
  text = RenderReport(report, false);
  EXPECT_THAT(text, ContainsRegex("  checkpoint +23.4 MB +32.05 +- +100.0 % +-\n"));
  EXPECT_THAT(text, ContainsRegex("\\* nashswarm +2.55 MB +3.50 +0.00 +100.0 % +[+]0.00 %\n"));
  EXPECT_THAT(text, Not(HasSubstr("short evaluation text"))) << "an error of 0 is no tenth of 0";
}

// The name gave way before the standard errors did.
TEST_F(ReportTest, NamesOfRowsStayWhole) {
  json report = SomeReport();
  report["headline"][1]["name"] = "llama.cpp Q3_K_M of its own";
  report["headline"][2]["quality"]["mean_kl"] = 0.0000123;
  report["headline"][2]["quality"]["mean_kl_stderr"] = 0.0000011;
  const std::string text = RenderReport(report, false);
  EXPECT_THAT(text, HasSubstr("\n  llama.cpp Q3_K_M of its own "));
  EXPECT_LE(WidestLine(text), 80u) << text;
}

TEST_F(ReportTest, FewTokensAreFlagged) {
  json report = SomeReport();
  EXPECT_THAT(RenderReport(report, false), Not(HasSubstr("short evaluation text")));
  report["headline"][2]["quality"]["tokens"] = 381;
  EXPECT_THAT(RenderReport(report, false), HasSubstr("a short evaluation text (381 tokens scored)"));
}

TEST_F(ReportTest, WorstTensorsAreThoseThatCostMost) {
  json report = SomeReport();
  std::string text = RenderReport(report, false);
  text = text.substr(text.find("Worst tensors, 5 of 7"));
  text = text.substr(0, text.find("\n\n"));
  const auto at = [&](const char* name) { return text.find(std::string(name) + " "); };
  EXPECT_LT(at("great"), at("t6"));
  EXPECT_LT(at("t6"), at("t3"));
  EXPECT_LT(at("t3"), at("t4"));
  EXPECT_THAT(text, HasSubstr("50.0 %"));
  EXPECT_EQ(at("small"), std::string::npos);
  EXPECT_EQ(at("norm"), std::string::npos) << "it is no player";
  for (json& tensor : report["tensors"]) tensor.erase("predicted_loss");
  text = RenderReport(report, false);
  EXPECT_LT(text.find("small"), text.find("great")) << "by error where no loss is known";
}

TEST_F(ReportTest, MissingAndMistypedValuesAreShownAsMissing) {
  json report = {{"schema", "nashswarm.report/1"}};
  RenderReport(report, true);
  report["headline"] = {1, {{"name", 7}, {"bytes", "many"}, {"quality", 3}}, {{"name", "x"}, {"is_artifact", true}}};
  report["tensors"] = {1, "x", {{"relative_error", 0.5}}};
  report["texts"] = {json::object(), 1};
  report["costs"] = {nullptr};
  report["warnings"] = {1, "a\x1b[2Jb"};
  const std::string text = RenderReport(report, false);
  EXPECT_THAT(text, HasSubstr("* x"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  report["headline"] = {{{"name", "x"}}};
  EXPECT_THAT(RenderReport(report, false), HasSubstr("quality was not measured"));
}

}  // namespace
}  // namespace nashswarm::cli
