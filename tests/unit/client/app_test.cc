// The whole program but its main(), against a fake server: exit codes, what goes where, settings.
#include "client/cli/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/commandline/wrap.h"
#include "client/cli/errors.h"
#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

json Parsed(const std::string& text) { return json::parse(text, nullptr, false); }

v1::Job Succeeded() {
  v1::Job job;
  job.set_name("jobs/j");
  job.set_model("models/m");
  job.set_state(v1::Job::SUCCEEDED);
  auto* result = job.mutable_result();
  result->set_artifact("artifacts/a");
  result->set_output_bytes(5000);
  result->set_bits_per_weight(4.4987);
  result->set_ratio_fp32(0.8594);
  result->set_ratio_source(0.7188);
  result->set_relative_error(0.0042);
  result->set_parameter_count(8891);
  result->add_warnings("h.0.attn: row length 64 is no multiple of 256");
  return job;
}

class AppTest : public testing::Test {
 protected:
  AppTest() {
    directory_.Write("model/config.json", "{}");
    directory_.Write("model/model.safetensors", SomeBytes(3000));
    server_.state.jobs["jobs/j"] = Succeeded();
    server_.AddArtifact("a", {{"model.gguf", "GGUF"}, {"manifest.json", "{}"}});
    server_.state.artifacts["artifacts/a"].set_job("jobs/j");
  }
  void JobWillEnd(const v1::Job& job) {
    v1::JobEvent event;
    event.set_sequence(1);
    *event.mutable_snapshot() = job;
    server_.state.watches = {{event}};
  }
  // With the server as an environment variable.
  RunResult Run(std::vector<std::string> arguments) {
    return RunCli(arguments, {{"NASHSWARM_SERVER", server_.address}});
  }

  FakeServer server_;
  TemporaryDirectory directory_;
};

