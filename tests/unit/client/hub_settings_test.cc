#include "client/cli/hub/hub_settings.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

using Variables = std::map<std::string, std::string>;

absl::StatusOr<HubSettings> Read(const Variables& variables) {
  return ReadHubSettings([variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(HubSettingsTest, TheCacheIsWhereOtherProgramsHaveIt) {
  EXPECT_EQ(Read({{"HOME", "/h"}})->cache, "/h/.cache/huggingface/hub");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/c"}})->cache, "/c/huggingface/hub");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/c"}, {"HF_HOME", "/f"}})->cache, "/f/hub");
  EXPECT_EQ(Read({{"HF_HOME", "/f"}, {"HF_HUB_CACHE", "/m"}})->cache, "/m");
  EXPECT_EQ(ExitCodeOf(Read({}).status()), kExitUsage);
}

TEST(HubSettingsTest, EndpointAndOffline) {
  EXPECT_EQ(Read({{"HOME", "/h"}})->endpoint, "https://huggingface.co");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"HF_ENDPOINT", "https://mirror.example.org//"}})->endpoint, "https://mirror.example.org");
  EXPECT_EQ(ExitCodeOf(Read({{"HOME", "/h"}, {"HF_ENDPOINT", "mirror.example.org"}}).status()), kExitUsage);
  EXPECT_EQ(ExitCodeOf(Read({{"HOME", "/h"}, {"HF_ENDPOINT", "file:///etc"}}).status()), kExitUsage);
  EXPECT_FALSE(Read({{"HOME", "/h"}})->offline);
  EXPECT_FALSE(Read({{"HOME", "/h"}, {"HF_HUB_OFFLINE", "0"}})->offline);
  EXPECT_TRUE(Read({{"HOME", "/h"}, {"HF_HUB_OFFLINE", "1"}})->offline);
  EXPECT_TRUE(Read({{"HOME", "/h"}, {"HF_HUB_OFFLINE", "true"}})->offline);
}

TEST(HubSettingsTest, TheTokenComesFromTheVariableOrTheFile) {
  const auto directory = std::filesystem::temp_directory_path() / "nashswarm-hub-settings-test";
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "token") << "hf_file\n";
  std::ofstream(directory / "other") << " hf_other ";
  const std::string home = directory.string();
  EXPECT_EQ(Read({{"HF_HOME", home}})->token, "hf_file");
  EXPECT_EQ(Read({{"HF_HOME", home}, {"HF_TOKEN_PATH", home + "/other"}})->token, "hf_other");
  EXPECT_EQ(Read({{"HF_HOME", home}, {"HF_TOKEN", " hf_variable "}})->token, "hf_variable");
  EXPECT_EQ(Read({{"HF_HOME", home + "/none"}})->token, "");
  EXPECT_EQ(ExitCodeOf(Read({{"HF_HOME", home}, {"HF_TOKEN", "a\r\nb"}}).status()), kExitUsage);
  std::filesystem::remove_all(directory);
}

TEST(HubSettingsTest, TheTokenIsNotSentInPlaintextToAnotherMachine) {
  const Variables home = {{"HOME", "/nowhere"}, {"HF_TOKEN", "hf_secret"}};
  const auto with = [&](const std::string& endpoint) {
    Variables variables = home;
    variables["HF_ENDPOINT"] = endpoint;
    return Read(variables).status();
  };
  EXPECT_TRUE(with("https://mirror.example.org").ok());
  EXPECT_TRUE(with("http://127.0.0.1:8080").ok());
  EXPECT_EQ(ExitCodeOf(with("http://mirror.example.org")), kExitUsage);
  for (const char* elsewhere : {"http://127.example.org", "http://localhost.example.org", "http://127.0.0.1:1@example.org",
                                "http://127.0.0.1\\@example.org", "http://127.0.0.1?@example.org"}) {
    EXPECT_EQ(ExitCodeOf(with(elsewhere)), kExitUsage) << elsewhere;
  }
  EXPECT_TRUE(with("http://localhost:8080/mirror").ok());
  EXPECT_EQ(with("http://mirror.example.org").message().find("hf_secret"), std::string::npos);
}

TEST(HubNameTest, PathsAreNoNames) {
  EXPECT_EQ(HubNameMeantBy("org/name"), "hf://org/name");
  EXPECT_EQ(HubNameMeantBy("https://huggingface.co/org/name/"), "hf://org/name");
  for (const char* path : {"", "/", "/models/gpt2", "models/gpt2/", "/models/gpt2/", "./org/name", "a/b/c"}) EXPECT_EQ(HubNameMeantBy(path), "") << path;
}

TEST(HubNameTest, NamesAndRevisions) {
  EXPECT_TRUE(IsHubName("hf://gpt2"));
  EXPECT_FALSE(IsHubName("./hf"));
  EXPECT_EQ(ParseHubName("hf://org/model-1.5_x")->repository, "org/model-1.5_x");
  EXPECT_EQ(ParseHubName("hf://org/model")->revision, "main");
  EXPECT_EQ(ParseHubName("hf://gpt2@refs/pr/3")->repository, "gpt2");
  EXPECT_EQ(ParseHubName("hf://gpt2@refs/pr/3")->revision, "refs/pr/3");
  for (const char* bad : {"hf://", "hf:///model", "hf://org/", "hf://a/b/c", "hf://../etc", "hf://org/..", "hf://org/a--b",
                          "hf://org/a b", "hf://org/a?b", "hf://org/model@", "hf://org/model@../x", "hf://org/model@a//b",
                          "hf://org/model@/x", "hf://-x/y", "hf://.x"}) {
    EXPECT_EQ(ExitCodeOf(ParseHubName(bad).status()), kExitUsage) << bad;
  }
}

}  // namespace
}  // namespace nashswarm::cli
