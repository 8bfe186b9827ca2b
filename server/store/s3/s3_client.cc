#include "server/store/s3/s3_client.h"

#include <ctime>

#include "absl/strings/numbers.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/store/s3/s3_call.h"
#include "server/store/s3/s3_errors.h"

namespace nashswarm::server {
namespace {

// Seconds, or an HTTP date, which nobody sends here.
std::optional<std::chrono::milliseconds> RetryAfter(const HttpResponse& response) {
  const auto header = response.headers.find("retry-after");
  int64_t seconds = 0;
  if (header == response.headers.end() || !absl::SimpleAtoi(header->second, &seconds) || seconds < 0 ||
      seconds > 86400) {
    return std::nullopt;
  }
  return std::chrono::milliseconds(seconds * 1000);
}

HttpPool::Options PoolOptions(const S3Client::Options& options) {
  return {options.location.ca_file, options.location.is_loopback, options.connect_timeout};
}

}  // namespace

std::string S3Payload::Digest() const {
  return sha256.empty() ? Sha256Of({bytes.data(), bytes.size()}) : sha256;
}

S3Client::S3Client(Options options) : options_(std::move(options)), pool_(PoolOptions(options_)) {
  if (!options_.unix_seconds) options_.unix_seconds = [] { return static_cast<int64_t>(std::time(nullptr)); };
}

HttpRequest S3Client::Prepare(const Call& call) const {
  const S3Location& at = options_.location;
  const std::string host = at.path_style ? at.host : absl::StrCat(at.bucket, ".", at.host);
  RequestToSign sign;
  sign.method = call.method;
  sign.encoded_path = at.path_style ? absl::StrCat("/", at.bucket, call.key.empty() ? "" : "/", UriEncode(call.key, true))
                                    : absl::StrCat("/", UriEncode(call.key, true));
  sign.query = call.query;
  sign.payload_sha256_hex = ToHex(call.payload.sha256);
  const std::string date = AmzDate(options_.unix_seconds());
  sign.headers = call.headers;
  sign.headers.emplace_back("host", host);
  sign.headers.emplace_back("x-amz-content-sha256", sign.payload_sha256_hex);
  sign.headers.emplace_back("x-amz-date", date);
  if (call.sink) sign.headers.emplace_back("range", RangeOf(call.begin, call.end));
  if (!options_.credentials.session_token.empty()) {
    sign.headers.emplace_back("x-amz-security-token", options_.credentials.session_token);
  }

  HttpRequest request;
  request.method = call.method;
  const std::string query = CanonicalQuery(call.query);
  request.url = absl::StrCat(at.scheme, "://", host, sign.encoded_path, query.empty() ? "" : "?", query);
  for (const auto& [name, value] : sign.headers) request.headers.push_back(absl::StrCat(name, ": ", value));
  request.headers.push_back(
      absl::StrCat("authorization: ", Authorization(sign, options_.credentials, date, at.region)));
  request.body = call.payload.bytes;
  request.file = call.payload.file;
  request.file_offset = call.payload.file_offset;
  request.file_size = call.payload.file_size;
  request.silence = call.silence.count() > 0 ? call.silence : options_.silence;
  return request;
}

absl::Status S3Client::Attempt(const Call& call, HttpResponse* response, bool* retry) {
  const std::string what = absl::StrCat(call.method, " ", call.key.empty() ? options_.location.bucket : call.key);
  HttpRequest request = Prepare(call);
  int64_t left = call.end - call.begin;
  if (call.sink) {
    request.sink = [&](absl::Span<const char> bytes) {
      const auto range = response->headers.find("content-range");
      // Whoever ignores the range would be believed to send other bytes than it sends.
      if (response->status != 206 || range == response->headers.end() ||
          !range->second.starts_with(absl::StrCat("bytes ", call.begin, "-")) ||
          static_cast<int64_t>(bytes.size()) > left) {
        return MakeError(absl::StatusCode::kInternal, "S3_UNEXPECTED_ANSWER",
                         absl::StrCat("S3 ", what, ": the answer is not the range that was asked for"));
      }
      left -= static_cast<int64_t>(bytes.size());
      return call.sink(bytes);
    };
  }
  absl::Status status;
  const HttpOutcome outcome = pool_.Exchange(request, response, &status);
  *retry = outcome == HttpOutcome::kUnreachable;
  if (outcome == HttpOutcome::kRefused) return status;
  if (outcome == HttpOutcome::kUnreachable) return Annotate(status, what);

  S3Error error;
  if (response->status / 100 != 2) {
    error = ParseS3Error(response->body);
    *retry = IsWorthRetrying(response->status, error);
    return ErrorOf(what, *response, error, options_.credentials);
  }
  if (call.result_root != nullptr) {
    error = ParseS3Error(response->body);
    if (!error.code.empty()) {
      *retry = IsWorthRetrying(response->status, error);
      // The status that the server would have sent, had it known in time.
      HttpResponse as_error = *response;
      as_error.status = error.code.starts_with("NoSuch") ? 404 : error.code == "AccessDenied" ? 403 : 400;
      return ErrorOf(what, as_error, error, options_.credentials);
    }
  }
  if (call.sink && left > 0) {
    return MakeError(absl::StatusCode::kDataLoss, "BLOB_TRUNCATED",
                     absl::StrCat("S3 ", what, ": ends at byte ", call.end - left, " of ", call.end),
                     "the store lost data: delete the model or artifact and create it again");
  }
  return absl::OkStatus();
}

absl::StatusOr<HttpResponse> S3Client::Run(Call call) {
  call.payload.sha256 = call.payload.Digest();  // once for all attempts
  Backoff backoff(options_.retry);
  for (;;) {
    HttpResponse response;
    bool retry = false;
    const absl::Status status = Attempt(call, &response, &retry);
    if (status.ok()) return response;
    if (!retry) return status;
    if (response.sunk_bytes > 0) {
      call.begin += response.sunk_bytes;
      backoff.Progress();
      if (call.begin == call.end) return response;  // it broke after the last byte
    }
    if (!backoff.Wait(RetryAfter(response))) {
      return MakeError(absl::StatusCode::kUnavailable, "S3_UNAVAILABLE",
                       absl::StrCat(status.message(), " (gave up after attempt ", backoff.attempts(), ")"),
                       "check that the endpoint is up and reachable, and try again");
    }
  }
}

absl::Status S3Client::PutObject(const std::string& key, const S3Payload& payload) {
  Call call{"PUT", key};
  call.payload = payload;
  call.payload.sha256 = payload.Digest();
  call.headers = {{"x-amz-meta-sha256", ToHex(call.payload.sha256)}};
  return Run(std::move(call)).status();
}

absl::StatusOr<int64_t> S3Client::HeadObject(const std::string& key) {
  NS_ASSIGN_OR_RETURN(const State state, StatObject(key));
  return state.size_bytes;
}

absl::StatusOr<S3Client::State> S3Client::StatObject(const std::string& key) {
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run({"HEAD", key}));
  const auto length = response.headers.find("content-length");
  State state;
  if (length == response.headers.end() || !absl::SimpleAtoi(length->second, &state.size_bytes) ||
      state.size_bytes < 0) {
    return MakeError(absl::StatusCode::kInternal, "S3_UNEXPECTED_ANSWER",
                     absl::StrCat("S3 HEAD ", key, ": the answer has no size"));
  }
  if (const auto etag = response.headers.find("etag"); etag != response.headers.end()) state.etag = etag->second;
  if (const auto time = response.headers.find("last-modified"); time != response.headers.end()) state.last_modified = time->second;
  return state;
}