TEST_F(AppTest, CompressPrintsASummaryAndWritesTheFiles) {
  JobWillEnd(Succeeded());
  const RunResult r = Run({"compress", directory_ / "model", "-o", directory_ / "out", "--bpw", "4.5"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_THAT(r.out, HasSubstr("bits per weight  4.4987\n"));
  EXPECT_THAT(r.out, HasSubstr("saved            85.9 % of FP32, 71.9 % of the checkpoint\n"));
  EXPECT_THAT(r.out, HasSubstr("warning: h.0.attn: row length 64"));
  EXPECT_THAT(r.out, HasSubstr("llama-completion -m " + (directory_ / "out/model.gguf")));
  EXPECT_EQ(directory_.Read("out/model.gguf"), "GGUF");
  EXPECT_DOUBLE_EQ(server_.state.created.spec().bits_per_weight(), 4.5);
  EXPECT_THAT(r.err, HasSubstr("upload: "));
}

// Equal content is one model: the artifact was called what somebody else's directory was called.
TEST_F(AppTest, CompressCallsTheArtifactWhatItsOwnDirectoryIsCalled) {
  directory_.Write("copy/config.json", "{}");
  directory_.Write("copy/model.safetensors", SomeBytes(3000));
  const auto name_of = [this](const std::string& directory, const std::vector<std::string>& more) {
    JobWillEnd(Succeeded());
    std::vector<std::string> arguments = {"compress", directory_ / directory, "-o", directory_ / "out", "--bpw", "4.5", "--force"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult r = Run(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return server_.state.created.spec().model_name();
  };
  EXPECT_EQ(name_of("model", {}), "model");
  EXPECT_EQ(name_of("copy", {}), "copy");
  EXPECT_EQ(name_of("copy", {"--name", "org/name"}), "org/name");
}

TEST_F(AppTest, CompressJsonIsOneObject) {
  JobWillEnd(Succeeded());
  const RunResult r = Run({"compress", directory_ / "model", "-o", directory_ / "a.gguf", "--size", "5kB", "--json",
                           "--rule", ".*wte.*=Q8_0", "--rule", "lm_head=keep", "--seed", "7", "--quiet"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const json object = Parsed(r.out);
  EXPECT_EQ(object["job"], "jobs/j");
  EXPECT_EQ(object["artifact"], "artifacts/a");
  EXPECT_EQ(object["paths"][1], directory_ / "a.gguf");
  EXPECT_EQ(object["bytes"], 5000);
  EXPECT_DOUBLE_EQ(object["bits_per_weight"], 4.4987);
  EXPECT_DOUBLE_EQ(object["ratio_fp32"], 0.8594);
  EXPECT_DOUBLE_EQ(object["ratio_source"], 0.7188);
  EXPECT_DOUBLE_EQ(object["relative_error"], 0.0042);
  EXPECT_EQ(object["warnings"].size(), 1u);
  EXPECT_TRUE(object["seconds"].is_number());
  EXPECT_EQ(server_.state.created.spec().rules_size(), 2);
  EXPECT_EQ(server_.state.created.spec().seed(), 7u);
  EXPECT_EQ(r.err, "");
}

TEST_F(AppTest, NsqIsADirectoryAndSaysHowToUseIt) {
  server_.AddArtifact("a", {{"model.nsq", "packed"}, {"original/tokenizer.model", "t"}, {"report.json", "{}"}},
                      "nsq");
  JobWillEnd(Succeeded());
  const std::string out = directory_ / "out";
  const std::vector<std::string> compress = {"compress", directory_ / "model", "--bpw", "3", "--format", "nsq", "-o"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), compress.begin(), compress.end());
    return Run(more);
  };
  const RunResult one_file = with({directory_ / "out.gguf"});
  EXPECT_EQ(one_file.exit_code, kExitUsage);
  EXPECT_THAT(one_file.err, HasSubstr("hint:  give a directory: -o " + out));
  const RunResult in_place = with({directory_ / "model/", "--force"});
  EXPECT_EQ(in_place.exit_code, kExitUsage);
  EXPECT_THAT(in_place.err, HasSubstr("is the checkpoint itself"));
  EXPECT_TRUE(server_.state.uploads.empty()) << "refused before any work";

  const RunResult r = with({out});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(server_.state.created.spec().artifact_format(), "nsq");
  EXPECT_THAT(r.out, HasSubstr("use it: nashswarm unpack " + out +
                               " -o dense   (plain safetensors; --format gguf for llama.cpp)\n"));
  EXPECT_THAT(r.out, Not(HasSubstr("llama-completion")));
  EXPECT_EQ(directory_.Read("out/original/tokenizer.model"), "t");
  JobWillEnd(Succeeded());
  EXPECT_EQ(Parsed(with({out, "--json", "--force"}).out)["format"], "nsq");
  EXPECT_EQ(Run({"pull", "a", "-o", directory_ / "pulled.gguf"}).exit_code, kExitUsage);
}

TEST_F(AppTest, FormatIsGgufUnlessAskedFor) {
  ASSERT_EQ(Run({"submit", "tiny", "--bpw", "4"}).exit_code, 0);
  EXPECT_EQ(server_.state.created.spec().artifact_format(), "gguf");
  ASSERT_EQ(Run({"submit", "tiny", "--bpw", "4", "--format", "nsq"}).exit_code, 0);
  EXPECT_EQ(server_.state.created.spec().artifact_format(), "nsq");
}

TEST_F(AppTest, CompressRefusesBeforeAnyWork) {
  directory_.Write("out/model.gguf", "mine");
  const RunResult r = Run({"compress", directory_ / "model", "-o", directory_ / "out", "--bpw", "4.5"});
  EXPECT_EQ(r.exit_code, kExitFailed);
  EXPECT_THAT(r.err, HasSubstr("--force"));
  EXPECT_TRUE(server_.state.uploads.empty());
}

TEST_F(AppTest, AFailedJobIsItsExitCode) {
  v1::Job job = Succeeded();
  job.set_state(v1::Job::FAILED);
  job.mutable_error()->ParseFromString(
      FakeError(grpc::StatusCode::DATA_LOSS, "NON_FINITE", "wte has NaN", "--zero-non-finite").error_details());
  JobWillEnd(job);
  const RunResult r = Run({"jobs", "wait", "j", "--json"});
  EXPECT_EQ(r.exit_code, kExitCorrupt);
  EXPECT_EQ(Parsed(r.out)["error"]["reason"], "NON_FINITE") << r.out;
  EXPECT_THAT(r.err, HasSubstr("wte has NaN"));
}

// The server's names are of a directory that the user has never seen.
TEST_F(AppTest, AFailedJobNamesTheUsersOwnFiles) {
  directory_.Write("train.txt", "a text");
  const std::string model = directory_ / "model", text = directory_ / "train.txt";
  const auto said = [&](const std::string& reason, const std::string& message) {
    v1::Job job = Succeeded();
    job.set_state(v1::Job::FAILED);
    job.mutable_error()->ParseFromString(FakeError(grpc::StatusCode::INVALID_ARGUMENT, reason, message, "").error_details());
    JobWillEnd(job);
    return Run({"compress", model, "-o", directory_ / "out", "--bpw", "4.5", "--calibrate", text}).err;
  };
  EXPECT_THAT(said("TOKENIZER_UNKNOWN", "tokenizer.json: has no vocabulary"), HasSubstr(": " + model + "/tokenizer.json: has no"));
  EXPECT_THAT(said("TEXT_NOT_UTF8", "calibration: the text is UTF-16"), HasSubstr(": " + text + ": the text is UTF-16"));
  EXPECT_THAT(said("TARGET_INFEASIBLE", "0.1 bits a weight are too few"), HasSubstr(": 0.1 bits"));
}

TEST_F(AppTest, WhatTheServerFindsInAPushedModelNamesTheUsersOwnFile) {
  server_.state.complete_error = FakeError(grpc::StatusCode::DATA_LOSS, "SAFETENSORS_TRUNCATED", "model.safetensors: ends early");
  const RunResult r = Run({"push", directory_ / "model"});
  EXPECT_EQ(r.exit_code, kExitCorrupt);
  EXPECT_THAT(r.err, HasSubstr("error: " + (directory_ / "model/model.safetensors: ends early")));
}

TEST_F(AppTest, PushThenSubmitByName) {
  const RunResult push = Run({"push", directory_ / "model", "--model-id", "tiny", "--label", "a=b"});
  ASSERT_EQ(push.exit_code, 0) << push.err;
  EXPECT_EQ(push.out, "models/tiny\n");
  EXPECT_THAT(push.err, HasSubstr("next: nashswarm submit models/tiny"));
  const RunResult submit = Run({"submit", "tiny", "--ratio", "10x", "--json"});
  ASSERT_EQ(submit.exit_code, 0) << submit.err;
  EXPECT_EQ(Parsed(submit.out)["name"], "jobs/j");
  EXPECT_EQ(server_.state.created.model(), "models/tiny");
  EXPECT_DOUBLE_EQ(server_.state.created.spec().ratio(), 0.9);
  EXPECT_NE(server_.state.created.request_id(), "");
}

TEST_F(AppTest, PullTakesAJobOrAnArtifact) {
  for (const char* name : {"artifacts/a", "a", "jobs/j", "j"}) {
    const RunResult r = Run({"pull", name, "-o", directory_ / name, "--json"});
    ASSERT_EQ(r.exit_code, 0) << name << r.err;
    EXPECT_EQ(Parsed(r.out)["artifact"], "artifacts/a");
  }
  EXPECT_EQ(Run({"pull", "none", "-o", directory_ / "x"}).exit_code, kExitNotFound);
}

TEST_F(AppTest, ListsHaveATableAndAnObject) {
  server_.state.models["models/x"].set_name("models/x");
  server_.state.models["models/y"].set_name("models/y");
  const RunResult models = Run({"models", "list", "--json"});
  ASSERT_EQ(models.exit_code, 0) << models.err;
  ASSERT_EQ(Parsed(models.out)["models"].size(), 2u) << "every page must be read";
  const RunResult limited = Run({"models", "list", "--json", "--limit", "1"});
  EXPECT_EQ(Parsed(limited.out)["models"].size(), 1u);
  const RunResult jobs = Run({"jobs", "list"});
  EXPECT_THAT(jobs.out, HasSubstr("j    m      "));
  EXPECT_EQ(Parsed(Run({"jobs", "list", "--json"}).out)["jobs"][0]["result"]["output_bytes"], 5000);
}

// `submit MODEL --calibrate wiki` looks for a file.
TEST_F(AppTest, DataModelsAreListedByTheNameThatSubmitTakes) {
  server_.state.models["models/gpt2"].set_name("models/gpt2");
  server_.state.models["models/wiki"].set_name("models/wiki");
  server_.state.models["models/wiki"].set_kind(v1::Model::DATA);
  const std::string list = Run({"models", "list"}).out;
  EXPECT_THAT(list, HasSubstr("\ngpt2 "));
  EXPECT_THAT(list, HasSubstr("\nmodels/wiki "));
  EXPECT_EQ(Run({"submit", "gpt2", "--bpw", "4", "--calibrate", "models/wiki"}).exit_code, 0);
  EXPECT_EQ(server_.state.created.spec().calibration().text(), "models/wiki");
}

TEST_F(AppTest, EventsAreLinesOfJson) {
  JobWillEnd(Succeeded());
  const RunResult r = Run({"jobs", "watch", "j", "--events"});
  EXPECT_EQ(r.exit_code, 0);
  EXPECT_EQ(Parsed(r.out)["snapshot"]["state"], "SUCCEEDED") << r.out;
  EXPECT_EQ(std::count(r.out.begin(), r.out.end(), '\n'), 1);
}

TEST_F(AppTest, CancelReachesTheServer) {
  EXPECT_EQ(Run({"jobs", "cancel", "jobs/j"}).exit_code, 0);
  EXPECT_THAT(server_.state.cancelled, ElementsAre("jobs/j"));
}

TEST_F(AppTest, ServerInfo) {
  EXPECT_EQ(Parsed(Run({"server", "info", "--json"}).out)["formats"][0]["name"], "Q6_K");
  EXPECT_THAT(Run({"server", "info"}).out, HasSubstr("Q6_K    6.5625    256"));
}

TEST_F(AppTest, ErrorsInJsonAreOnStdoutToo) {
  const RunResult r = Run({"jobs", "get", "none", "--json"});
  EXPECT_EQ(r.exit_code, kExitNotFound);
  EXPECT_EQ(Parsed(r.out)["error"]["reason"], "JOB_NOT_FOUND");
  EXPECT_EQ(Parsed(r.out)["error"]["hint"], "nashswarm jobs list");
  EXPECT_THAT(r.err, HasSubstr("error: there is no jobs/none [JOB_NOT_FOUND]"));
  EXPECT_EQ(Parsed(RunCli({"compress", "--json"}).out)["error"]["reason"], "USAGE");
}

TEST_F(AppTest, WhatIsNotFoundCanBeListed) {
  EXPECT_THAT(Run({"artifacts", "get", "none"}).err,
              HasSubstr("hint:  list them with: nashswarm artifacts list --server " + server_.address));
}

TEST_F(AppTest, EveryKindOfServerErrorHasItsExitCode) {
  const std::map<grpc::StatusCode, int> codes = {{grpc::StatusCode::PERMISSION_DENIED, kExitAuth},
                                                 {grpc::StatusCode::RESOURCE_EXHAUSTED, kExitQuota},
                                                 {grpc::StatusCode::DATA_LOSS, kExitCorrupt},
                                                 {grpc::StatusCode::FAILED_PRECONDITION, kExitFailed},
                                                 {grpc::StatusCode::INVALID_ARGUMENT, kExitFailed}};
  for (const auto& [code, exit_code] : codes) {
    server_.state.next_error = FakeError(code, "REASON", "message");
    EXPECT_EQ(Run({"jobs", "get", "j"}).exit_code, exit_code) << code;
  }
}

TEST_F(AppTest, AServerThatIsRestartedIsAskedAgain) {
  server_.state.next_error = {grpc::StatusCode::UNAVAILABLE, "shutting down"};
  EXPECT_EQ(Run({"jobs", "get", "j"}).exit_code, 0);
}

TEST(App, UsageErrorsAre2) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"jobs"},
                                             {"jobs", "list"},  // no server
                                             {"jobs", "list", "--nonsense"},
                                             {"compress", "x"},
                                             {"compress", "x", "-o", "y"},
                                             {"compress", "x", "-o", "y", "--bpw", "4", "--size", "5MB"},
                                             {"compress", "x", "-o", "y", "--bpw", "4", "--format", "zip"},
                                             {"completion", "tcsh"}}) {
    const RunResult r = RunCli(arguments);
    EXPECT_EQ(r.exit_code, kExitUsage) << testing::PrintToString(arguments) << r.err;
    EXPECT_THAT(r.err, HasSubstr("hint:")) << testing::PrintToString(arguments);
    EXPECT_EQ(r.out, "");
  }
}

