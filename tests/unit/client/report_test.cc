// nashswarm report: where it finds a report, and what it shows of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/errors.h"
#include "client/cli/report_text.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json Tensor(const std::string& name, double error, double loss, bool vector = false) {
  return {{"name", name}, {"role", "ffn_down"}, {"layer", 0}, {"weights", 1000}, {"format", "Q4_K"},
          {"bits_per_weight", 4.5}, {"relative_error", error}, {"predicted_loss", loss}, {"vector", vector}};
}

json SomeReport() {
  const json quality = {{"perplexity", 12.5},  {"perplexity_change", 0.0204}, {"mean_kl", 0.0203}, {"mean_kl_stderr", 0.0011},
                        {"p99_kl", 0.31}, {"same_top1", 0.952},     {"tokens", 4096}};
  return {{"schema", "nashswarm.report/1"},
          {"engine", "nashswarm 0.1.0"},
          {"model_name", "models/tiny"},
          {"architecture", "gpt2"},
          {"parameters", 5840000},
          {"target", "3.5 bits a weight"},
          {"plan_summary", "3.4987 of 3.5 bits a weight, duality gap 0.1 %"},
          {"headline",
           {{{"name", "checkpoint"}, {"is_artifact", false}, {"bytes", 23400000}, {"bits_per_weight", 32.05},
             {"ratio_fp32", 0.0}, {"ratio_source", 0.0}},
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
    directory_.Write("nsq/model.safetensors", "packed");
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
                            "nsq/model.safetensors"}) {
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
  EXPECT_THAT(text, HasSubstr("* nashswarm   2.55 MB       3.4987         89.1 %           78.2 %\n"));
  EXPECT_THAT(text, HasSubstr("  checkpoint  23.4 MB      32.0500          0.0 %            0.0 %\n"));
  EXPECT_THAT(text, HasSubstr("* nashswarm        12.50  +2.04 %  0.0203 ± 0.0011   0.310      95.2 %\n"));
  EXPECT_THAT(text, HasSubstr("evaluation  a text    4096      512  aaaaaaaaaaaa\ncut at 4096 tokens\n"));
  EXPECT_THAT(text, HasSubstr("encode     12  3.2 s       120 MB\n"));
  EXPECT_THAT(text, HasSubstr("warning: a fallback was used\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
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
