#include "server/store/s3/s3_url.h"

#include "core/base/file.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(S3UrlTest, OnAws) {
  const S3Location at = Must(ParseS3Url("s3://models?region=eu-central-1"));
  EXPECT_EQ(at.scheme, "https");
  EXPECT_EQ(at.host, "s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(at.bucket, "models");
  EXPECT_EQ(at.prefix, "");
  EXPECT_FALSE(at.path_style);
}

TEST(S3UrlTest, ElsewhereWithEverything) {
  const S3Location at =
      Must(ParseS3Url("s3://models/team/a/?endpoint=https://S3.example:443/&path_style=false&ca_file=/etc/ca.pem"));
  EXPECT_EQ(at.host, "s3.example") << "as it is sent and signed";
  EXPECT_EQ(at.prefix, "team/a/");
  EXPECT_EQ(at.ca_file, "/etc/ca.pem");
  EXPECT_FALSE(at.path_style);
  EXPECT_EQ(Must(ParseS3Url("s3://models?endpoint=https://s3.example:8443")).host, "s3.example:8443");
  EXPECT_TRUE(Must(ParseS3Url("s3://models?endpoint=https://s3.example")).path_style);
}

TEST(S3UrlTest, PlainHttpOnlyToThisMachineOrWhenAskedFor) {
  for (const char* host : {"127.0.0.1:9000", "localhost:9000", "[::1]:9000", "127.1.2.3"}) {
    EXPECT_TRUE(Must(ParseS3Url(absl::StrCat("s3://models?endpoint=http://", host))).is_loopback) << host;
  }
  for (const char* host : {"10.0.0.1:9000", "minio:9000", "127.evil.example", "localhost.evil.example"}) {
    const std::string url = absl::StrCat("s3://models?endpoint=http://", host);
    EXPECT_EQ(ReasonOf(ParseS3Url(url).status()), "BAD_S3_URL") << host;
    EXPECT_FALSE(Must(ParseS3Url(url + "&insecure=true")).is_loopback) << host;
  }
}

TEST(S3UrlTest, CredentialsAreRefusedAndNotRepeated) {
  for (const char* url : {"s3://AKIA:TOPSECRET@models", "s3://models?endpoint=https://AKIA:TOPSECRET@s3.example",
                          "s3://models?secret_key=TOPSECRET", "s3://models?AWS_ACCESS_KEY_ID=TOPSECRET",
                          "s3://models?token=TOPSECRET", "s3://models?TOPSECRET=1"}) {
    const absl::Status status = ParseS3Url(url).status();
    EXPECT_EQ(ReasonOf(status), "BAD_S3_URL") << url;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("TOPSECRET"))) << url;
  }
  EXPECT_THAT(HintOf(ParseS3Url("s3://a:b@models").status()), HasSubstr("AWS_ACCESS_KEY_ID"));
}

TEST(S3UrlTest, NonsenseIsRefused) {
  for (const char* url : {"", "http://models", "s3://", "s3://m", "s3://Models", "s3://-models", "s3://models/a b",
                          "s3://models/../x", "s3://models/a//b", "s3://models/%41", "s3://models?region=",
                          "s3://models?region=a/b", "s3://models?path_style=yes", "s3://models?endpoint=s3.example",
                          "s3://models?endpoint=ftp://s3.example", "s3://models?endpoint=https://s3.example/path",
                          "s3://models?endpoint=https://", "s3://models?unknown=1", "s3://models?region=a&region=b",
                          "s3://models?"}) {
    EXPECT_EQ(ReasonOf(ParseS3Url(url).status()), "BAD_S3_URL") << url;
  }
}

Environment With(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

TEST(S3CredentialsTest, FromTheEnvironment) {
  const S3Credentials found = Must(LoadS3Credentials(
      With({{"AWS_ACCESS_KEY_ID", "id"}, {"AWS_SECRET_ACCESS_KEY", "secret"}, {"AWS_SESSION_TOKEN", "token"}})));
  EXPECT_EQ(found.access_key, "id");
  EXPECT_EQ(found.secret_key, "secret");
  EXPECT_EQ(found.session_token, "token");
  const absl::Status half = LoadS3Credentials(With({{"AWS_SECRET_ACCESS_KEY", "TOPSECRET"}})).status();
  EXPECT_EQ(ReasonOf(half), "S3_NO_CREDENTIALS");
  EXPECT_THAT(half.ToString(), Not(HasSubstr("TOPSECRET")));
  EXPECT_EQ(ReasonOf(LoadS3Credentials(With({})).status()), "S3_NO_CREDENTIALS");
}

TEST(S3CredentialsTest, FromAFile) {
  const TemporaryDirectory directory = *TemporaryDirectory::Create();
  ASSERT_TRUE(MakeDirectories(directory.path() + "/.aws").ok());
  const std::string path = directory.path() + "/.aws/credentials";
  ASSERT_TRUE(WriteFileDurably(path,
                               "# keys\n[default]\naws_access_key_id = id1\naws_secret_access_key=a/b+c=\n\n"
                               "[other]\r\naws_access_key_id=id2\r\naws_secret_access_key=s2\r\n"
                               "aws_session_token=t2\n[half]\naws_access_key_id=id3\n")
                  .ok());
  for (const auto& where : {With({{"AWS_SHARED_CREDENTIALS_FILE", path}}), With({{"HOME", directory.path()}})}) {
    EXPECT_EQ(Must(LoadS3Credentials(where)).access_key, "id1");
    EXPECT_EQ(Must(LoadS3Credentials(where)).secret_key, "a/b+c=");
  }
  const auto profile = [&](const char* name) {
    return LoadS3Credentials(With({{"AWS_SHARED_CREDENTIALS_FILE", path}, {"AWS_PROFILE", name}}));
  };
  EXPECT_EQ(Must(profile("other")).session_token, "t2");
  EXPECT_EQ(ReasonOf(profile("half").status()), "S3_NO_CREDENTIALS");
  EXPECT_EQ(ReasonOf(profile("absent").status()), "S3_NO_CREDENTIALS");
}

}  // namespace
}  // namespace nashswarm::server
