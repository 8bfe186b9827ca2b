// Texts and importance matrices on the command line: pushed as data, named in the job, and what came of them.
#include "client/cli/data_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/errors.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json Parsed(const std::string& text) { return json::parse(text, nullptr, false); }

class DataFilesTest : public testing::Test {
 protected:
  DataFilesTest() {
    directory_.Write("model/config.json", "{}");
    directory_.Write("model/model.safetensors", SomeBytes(3000));
    directory_.Write("train.txt", "a text to calibrate with");
    directory_.Write("test.txt", "a text to measure on");
    directory_.Write("empty.txt", "");
    server_.AddArtifact("a", {{"model.gguf", "GGUF"}, {"report.html", "<p>"}, {"report.json", "{}"}});
    job_.set_name("jobs/j");
    job_.set_model("models/m");
    job_.set_state(v1::Job::SUCCEEDED);
    job_.mutable_result()->set_artifact("artifacts/a");
    auto* quality = job_.mutable_result()->mutable_quality();
    quality->set_perplexity(12.5);
    quality->set_source_perplexity(12.25);
    quality->set_mean_kl(0.0203);
    quality->set_mean_kl_stderr(0.0011);
    quality->set_p99_kl(0.31);
    quality->set_same_top1(0.952);
    quality->set_tokens(4096);
    v1::JobEvent event;
    event.set_sequence(1);
    *event.mutable_snapshot() = job_;
    server_.state.watches = {{event}};
    server_.state.jobs["jobs/j"] = job_;
  }
  RunResult Run(std::vector<std::string> arguments) {
    return RunCli(arguments, {{"NASHSWARM_SERVER", server_.address}});
  }
  RunResult Compress(std::vector<std::string> more) {
    std::vector<std::string> all = {"compress", directory_ / "model", "-o", directory_ / "out"};
    all.insert(all.end(), more.begin(), more.end());
    return Run(all);
  }
  const v1::CompressionSpec& asked() const { return server_.state.created.spec(); }

  FakeServer server_;
  TemporaryDirectory directory_;
  v1::Job job_;
};

TEST_F(DataFilesTest, CompressPushesTheFilesAndNamesThem) {
  const RunResult r = Compress({"--max-ppl-increase", "2%", "--calibrate", directory_ / "train.txt", "--evaluate",
                                directory_ / "test.txt", "--calibration-tokens", "900", "--evaluation-context", "64"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(asked().calibration().text(), "models/d-train.txt");
  EXPECT_EQ(asked().calibration().tokens(), 900);
  EXPECT_EQ(asked().evaluation().text(), "models/d-test.txt");
  EXPECT_EQ(asked().evaluation().context(), 64);
  EXPECT_DOUBLE_EQ(asked().max_ppl_increase(), 0.02);
  EXPECT_EQ(server_.state.created.model(), "models/m");
  EXPECT_EQ(server_.state.bytes["train.txt"], "a text to calibrate with");
  EXPECT_EQ(server_.state.models["models/d-train.txt"].kind(), v1::Model::DATA);
}

TEST_F(DataFilesTest, SelfAndImatrix) {
  ASSERT_EQ(Run({"submit", "m", "--max-kl", "0.1", "--calibrate", "self"}).exit_code, 0);
  EXPECT_TRUE(asked().calibration().self());
  EXPECT_TRUE(server_.state.uploads.empty());
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--imatrix", directory_ / "train.txt"}).exit_code, 0);
  EXPECT_EQ(asked().calibration().imatrix(), "models/d-train.txt");
}

TEST_F(DataFilesTest, SearchFlagsOfCompressAndSubmit) {
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self", "--context-rounds", "2", "--swarm", "100",
                 "--swarm-seconds", "1.5"})
                .exit_code,
            0);
  EXPECT_EQ(asked().search().context_rounds(), 2);
  EXPECT_EQ(asked().search().swarm_evaluations(), 100);
  EXPECT_DOUBLE_EQ(asked().search().swarm_seconds(), 1.5);
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self"}).exit_code, 0);
  EXPECT_FALSE(asked().has_search());
  const RunResult no_text = Compress({"--bpw", "4", "--swarm", "10", "--force"});
  EXPECT_EQ(no_text.exit_code, kExitUsage);
  EXPECT_THAT(no_text.err, HasSubstr("hint:  add --calibrate FILE or --calibrate self"));
  EXPECT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self", "--swarm", "many"}).exit_code, kExitUsage);
  const std::string help = RunCli({"compress", "--help"}).out;
  for (const char* text : {"\nSearch:\n", "--context-rounds N", "--swarm N", "--swarm-seconds S"}) {
    EXPECT_THAT(help, HasSubstr(text));
  }
}