TEST(App, HelpStandsAlone) {
  for (const char* command : {"compress", "push", "submit", "pull", "jobs", "models", "artifacts", "inspect", "verify",
                              "schemes", "eval", "calibrate", "unpack", "frontier", "bench", "route", "report", "server", "completion"}) {
    const RunResult r = RunCli({command, "--help"});
    EXPECT_EQ(r.exit_code, 0) << command;
    EXPECT_THAT(r.out, HasSubstr("Example")) << command;
    EXPECT_THAT(r.out, HasSubstr("nashswarm " + std::string(command))) << command;
  }
  EXPECT_THAT(RunCli({"--version"}).out, HasSubstr("nashswarm "));
}

TEST(App, EngineCommandsShowTheirUsage) {
  EXPECT_THAT(RunCli({"unpack", "--help"}).out,
              HasSubstr("nashswarm unpack PATH -o OUT [--format dense|gguf] [--dtype f32|f16|bf16]\n  [--threads N] [--allow-tokenizer-mismatch] [--force] [--json]\n"));
  EXPECT_THAT(RunCli({"frontier", "--help"}).out, HasSubstr("nashswarm frontier DIR --bpw FROM:TO [--points N]"));
  EXPECT_THAT(RunCli({"bench", "--help"}).out, HasSubstr("nashswarm bench quality DIR --text FILE"));
}

