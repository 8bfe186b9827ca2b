#include "client/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Shell(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  for (size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output.append(buffer.data(), got);
  pclose(pipe);
  return output;
}

bool Has(const std::string& program) { return !Shell("command -v " + program).empty(); }

class CompletionTest : public testing::Test {
 protected:
  CompletionTest() {
    for (const char* shell : {"bash", "zsh", "fish"}) {
      const RunResult r = RunCli({"completion", shell});
      EXPECT_EQ(r.exit_code, 0);
      directory_.Write(shell, r.out);
    }
  }
  // What bash offers for a line that is split at spaces, as it splits it itself.
  std::string Bash(const std::string& words) {
    directory_.Write("run", "source " + (directory_ / "bash") + "\ncd " + directory_.path() + "\nCOMP_WORDS=(" + words +
                                ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_nashswarm\necho \"${COMPREPLY[*]}\"\n");
    return Shell("bash " + (directory_ / "run") + " 2>&1");
  }
  TemporaryDirectory directory_;
};

TEST_F(CompletionTest, BashIsValid) { EXPECT_EQ(Shell("bash -n " + (directory_ / "bash") + " 2>&1"), ""); }

TEST_F(CompletionTest, BashCompletesCommandsOptionsChoicesAndFiles) {
  EXPECT_EQ(Bash("nashswarm comp"), "compress completion\n");
  EXPECT_EQ(Bash("nashswarm jobs ''"), "list get watch wait cancel retry delete\n");
  EXPECT_EQ(Bash("nashswarm --server host:1 jobs re"), "retry\n");
  EXPECT_EQ(Bash("nashswarm --server = jobs jobs re"), "retry\n");
  EXPECT_EQ(Bash("nashswarm compress --kee"), "--keep-server-data\n");
  EXPECT_EQ(Bash("nashswarm compress --tok"), "--token-file\n") << "and no --token";
  EXPECT_EQ(Bash("nashswarm jobs list --tl"), "--tls\n");
  EXPECT_EQ(Bash("nashswarm compress --serv"), "--server\n");
  EXPECT_EQ(Bash("nashswarm jobs list --state R"), "RUNNING\n");
  EXPECT_EQ(Bash("nashswarm jobs list --state = R"), "RUNNING\n");
  EXPECT_EQ(Bash("nashswarm completion ''"), "bash zsh fish\n");
  EXPECT_EQ(Bash("nashswarm compress --bpw ''"), "\n");
  EXPECT_EQ(Bash("nashswarm inspect --"), "--help --json\n");
  EXPECT_EQ(Bash("nashswarm rep"), "report\n");
  EXPECT_EQ(Bash("nashswarm compress --cal"), "--calibrate --calibration-tokens\n");
  EXPECT_EQ(Bash("nashswarm eval --"),
            "--help --text --against --ctx --stride --max-tokens --protocol --threads --json\n");
  EXPECT_EQ(Bash("nashswarm eval x --protocol p"), "padded64\n");
  EXPECT_EQ(Bash("nashswarm calibrate --t"), "--text --tokens --threads\n");
  EXPECT_EQ(Bash("nashswarm submit --sw"), "--swarm --swarm-seconds\n");
  EXPECT_EQ(Bash("nashswarm unpack --f"), "--format --force\n");
  EXPECT_EQ(Bash("nashswarm unpack x --format ''"), "dense gguf\n");
  EXPECT_EQ(Bash("nashswarm unpack x --dtype b"), "bf16\n");
  EXPECT_EQ(Bash("nashswarm frontier --"), "--help --bpw --points --text --measure --format --threads --json\n");
  EXPECT_EQ(Bash("nashswarm frontier x --format n"), "nsq\n");
  EXPECT_EQ(Bash("nashswarm compress x --format ''"), "gguf nsq\n");
  EXPECT_EQ(Bash("nashswarm compress x --expert-order ''"), "original together\n");
  EXPECT_EQ(Bash("nashswarm bench q"), "quality\n");
  EXPECT_EQ(Bash("nashswarm bench quality --"), "--help --text --calibrate --bpw --tokens --threads --json\n");
  directory_.Write("my model/config.json", "");
  EXPECT_EQ(Bash("nashswarm bench quality m"), "my model\n");
  EXPECT_EQ(Bash("nashswarm bench quality x --calibrate my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm frontier x --bpw my"), "\n");
  EXPECT_EQ(Bash("nashswarm bench quality x --bpw my"), "\n");
  EXPECT_EQ(Bash("nashswarm frontier x -o my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm compress my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm inspect my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm compress x -o my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm compress x --evaluate my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm eval x --text my"), "my model\n");
  EXPECT_EQ(Bash("nashswarm eval x --ctx my"), "\n");
  EXPECT_EQ(Bash("nashswarm report my"), "my model\n");
}

TEST_F(CompletionTest, ZshIsValid) {
  if (!Has("zsh")) GTEST_SKIP() << "zsh is not installed";
  EXPECT_EQ(Shell("zsh -n " + (directory_ / "zsh") + " 2>&1"), "");
}

TEST_F(CompletionTest, FishCompletes) {
  if (!Has("fish")) GTEST_SKIP() << "fish is not installed";
  const auto fish = [&](const std::string& line) {
    return Shell("fish --no-config -c 'source " + (directory_ / "fish") + "; complete -C \"" + line + "\"' 2>&1");
  };
  EXPECT_THAT(fish("nashswarm comp"), HasSubstr("compress\t"));
  EXPECT_THAT(fish("nashswarm jobs "), HasSubstr("retry\t"));
  EXPECT_THAT(fish("nashswarm --server x jobs re"), HasSubstr("retry\t"));
  EXPECT_THAT(fish("nashswarm jobs list --state R"), HasSubstr("RUNNING"));
  EXPECT_THAT(fish("nashswarm push --"), Not(HasSubstr("--bpw")));
}

}  // namespace
}  // namespace nashswarm::cli