TEST_F(DataFilesTest, ExpertOrderNeedsATextAndIsAsInTheCheckpointUnlessAsked) {
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self", "--expert-order", "together"}).exit_code, 0);
  EXPECT_EQ(asked().expert_order(), v1::CompressionSpec::TOGETHER);
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--expert-order", "original"}).exit_code, 0);
  EXPECT_NE(asked().expert_order(), v1::CompressionSpec::TOGETHER);
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self"}).exit_code, 0);
  EXPECT_NE(asked().expert_order(), v1::CompressionSpec::TOGETHER);
  EXPECT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "self", "--expert-order", "random"}).exit_code, kExitUsage);
  for (const std::vector<std::string>& none : {std::vector<std::string>{}, {"--imatrix", directory_ / "train.txt"}}) {
    std::vector<std::string> arguments = {"submit", "m", "--bpw", "4", "--expert-order", "together"};
    arguments.insert(arguments.end(), none.begin(), none.end());
    const RunResult r = Run(arguments);
    EXPECT_EQ(r.exit_code, kExitUsage);
    EXPECT_THAT(r.err, HasSubstr("hint:  add --calibrate FILE or --calibrate self"));
  }
  EXPECT_THAT(RunCli({"compress", "--help"}).out, HasSubstr("--expert-order ORDER"));
}

TEST_F(DataFilesTest, SubmitTakesWhatWasPushedBefore) {
  ASSERT_EQ(Run({"submit", "m", "--bpw", "4", "--calibrate", "models/wiki", "--evaluate", directory_ / "test.txt"}).exit_code,
            0);
  EXPECT_EQ(asked().calibration().text(), "models/wiki");
  EXPECT_EQ(asked().evaluation().text(), "models/d-test.txt");
  EXPECT_EQ(server_.state.uploads.size(), 1u);
  const RunResult r = Compress({"--bpw", "4", "--calibrate", "models/wiki"});
  EXPECT_EQ(r.exit_code, kExitNotFound) << "a private server has none";
}

TEST_F(DataFilesTest, WhatCannotBePushedIsSaidBeforeAnyWork) {
  const RunResult missing = Compress({"--bpw", "4", "--calibrate", directory_ / "none.txt"});
  EXPECT_EQ(missing.exit_code, kExitNotFound);
  EXPECT_THAT(missing.err, HasSubstr("--calibrate: " + (directory_ / "none.txt") + " does not exist"));
  const RunResult empty = Compress({"--bpw", "4", "--evaluate", directory_ / "empty.txt"});
  EXPECT_EQ(empty.exit_code, kExitFailed);
  EXPECT_THAT(empty.err, HasSubstr("--evaluate: " + (directory_ / "empty.txt") + " is empty"));
  EXPECT_EQ(Compress({"--bpw", "4", "--imatrix", directory_ / "model"}).exit_code, kExitUsage);
  const RunResult both =
      Compress({"--bpw", "4", "--imatrix", directory_ / "test.txt", "--calibrate", directory_ / "train.txt"});
  EXPECT_EQ(both.exit_code, kExitUsage);
  EXPECT_THAT(both.err, HasSubstr("--imatrix"));
  const RunResult no_text = Compress({"--max-kl", "0.1"});
  EXPECT_EQ(no_text.exit_code, kExitUsage);
  EXPECT_THAT(no_text.err, HasSubstr("--evaluate FILE"));
  EXPECT_TRUE(server_.state.uploads.empty());
}

