// Texts from elsewhere: JSON as Python writes it, paths that a reader has never seen, files mapped together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm {
namespace {

TEST(JsonLiteralsTest, PythonsAreReadAsStrings) {
  const auto json = ParseJson(R"({"a":NaN,"b":[Infinity,-Infinity],"c":"NaN and \"Infinity\"","d":1e30,"e":1000000000000000019884624838656})", "x");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["a"], "NaN");
  EXPECT_EQ((*json)["b"], Json({"Infinity", "-Infinity"}));
  EXPECT_EQ((*json)["c"], "NaN and \"Infinity\"");
  EXPECT_EQ(JsonDouble(*json, "e", 0), 1e30);
  EXPECT_EQ(JsonDouble(*json, "a", 7), 7);  // no number
}

TEST(JsonLiteralsTest, OtherSyntaxIsRefusedStill) {
  for (const char* text : {"{\"a\":nan}", "{\"a\":Nan}", "[xNaN]", "[NaN1]", "[-NaN]", "{NaN:1,}", "\"NaN", "[NaN", "[+Infinity]"}) {
    EXPECT_EQ(ReasonOf(ParseJson(text, "x").status()), "JSON_SYNTAX") << text;
  }
  EXPECT_EQ(ReasonOf(ParseJson(R"({"a":NaN,"a":NaN})", "x").status()), "JSON_DUPLICATE_KEY");
}

TEST(JsonLiteralsTest, SurviveTheWayThroughAParserAndBack) {
  const std::string text = R"({"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"})";
  const OrderedJson json = OrderedJson::parse(QuoteLiterals(text, kLiteralMark));
  EXPECT_EQ(PlainLiterals(json.dump()), text);
}

TEST(WithoutDirectoryTest, NamesFilesAsTheirOwnersKnowThem) {
  const std::string dir = "/srv/data/work/j-1/model";
  EXPECT_EQ(WithoutDirectory("/srv/data/work/j-1/model/tokenizer.json: bad", dir, "the model"), "tokenizer.json: bad");
  EXPECT_EQ(WithoutDirectory("/srv/data/work/j-1/model: has none", dir + "/", "the model"), "the model: has none");
  EXPECT_EQ(WithoutDirectory("'/srv/data/work/j-1/model/a/b' and /srv/data/work/j-1/model", dir, "it"), "'a/b' and it");
  EXPECT_EQ(WithoutDirectory("/srv/data/work/j-1/model2/a", dir, "it"), "/srv/data/work/j-1/model2/a");
  EXPECT_EQ(WithoutDirectory("/x/srv/data/work/j-1/model/a", dir, "it"), "/x/srv/data/work/j-1/model/a");
  EXPECT_EQ(WithoutDirectory("/a /b", "", "it"), "/a /b");
  EXPECT_EQ(WithoutDirectory("/a /b", "/", "it"), "/a /b");
}

TEST(MappedFileTest, FilesTogetherAreOneSpan) {
  const auto dir = testing::MakeTemporaryDirectory();
  const std::string first(5000, 'a'), second = "b";
  testing::WriteTestFile(dir.path() + "/1", first);
  testing::WriteTestFile(dir.path() + "/2", "");
  testing::WriteTestFile(dir.path() + "/3", second);
  std::vector<absl::Span<const uint8_t>> parts;
  const auto file = MappedFile::OpenTogether({dir.path() + "/1", dir.path() + "/2", dir.path() + "/3"}, &parts);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(std::string(parts[0].begin(), parts[0].end()), first);
  EXPECT_TRUE(parts[1].empty());
  EXPECT_EQ(std::string(parts[2].begin(), parts[2].end()), second);
  EXPECT_EQ((*file)->bytes().data(), parts[0].data());
  EXPECT_EQ((*file)->bytes().data() + (*file)->bytes().size(), parts[2].data() + 1);
  EXPECT_EQ(ReasonOf(MappedFile::OpenTogether({dir.path() + "/1", dir.path() + "/4"}, &parts).status()), "FILE_NOT_FOUND");
}

}  // namespace
}  // namespace nashswarm