absl::Status S3Client::GetObject(const std::string& key, int64_t offset, int64_t size, const ByteSink& sink,
                                 std::string* sha256_hex) {
  if (size == 0) return absl::OkStatus();
  Call call{"GET", key};
  call.sink = sink;
  call.begin = offset;
  call.end = offset + size;
  NS_ASSIGN_OR_RETURN(HttpResponse response, Run(std::move(call)));
  if (sha256_hex != nullptr) *sha256_hex = response.headers["x-amz-meta-sha256"];
  return absl::OkStatus();
}

absl::Status S3Client::DeleteObject(const std::string& key) {
  const absl::Status status = Run({"DELETE", key}).status();
  return ReasonOf(status) == "BLOB_NOT_FOUND" ? absl::OkStatus() : status;
}

absl::Status S3Client::CopyObject(const std::string& key, const std::string& source, const std::string& etag) {
  Call call{"PUT", key};
  call.headers = {{"x-amz-copy-source", UriEncode(absl::StrCat("/", options_.location.bucket, "/", source), true)}};
  if (!etag.empty()) call.headers.emplace_back(kCopySourceIfMatch, etag);
  call.result_root = "CopyObjectResult";
  call.silence = kSilenceOfCopies;
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
  return ParseField(response.body, "CopyObjectResult", "ETag").status();
}

absl::StatusOr<S3Listing> S3Client::ListPage(const ListRequest& request) {
  Call call{"GET", ""};
  call.query = {{"list-type", "2"}, {"prefix", request.prefix}, {"max-keys", absl::StrCat(request.max_keys)}};
  if (!request.delimiter.empty()) call.query.emplace_back("delimiter", request.delimiter);
  if (!request.continuation.empty()) call.query.emplace_back("continuation-token", request.continuation);
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
  return ParseListing(response.body);
}

absl::StatusOr<S3Listing> S3Client::ListAll(const std::string& prefix, const std::string& delimiter) {
  S3Listing all;
  ListRequest request{prefix, delimiter};
  do {
    NS_ASSIGN_OR_RETURN(S3Listing page, ListPage(request));
    all.objects.insert(all.objects.end(), page.objects.begin(), page.objects.end());
    all.common_prefixes.insert(all.common_prefixes.end(), page.common_prefixes.begin(), page.common_prefixes.end());
    request.continuation = std::move(page.continuation);
  } while (!request.continuation.empty());
  return all;
}

}  // namespace nashswarm::server
