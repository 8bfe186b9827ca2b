#include "core/model/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::model {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;

TEST(ModelCardTest, NamesInTheirParts) {
  const auto parts = [](std::string_view name) {
    const NameParts p = SplitName(name);
    return std::vector<std::string>{p.organization, p.name, p.basename, p.size_label, p.finetune, p.version};
  };
  EXPECT_THAT(parts("HuggingFaceTB/SmolLM2-135M-Instruct"),
              ElementsAre("HuggingFaceTB", "SmolLM2-135M-Instruct", "SmolLM2", "135M", "Instruct", ""));
  EXPECT_THAT(parts("Mistral-7B-Instruct-v0.2"), ElementsAre("", "Mistral-7B-Instruct-v0.2", "Mistral", "7B", "Instruct", "v0.2"));
  EXPECT_THAT(parts("Qwen/Qwen2.5-Coder-0.5B-Instruct"),
              ElementsAre("Qwen", "Qwen2.5-Coder-0.5B-Instruct", "Qwen2.5-Coder", "0.5B", "Instruct", ""));
  EXPECT_THAT(parts("Mixtral-8x7B"), ElementsAre("", "Mixtral-8x7B", "Mixtral", "8x7B", "", ""));
  EXPECT_THAT(parts("gemma-3-270m-it"), ElementsAre("", "gemma-3-270m-it", "gemma-3", "270m", "it", ""));
  EXPECT_THAT(parts("gpt2"), ElementsAre("", "gpt2", "", "", "", ""));  // too little to tell
  EXPECT_THAT(parts("My own model 7B"), ElementsAre("", "My own model 7B", "", "", "", ""));
}

TEST(ModelCardTest, SizesAsPeopleWriteThem) {
  EXPECT_EQ(SizeLabel(134'515'008), "135M");
  EXPECT_EQ(SizeLabel(494'032'768), "494M");
  EXPECT_EQ(SizeLabel(7'241'732'096), "7.2B");
  EXPECT_EQ(SizeLabel(70'553'706'496), "71B");
  EXPECT_EQ(SizeLabel(5'848'000), "5.8M");
  EXPECT_EQ(SizeLabel(999'999'999), "1.0B");
  EXPECT_EQ(SizeLabel(260'000), "260K");
}

TEST(ModelCardTest, TheCardTheNameAndTheConfig) {
  const auto dir = MakeTemporaryDirectory();
  const auto name_of = [&](const std::string& name, const Json& config) { return ReadModelCard(dir.path(), name, config, "llama", 5'848'000).name.name; };
  EXPECT_EQ(name_of("", Json::object()), "llama-5.8M");
  EXPECT_EQ(name_of("", {{"_name_or_path", "/home/me/runs/checkpoint-500"}}), "llama-5.8M");
  EXPECT_EQ(name_of("", {{"_name_or_path", "org/Base-1B"}}), "Base-1B");
  EXPECT_EQ(name_of("hf", {{"_name_or_path", "org/Base-1B"}}), "Base-1B");  // a directory's name that says nothing
  EXPECT_EQ(name_of("My-Tune-1B", {{"_name_or_path", "org/Base-1B"}}), "My-Tune-1B");

  WriteTestFile(dir.path() + "/README.md",
                "---\nlicense: apache-2.0\nbase_model:\n- org/Base-1B\n- other/Base-2B\nlanguage: en\ntags: [code, \"no\"]\nmodel_name: Carded 1B\n---\n# Words\n");
  const ModelCard card = ReadModelCard(dir.path(), "", Json::object(), "llama", 1'000'000'000);
  EXPECT_EQ(card.name.name, "Carded 1B");
  EXPECT_EQ(card.license, "apache-2.0");
  EXPECT_THAT(card.base_models, ElementsAre("org/Base-1B", "other/Base-2B"));
  EXPECT_THAT(card.tags, ElementsAre("code", "no"));
  std::vector<checkpoint::GgufMetadata> metadata;
  AppendMetadata(card, &metadata);
  std::map<std::string, checkpoint::GgufValue> values;
  for (const auto& entry : metadata) values.emplace(entry.key, entry.value);
  EXPECT_EQ(std::get<std::string>(values.at("general.name").data), "Carded 1B");
  EXPECT_EQ(std::get<std::string>(values.at("general.size_label").data), "1.0B");
  EXPECT_EQ(std::get<uint64_t>(values.at("general.base_model.count").data), 2u);
  EXPECT_EQ(std::get<std::string>(values.at("general.base_model.1.organization").data), "other");
}

TEST(ModelCardTest, ACardThatCannotBeReadIsNoError) {
  const auto dir = MakeTemporaryDirectory();
  for (const char* text : {"---\nlicense: [unclosed\n---\n", "---\nno end", "---", "no front matter", "---\n- a list\n---\n", "---\n&a [*a]\n---\n"}) {
    WriteTestFile(dir.path() + "/README.md", text);
    EXPECT_EQ(ReadModelCard(dir.path(), "", Json::object(), "llama", 5'848'000).license, "") << text;
  }
  // In Latin-1: every byte that is no UTF-8 is replaced, since the name goes into JSON, which throws over one.
  WriteTestFile(dir.path() + "/README.md", "---\nmodel_name: Caf\xe9 1B\ntags: [caf\xe9, th\xe9]\nlanguage: fran\xe7" "ais\n---\n");
  const ModelCard card = ReadModelCard(dir.path(), "", Json::object(), "llama", 5'848'000);
  EXPECT_EQ(card.name.name, "Caf\ufffd 1B");
  EXPECT_THAT(card.tags, ElementsAre("caf\ufffd", "th\ufffd"));
  EXPECT_THAT(card.languages, ElementsAre("fran\ufffd" "ais"));
  EXPECT_NO_THROW(Json(card.name.name).dump());
}

}  // namespace
}  // namespace nashswarm::model
