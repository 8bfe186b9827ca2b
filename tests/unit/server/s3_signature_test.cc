// Signatures against published examples:
//   the AWS Signature Version 4 test suite (get-vanilla and others),
//   https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (the four S3 examples).
#include "core/base/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/s3/signature.h"

namespace nashswarm::server {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr char kEmptyHash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string SuiteSignature(const std::string& method, const std::string& path, const NameValues& query) {
  const S3Credentials credentials{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  return Authorization({method, path, query, {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
                        kEmptyHash},
                       credentials, "20150830T123600Z", "us-east-1", "service");
}

TEST(S3SignatureTest, TestSuite) {
  EXPECT_EQ(SuiteSignature("GET", "/", {}),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
            "SignedHeaders=host;x-amz-date,"
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
      << "get-vanilla";
  EXPECT_THAT(SuiteSignature("POST", "/", {}),
              EndsWith("5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"))
      << "post-vanilla";
  EXPECT_THAT(SuiteSignature("GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}),
              EndsWith("b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"))
      << "get-vanilla-query-order-key-case";
  EXPECT_THAT(SuiteSignature("GET", UriEncode("/\u1234", true), {}),
              EndsWith("8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"))
      << "get-utf8";
}

std::string S3Signature(const std::string& method, const std::string& path, const NameValues& query, NameValues more,
                        const std::string& payload) {
  const S3Credentials credentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
  const std::string hash = ToHex(Sha256Of(payload));
  more.emplace_back("host", "examplebucket.s3.amazonaws.com");
  more.emplace_back("x-amz-content-sha256", hash);
  more.emplace_back("x-amz-date", AmzDate(1369353600));
  return Authorization({method, path, query, more, hash}, credentials, AmzDate(1369353600), "us-east-1");
}

TEST(S3SignatureTest, GetObject) {
  EXPECT_EQ(S3Signature("GET", "/test.txt", {}, {{"range", "bytes=0-9"}}, ""),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3SignatureTest, PutObject) {
  EXPECT_THAT(S3Signature("PUT", UriEncode("/test$file.text", true), {},
                          {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                          "Welcome to Amazon S3."),
              EndsWith("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(S3SignatureTest, GetBucketLifecycle) {
  EXPECT_THAT(S3Signature("GET", "/", {{"lifecycle", ""}}, {}, ""),
              EndsWith("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(S3SignatureTest, ListObjects) {
  EXPECT_THAT(S3Signature("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, ""),
              EndsWith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(S3SignatureTest, EncodesAsSigned) {
  EXPECT_EQ(UriEncode("a/b c~_-.\xff", true), "a/b%20c~_-.%FF");
  EXPECT_EQ(UriEncode("a/b", false), "a%2Fb");
  EXPECT_EQ(CanonicalQuery({{"b", "2 /"}, {"a", ""}, {"A", "1"}}), "A=1&a=&b=2%20%2F");
  EXPECT_EQ(AmzDate(0), "19700101T000000Z");
}

}  // namespace
}  // namespace nashswarm::server