TEST(App, UnknownWordsAreNamedWithWhatMayBeMeant) {
  const RunResult command = RunCli({"compres", "./gpt2", "-o", "out"});
  EXPECT_EQ(command.exit_code, kExitUsage);
  EXPECT_EQ(command.err,
            "error: nashswarm has no command 'compres'\nhint:  did you mean compress? nashswarm --help lists all\n");
  const RunResult option = RunCli({"compress", "./gpt2", "-o", "out", "--bwp", "4.5"});
  EXPECT_EQ(option.exit_code, kExitUsage);
  EXPECT_THAT(option.err, HasSubstr("nashswarm compress has no option '--bwp'"));
  EXPECT_THAT(option.err, HasSubstr("did you mean --bpw?"));
  EXPECT_EQ(RunCli({"jobs", "lst"}).err, "error: nashswarm jobs has no command 'lst'\n"
                                         "hint:  did you mean list? nashswarm jobs --help lists all\n");
}

TEST(App, TheFirstCommandShownIsTheGoodOne) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{{"--help"}, {"compress", "--help"}}) {
    const std::string help = RunCli(arguments).out;
    const size_t first = help.find("  nashswarm compress ");
    ASSERT_NE(first, std::string::npos);
    EXPECT_THAT(help.substr(first, help.find('\n', first) - first), HasSubstr("--calibrate train.txt"));
  }
}

