// The S3 client against a server that answers what the test tells it to.
#include "server/store/s3/s3_client.h"

#include "absl/strings/match.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/s3_fake_server.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "the-secret-key", kToken[] = "the-session-token";

// Sleeps move the clock and are written down; the jitter is always the largest there is.
struct FakeTime {
  milliseconds now{0};
  std::vector<int64_t> sleeps;

  RetryPolicy Policy() {
    RetryPolicy policy;
    policy.sleep = [this](milliseconds time) {
      sleeps.push_back(time.count());
      now += time;
    };
    policy.now = [this] { return now; };
    policy.random = [] { return 1.0; };
    return policy;
  }
};

class S3ClientTest : public ::testing::Test {
 protected:
  using Answer = FakeHttpServer::Answer;
  static Answer Of(int status, const std::string& body = {}, const std::string& headers = {}) {
    return FakeHttpServer::Of(status, body, headers);
  }
  static Answer Range(int64_t begin, const std::string& bytes) {
    return Of(206, bytes, absl::StrCat("Content-Range: bytes ", begin, "-", begin + bytes.size() - 1, "/*\r\n"));
  }
  static Answer Error(int status, const std::string& code, const std::string& headers = {}) {
    return Of(status, absl::StrCat("<?xml version='1.0'?><Error><Code>", code, "</Code><Message>m</Message></Error>"),
              headers);
  }
  S3Client& Client(std::vector<Answer> script) {
    server_ = std::make_unique<FakeHttpServer>(std::move(script));
    return ClientOf(server_->port());
  }
  S3Client& ClientOf(int port) {
    S3Client::Options options;
    options.location = Must(ParseS3Url(absl::StrCat("s3://bucket?endpoint=http://127.0.0.1:", port)));
    options.credentials = {"the-access-key", kSecret, kToken};
    options.retry = time_.Policy();
    options.unix_seconds = [] { return int64_t{1369353600}; };
    client_ = std::make_unique<S3Client>(options);
    return *client_;
  }
  absl::StatusOr<std::string> Get(S3Client& client, int64_t offset, int64_t size) {
    std::string seen;
    const absl::Status status = client.GetObject("k", offset, size, [&](absl::Span<const char> bytes) {
      seen.append(bytes.data(), bytes.size());
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return seen;
  }
  static S3Payload Payload(const std::string& bytes) {
    return S3Payload::Of(absl::MakeConstSpan(bytes.data(), bytes.size()));
  }

  FakeTime time_;
  std::unique_ptr<FakeHttpServer> server_;
  std::unique_ptr<S3Client> client_;
};

TEST_F(S3ClientTest, SignsWhatItSends) {
  const std::string body = "hello";
  ASSERT_TRUE(Client({Of(200)}).PutObject("a/b", Payload(body)).ok());
  const std::string request = server_->requests().at(0);
  EXPECT_TRUE(request.starts_with("PUT /bucket/a/b HTTP/1.1\r\n")) << request;
  EXPECT_TRUE(request.ends_with("\r\n\r\nhello")) << request;
  EXPECT_THAT(request, HasSubstr("x-amz-content-sha256: " + ToHex(Sha256Of(body)) + "\r\n"));
  EXPECT_THAT(request, HasSubstr("x-amz-date: 20130524T000000Z\r\n"));
  EXPECT_THAT(request, HasSubstr("Credential=the-access-key/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;"
                                 "x-amz-content-sha256;x-amz-date;x-amz-meta-sha256;x-amz-security-token,Signature="));
  EXPECT_THAT(request, Not(HasSubstr(kSecret)));
}

TEST_F(S3ClientTest, TriesAgainWithBackoffThatDoublesUpToACap) {
  std::vector<Answer> script(9, Of(500));
  script.push_back(Of(200));
  ASSERT_TRUE(Client(script).PutObject("k", Payload("x")).ok());
  EXPECT_THAT(time_.sleeps, ElementsAre(100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000));
}

TEST_F(S3ClientTest, JitterIsFull) {
  FakeTime time;
  RetryPolicy policy = time.Policy();
  policy.random = [] { return 0.0; };
  Backoff none(policy);
  EXPECT_TRUE(none.Wait(std::nullopt));
  policy.random = nullptr;
  int64_t smallest = 1000, largest = 0;
  for (int i = 0; i < 200; ++i) {
    Backoff backoff(policy);
    ASSERT_TRUE(backoff.Wait(std::nullopt));
    smallest = std::min(smallest, time.sleeps.back());
    largest = std::max(largest, time.sleeps.back());
  }
  EXPECT_EQ(time.sleeps.front(), 0);
  EXPECT_LT(smallest, 20);
  EXPECT_GT(largest, 80);
  EXPECT_LT(largest, 100);
}

TEST_F(S3ClientTest, GivesUpAfterTheLastAttempt) {
  const absl::Status status = Client(std::vector<Answer>(20, Of(503))).PutObject("k", Payload("x"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), "S3_UNAVAILABLE");
  EXPECT_EQ(server_->requests().size(), 10u);
}

TEST_F(S3ClientTest, GivesUpWhenTheTimeIsOver) {
  // 50 s twice fit into two minutes, a third time does not.
  const absl::Status status =
      Client(std::vector<Answer>(20, Error(503, "SlowDown", "Retry-After: 50\r\n"))).PutObject("k", Payload("x"));
  EXPECT_EQ(ReasonOf(status), "S3_UNAVAILABLE");
  EXPECT_THAT(time_.sleeps, ElementsAre(50000, 50000));
}

TEST_F(S3ClientTest, WaitsAsLongAsTheServerAsks) {
  ASSERT_TRUE(Client({Of(429, "", "Retry-After: 7\r\n"), Of(503, "", "Retry-After: nonsense\r\n"), Of(200)})
                  .PutObject("k", Payload("x"))
                  .ok());
  EXPECT_THAT(time_.sleeps, ElementsAre(7000, 200));
}

TEST_F(S3ClientTest, TriesAgainForPassingCodesOnly) {
  EXPECT_TRUE(Client({Error(400, "RequestTimeout"), Error(403, "SlowDown"), Of(200)}).PutObject("k", Payload("x")).ok());
  for (const int status : {400, 403, 404, 409, 412, 501, 507}) {
    EXPECT_FALSE(Client({Of(status), Of(200)}).PutObject("k", Payload("x")).ok()) << status;
    EXPECT_EQ(server_->requests().size(), 1u) << status;
  }
}

TEST_F(S3ClientTest, SaysWhatIsWrong) {
  const auto reason = [&](int status, const std::string& code) {
    return ReasonOf(Client({Error(status, code)}).PutObject("k", Payload("x")));
  };
  EXPECT_EQ(reason(403, "AccessDenied"), "S3_ACCESS_DENIED");
  EXPECT_EQ(reason(401, ""), "S3_ACCESS_DENIED");
  EXPECT_EQ(reason(404, "NoSuchKey"), "BLOB_NOT_FOUND");
  EXPECT_EQ(reason(404, "NoSuchBucket"), "S3_NO_SUCH_BUCKET");
  EXPECT_EQ(reason(403, "QuotaExceeded"), "NO_SPACE");
  EXPECT_EQ(reason(507, ""), "NO_SPACE");
  EXPECT_EQ(reason(400, "BadDigest"), "DIGEST_MISMATCH");
  EXPECT_EQ(reason(400, "XAmzContentSHA256Mismatch"), "DIGEST_MISMATCH");
  EXPECT_EQ(reason(301, "PermanentRedirect"), "S3_WRONG_REGION");
  EXPECT_EQ(reason(400, "MalformedXML"), "S3_UNEXPECTED_ANSWER");
  EXPECT_THAT(HintOf(Client({Error(403, "RequestTimeTooSkewed")}).PutObject("k", Payload("x"))), HasSubstr("clock"));
}

TEST_F(S3ClientTest, CredentialsAreStruckOutOfWhatTheServerSays) {
  const std::string echo = absl::StrCat("<Error><Code>AccessDenied</Code><Message>you are the-access-key with ", kSecret,
                                        " and ", kToken, "</Message></Error>");
  const absl::Status status = Client({Of(403, echo)}).PutObject("k", Payload("x"));
  EXPECT_THAT(status.ToString(), HasSubstr("you are *** with *** and ***"));
}

TEST_F(S3ClientTest, NoServerIsUnavailable) {
  int port;
  {
    const FakeHttpServer gone({});
    port = gone.port();
  }
  const absl::Status status = ClientOf(port).PutObject("k", Payload("x"));
  EXPECT_EQ(ReasonOf(status), "S3_UNAVAILABLE");
  EXPECT_EQ(time_.sleeps.size(), 9u) << "a refused connection may pass";
}

TEST_F(S3ClientTest, ABrokenDownloadGoesOnWhereItBroke) {
  Answer cut = Range(2, "cdefgh");
  cut.text.resize(cut.text.size() - 4);
  EXPECT_EQ(Must(Get(Client({cut, Of(503), Range(4, "efgh")}), 2, 6)), "cdefgh");
  EXPECT_THAT(server_->requests().at(0), HasSubstr("range: bytes=2-7\r\n"));
  EXPECT_THAT(server_->requests().at(2), HasSubstr("range: bytes=4-7\r\n"));
  EXPECT_THAT(time_.sleeps, ElementsAre(100, 200)) << "progress starts the waits over";
}

TEST_F(S3ClientTest, AShorterObjectIsDataLoss) {
  EXPECT_EQ(ReasonOf(Get(Client({Range(0, "abc")}), 0, 6).status()), "BLOB_TRUNCATED");
  EXPECT_EQ(ReasonOf(Get(Client({Error(416, "InvalidRange")}), 10, 6).status()), "BLOB_TRUNCATED");
  EXPECT_EQ(server_->requests().size(), 1u);
}

TEST_F(S3ClientTest, OtherBytesThanAskedForAreNotBelieved) {
  EXPECT_EQ(ReasonOf(Get(Client({Of(200, "abcdef")}), 2, 2).status()), "S3_UNEXPECTED_ANSWER") << "range ignored";
  EXPECT_EQ(ReasonOf(Get(Client({Range(0, "ab")}), 2, 2).status()), "S3_UNEXPECTED_ANSWER") << "another range";
  EXPECT_EQ(ReasonOf(Get(Client({Range(2, "cde")}), 2, 2).status()), "S3_UNEXPECTED_ANSWER") << "too much";
}

TEST_F(S3ClientTest, TheSinksErrorComesBackAtOnce) {
  const absl::Status status = Client({Range(0, "ab")}).GetObject("k", 0, 2, [](auto) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE", "disk");
  });
  EXPECT_EQ(ReasonOf(status), "NO_SPACE");
  EXPECT_EQ(server_->requests().size(), 1u);
}

constexpr char kCompleted[] = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";

TEST_F(S3ClientTest, AnErrorMayComeWithStatus200) {
  EXPECT_TRUE(Client({Error(200, "InternalError"), Of(200, kCompleted)}).CompleteMultipartUpload("k", "u", {{1, "e"}}).ok());
  EXPECT_EQ(server_->requests().size(), 2u);
  EXPECT_THAT(server_->requests().at(1), HasSubstr("<Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"));
  EXPECT_EQ(ReasonOf(Client({Error(200, "AccessDenied")}).CompleteMultipartUpload("k", "u", {})), "S3_ACCESS_DENIED");
  EXPECT_EQ(ReasonOf(Client({Of(200, "  ")}).CompleteMultipartUpload("k", "u", {})), "S3_UNEXPECTED_ANSWER");
  EXPECT_TRUE(Client({Error(200, "SlowDown"), Of(200, "<CopyPartResult><ETag>e</ETag></CopyPartResult>")})
                  .UploadPartCopy("k", "u", 3, "s", 5, 10)
                  .ok());
  EXPECT_THAT(server_->requests().at(0), HasSubstr("PUT /bucket/k?partNumber=3&uploadId=u HTTP/1.1"));
  EXPECT_THAT(server_->requests().at(0), HasSubstr("x-amz-copy-source-range: bytes=5-14\r\n"));
  EXPECT_EQ(ReasonOf(Client({Error(200, "NoSuchKey")}).CopyObject("k", "s")), "BLOB_NOT_FOUND");
}

TEST_F(S3ClientTest, ACompletionWhoseAnswerWasLostIsComplete) {
  EXPECT_TRUE(Client({Answer{""}, Error(404, "NoSuchUpload"), Of(200)}).CompleteMultipartUpload("k", "u", {}).ok());
  EXPECT_EQ(ReasonOf(Client({Error(404, "NoSuchUpload"), Of(404)}).CompleteMultipartUpload("k", "u", {})),
            "S3_NO_SUCH_UPLOAD");
}

TEST_F(S3ClientTest, ListingsGoOnWhereTheyWereCut) {
  const S3Listing all = Must(Client({Of(200, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t/1"
                                             "</NextContinuationToken><Contents><Key>p/a</Key><Size>1</Size></Contents>"
                                             "</ListBucketResult>"),
                                     Of(200, "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/b</Key>"
                                             "<Size>22</Size></Contents><CommonPrefixes><Prefix>p/c/</Prefix>"
                                             "</CommonPrefixes></ListBucketResult>")})
                                 .ListAll("p/", "/"));
  ASSERT_EQ(all.objects.size(), 2u);
  EXPECT_EQ(all.objects[1].size_bytes, 22);
  EXPECT_THAT(all.common_prefixes, ElementsAre("p/c/"));
  EXPECT_THAT(server_->requests().at(1),
              HasSubstr("GET /bucket?continuation-token=t%2F1&delimiter=%2F&list-type=2&max-keys=1000&prefix=p%2F HTTP"));
  for (const char* bad : {"", "<html/>", "<ListBucketResult>", "<ListBucketResult><Contents><Key>k</Key></Contents>"
                          "</ListBucketResult>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
    EXPECT_EQ(ReasonOf(Client({Of(200, bad)}).ListAll("p/").status()), "S3_UNEXPECTED_ANSWER") << bad;
  }
}

TEST_F(S3ClientTest, ConnectionsAreKept) {
  Answer kept{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false};  // of a HEAD
  S3Client& client = Client({kept, kept, Of(200)});
  // The server reads one connection until it ends, so a second one would wait for ever.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Must(client.HeadObject("k")), 3);
  EXPECT_TRUE(client.DeleteObject("k").ok());
}

}  // namespace
}  // namespace nashswarm::server
