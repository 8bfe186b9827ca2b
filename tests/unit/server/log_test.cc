#include "server/log/log.h"

#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

TEST(LogTest, JsonLineIsOneLineWithTheFieldsInOrder) {
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, LogLevel::kWarning, "T", "a \"b\"\nc", {{"job", "j"}, {"task", 3}}),
            R"({"time":"T","level":"warning","msg":"a \"b\"\nc","job":"j","task":3})");
}

TEST(LogTest, TextLine) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, LogLevel::kInfo, "T", "hello", {{"job", "j"}}), "T info hello job=\"j\"");
}

TEST(LogTest, BytesThatAreNotUtf8DoNotThrow) {
  EXPECT_NE(FormatLogLine(LogFormat::kJson, LogLevel::kInfo, "T", "m", {{"text", "\xff\xfe"}}).find("\xef\xbf\xbd"),
            std::string::npos);
}

}  // namespace
}  // namespace nashswarm::server