TEST(App, HelpFitsATerminal) {
  std::vector<std::vector<std::string>> commands = {{}};
  std::ostringstream ignored;
  Interrupt interrupt;
  App app({.out = ignored, .err = ignored, .getenv = [](const char*) -> const char* { return nullptr; }}, interrupt);
  for (const CLI::App* command : app.root().get_subcommands({})) {
    commands.push_back({command->get_name()});
    for (const CLI::App* inner : command->get_subcommands({})) commands.push_back({command->get_name(), inner->get_name()});
  }
  EXPECT_GT(commands.size(), 30u);
  for (std::vector<std::string> command : commands) {
    command.push_back("--help");
    std::istringstream lines(RunCli(command).out);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("  nashswarm ", 0) == 0) continue;  // an example is one line, however long
      EXPECT_LE(commandline::Columns(line), commandline::kWidth) << testing::PrintToString(command) << "\n" << line;
    }
  }
}

TEST(App, AnAddressOrANameOfTheHubIsHintedAt) {
  for (const char* address : {"https://huggingface.co/org/name", "https://huggingface.co/org/name/tree/main",
                              "huggingface.co/org/name/blob/main/config.json", "https://hf.co/org/name/"}) {
    const RunResult r = RunCli({"compress", address, "-o", "out", "--bpw", "4"});
    EXPECT_EQ(r.exit_code, kExitUsage) << address;
    EXPECT_THAT(r.err, HasSubstr("write hf://org/name,")) << address;
  }
  EXPECT_THAT(RunCli({"compress", "https://huggingface.co/org/name/tree/v1.0", "-o", "out", "--bpw", "4"}).err,
              HasSubstr("write hf://org/name@v1.0,"));
  EXPECT_THAT(RunCli({"eval", "https://huggingface.co/org/name", "--text", "t"}).err, HasSubstr("write hf://org/name,"));
  const RunResult bare = RunCli({"compress", "org/name", "-o", "out", "--bpw", "4"});
  EXPECT_EQ(bare.exit_code, kExitNotFound);
  EXPECT_THAT(bare.err, HasSubstr("org/name does not exist"));
  EXPECT_THAT(bare.err, HasSubstr("a model of the hub is written hf://org/name\n"));
  EXPECT_THAT(RunCli({"compress", "./org/name", "-o", "out", "--bpw", "4"}).err, Not(HasSubstr("hf://")));
}

