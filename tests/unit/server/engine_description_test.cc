#include "server/worker/engine_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/support/files.h"
#include "tests/unit/server/test_engine.h"

namespace nashswarm::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kText[] = R"({"version": "1.2.3", "architectures": [{"model_type": "gpt2", "gguf": "gpt2"}, {"model_type": "mixtral", "gguf": "llama"}],
  "number_formats": [{"name": "Q4_K", "bits_per_weight": 4.5, "block_weights": 256}], "artifact_kinds": ["gguf", "nsq"],
  "stages": ["prepare"], "limits": {"header_bytes": 1000}})";

TEST(EngineDescriptionTest, IsRead) {
  const auto engine = ParseEngineDescription(kText);
  NS_ASSERT_OK(engine.status());
  EXPECT_EQ(engine->version, "1.2.3");
  EXPECT_THAT(engine->architectures, ElementsAre("gpt2", "mixtral"));
  EXPECT_THAT(engine->artifact_kinds, ElementsAre("gguf", "nsq"));
  EXPECT_EQ(engine->max_header_bytes, 1000);
  ASSERT_NE(engine->FindNumberFormat("q4_k"), nullptr);
  EXPECT_EQ(engine->FindNumberFormat("q4_k")->name, "Q4_K");
  EXPECT_EQ(engine->FindNumberFormat("q4_k")->bits_per_weight, 4.5);
  EXPECT_EQ(engine->FindNumberFormat("Q4"), nullptr);
}

TEST(EngineDescriptionTest, WhatIsNoneIsRefused) {
  for (const char* text : {"", "[]", "{}", "x", R"({"version": "1", "stages": ["a"]})", R"({"version": 1})", R"({"version": "1", "stages": 7, "number_formats": {"a": 1}})"}) {
    EXPECT_EQ(ReasonOf(ParseEngineDescription(text).status()), "ENGINE_PROTOCOL") << text;
  }
}

TEST(EngineDescriptionTest, AnEngineOfAnotherVersionOrWithoutAStageIsRefused) {
  NS_EXPECT_OK(CheckEngine(TestEngine(), "1.2.3"));
  const absl::Status other = CheckEngine(TestEngine(), "1.2.4");
  EXPECT_EQ(ReasonOf(other), "ENGINE_VERSION");
  EXPECT_THAT(std::string(other.message()), HasSubstr("1.2.3"));
  EXPECT_THAT(HintOf(other), HasSubstr("--engine"));
  EngineDescription old = TestEngine();
  old.stages.pop_back();
  EXPECT_EQ(ReasonOf(CheckEngine(old, "1.2.3")), "ENGINE_VERSION");
}

}  // namespace
}  // namespace nashswarm::server