TEST_F(DataFilesTest, PushDataAloneAndTwice) {
  const RunResult r = Run({"push", "--data", directory_ / "train.txt", "--model-id", "wiki"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, "models/wiki\n");
  EXPECT_THAT(r.err, HasSubstr("--calibrate models/wiki"));
  const json again = Parsed(Run({"push", "--data", directory_ / "train.txt", "--model-id", "wiki", "--json"}).out);
  EXPECT_EQ(again["bytes_sent"], 0);
  EXPECT_EQ(again["model"]["kind"], "data");
  EXPECT_EQ(Run({"push"}).exit_code, kExitUsage);
  EXPECT_EQ(Run({"push", directory_ / "model", "--data", directory_ / "train.txt"}).exit_code, kExitUsage);
  EXPECT_EQ(Run({"push", "--data", directory_ / "none.txt"}).exit_code, kExitNotFound);
}

TEST_F(DataFilesTest, PushOfDataGoesOnAfterALostConnection) {
  const std::string text = SomeBytes(5000);
  directory_.Write("long.txt", text);
  server_.state.drop_write_after = {2000};
  ASSERT_EQ(Run({"push", "--data", directory_ / "long.txt"}).exit_code, 0);
  EXPECT_EQ(server_.state.bytes["long.txt"], text);
  EXPECT_EQ(server_.state.bytes_received, 5000);
}

TEST_F(DataFilesTest, ModelsShowTheirKind) {
  server_.state.models["models/m"].set_name("models/m");
  server_.state.models["models/m"].set_architecture("gpt2");
  server_.state.models["models/m"].set_kind(v1::Model::CHECKPOINT);
  server_.state.models["models/wiki"].set_name("models/wiki");
  server_.state.models["models/wiki"].set_kind(v1::Model::DATA);
  server_.state.models["models/wiki"].set_total_bytes(1234);
  const RunResult list = Run({"models", "list"});
  EXPECT_THAT(list.out, HasSubstr("m            checkpoint  gpt2"));
  EXPECT_THAT(list.out, HasSubstr("models/wiki  data        -"));
  EXPECT_THAT(list.out, HasSubstr("1.23 kB"));
  EXPECT_THAT(Run({"models", "get", "wiki"}).out, HasSubstr("kind     data\n"));
  EXPECT_THAT(Run({"models", "get", "wiki"}).out, Not(HasSubstr("tensors")));
  EXPECT_EQ(Parsed(Run({"models", "get", "m", "--json"}).out)["kind"], "checkpoint");
}

TEST_F(DataFilesTest, QualityIsShownWhereItWasMeasured) {
  const RunResult r = Compress({"--bpw", "4", "--evaluate", directory_ / "test.txt"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  for (const std::string& text : {r.out, Run({"jobs", "get", "j"}).out}) {
    EXPECT_THAT(text, HasSubstr("12.50, the checkpoint's is 12.25 (+2.04 %)\n"));
    EXPECT_THAT(text, HasSubstr("mean 0.0203 ± 0.0011, p99 0.310 nats a token\n"));
    EXPECT_THAT(text, HasSubstr("95.2 % of 4.10 k tokens\n"));
  }
  const json quality = Parsed(Run({"jobs", "get", "j", "--json"}).out)["result"]["quality"];
  EXPECT_DOUBLE_EQ(quality["perplexity"], 12.5);
  EXPECT_DOUBLE_EQ(quality["mean_kl_stderr"], 0.0011);
  EXPECT_NEAR(quality["perplexity_change"], 0.020408, 1e-6);
  EXPECT_EQ(quality["tokens"], 4096);

  v1::JobEvent event;
  event.set_sequence(1);
  *event.mutable_snapshot() = job_;
  server_.state.watches = {{event}};
  EXPECT_EQ(Parsed(Compress({"--bpw", "4", "--json", "--force"}).out)["quality"], quality);
  job_.mutable_result()->clear_quality();
  *event.mutable_snapshot() = job_;
  server_.state.watches = {{event}};
  const json unmeasured = Parsed(Compress({"--bpw", "4", "--json", "--force"}).out);
  EXPECT_EQ(unmeasured["job"], "jobs/j");
  EXPECT_FALSE(unmeasured.contains("quality"));
}

TEST_F(DataFilesTest, SummaryNamesTheReport) {
  const RunResult r = Compress({"--bpw", "4"});
  EXPECT_THAT(r.out, HasSubstr("file             " + (directory_ / "out/report.html")));
  EXPECT_THAT(r.out, HasSubstr("report: open " + (directory_ / "out/report.html") + "\n"));
}

TEST_F(DataFilesTest, JobsShowWhatTheyWereAskedFor) {
  job_.mutable_spec()->set_max_ppl_increase(0.02);
  job_.mutable_spec()->mutable_calibration()->set_self(true);
  job_.mutable_spec()->mutable_evaluation()->set_text("models/wiki");
  server_.state.jobs["jobs/j"] = job_;
  EXPECT_THAT(Run({"jobs", "get", "j"}).out, HasSubstr("ppl +2.00 %"));
  const json spec = Parsed(Run({"jobs", "get", "j", "--json"}).out)["spec"];
  EXPECT_DOUBLE_EQ(spec["max_ppl_increase"], 0.02);
  EXPECT_EQ(spec["calibration"]["self"], true);
  EXPECT_EQ(spec["evaluation"]["text"], "models/wiki");
  EXPECT_FALSE(spec.contains("search"));
  job_.mutable_spec()->mutable_search()->set_context_rounds(2);
  server_.state.jobs["jobs/j"] = job_;
  EXPECT_EQ(Parsed(Run({"jobs", "get", "j", "--json"}).out)["spec"]["search"],
            json({{"context_rounds", 2}, {"swarm_evaluations", 0}, {"swarm_seconds", 0.0}}));
  job_.mutable_spec()->mutable_search()->set_off(true);
  server_.state.jobs["jobs/j"] = job_;
  EXPECT_EQ(Parsed(Run({"jobs", "get", "j", "--json"}).out)["spec"]["search"], json({{"off", true}}));
}

}  // namespace
}  // namespace nashswarm::cli