TEST(App, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  FakeServer in_file, in_environment, in_flag;
  in_file.state.max_chunk_bytes = 1;
  in_environment.state.max_chunk_bytes = 2;
  in_flag.state.max_chunk_bytes = 3;
  const TemporaryDirectory directory;
  directory.Write("nashswarm/config.toml", "server = \"" + in_file.address + "\"\njson = true\n");
  const auto asked = [](const RunResult& r) { return Parsed(r.out)["limits"]["max_chunk_bytes"].get<int>(); };
  const std::map<std::string, std::string> file = {{"XDG_CONFIG_HOME", directory.path()}};
  EXPECT_EQ(asked(RunCli({"server", "info"}, file)), 1);
  std::map<std::string, std::string> both = file;
  both["NASHSWARM_SERVER"] = in_environment.address;
  EXPECT_EQ(asked(RunCli({"server", "info"}, both)), 2);
  EXPECT_EQ(asked(RunCli({"server", "info", "--server", in_flag.address}, both)), 3);
}

TEST(App, TheFileSetsOptionsOfCommandsAndItsMistakesAreSaid) {
  const TemporaryDirectory directory;
  directory.Write("good.toml", "[compress]\nbpw = 77\n");
  const RunResult r = RunCli({"compress", "x", "-o", "y", "--config", directory / "good.toml"});
  EXPECT_THAT(r.err, HasSubstr("'77' is not a number of bits per weight"));
  directory.Write("bad.toml", "sever = \"host\"\n");
  EXPECT_EQ(RunCli({"jobs", "list", "--config", directory / "bad.toml"}).exit_code, kExitUsage);
  EXPECT_EQ(RunCli({"jobs", "list", "--config", directory / "none.toml"}).exit_code, kExitUsage);
}

}  // namespace
}  // namespace nashswarm::cli
