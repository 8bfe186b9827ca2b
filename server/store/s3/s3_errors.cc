#include "server/store/s3/s3_errors.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/str_replace.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

using absl::StatusCode;

template <size_t kCount>
bool IsOneOf(std::string_view code, const char* const (&codes)[kCount]) {
  return std::find(std::begin(codes), std::end(codes), code) != std::end(codes);
}

constexpr const char* kPassing[] = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling",
                                    "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"};
constexpr const char* kFull[] = {"QuotaExceeded", "QuotaExceededException", "ServiceQuotaExceededException",
                                 "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"};
constexpr const char* kDigest[] = {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
                                   "InvalidDigest"};
constexpr const char* kRegion[] = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
                                   "IllegalLocationConstraintException"};

std::string_view AccessHint(std::string_view code) {
  if (code == "RequestTimeTooSkewed") return "this machine's clock is off: set it (NTP) and try again";
  if (code == "SignatureDoesNotMatch") return "check the secret access key, and that nothing between rewrites requests";
  if (code == "InvalidAccessKeyId") return "check the access key id";
  if (code == "ExpiredToken") return "the session token has run out: get a new one";
  return "check the credentials, and that they may get, put, list and delete objects of this bucket";
}

// What the server says, short, and without anything that came from the credentials.
std::string Quoted(const S3Error& error, const S3Credentials& credentials) {
  std::string text = absl::StrCat(error.code, error.message.empty() ? "" : ": ", error.message);
  for (const std::string& secret : {credentials.secret_key, credentials.session_token, credentials.access_key}) {
    if (!secret.empty()) text = absl::StrReplaceAll(text, {{secret, "***"}});
  }
  if (text.size() > 300) text = text.substr(0, 300) + "...";
  return text;
}

absl::Status Refused(int status, std::string_view code, const HttpResponse& response, std::string_view message) {
  if (status == 507 || IsOneOf(code, kFull)) {
    return MakeError(StatusCode::kResourceExhausted, "NO_SPACE", message, "free space in the bucket or raise its quota");
  }
  if (IsOneOf(code, kDigest)) {
    return MakeError(StatusCode::kDataLoss, "DIGEST_MISMATCH", message, "bytes changed on the way: try again");
  }
  if (code == "NoSuchBucket") {
    return MakeError(StatusCode::kFailedPrecondition, "S3_NO_SUCH_BUCKET", message, "create the bucket first");
  }
  if (code == "NoSuchUpload") return MakeError(StatusCode::kNotFound, "S3_NO_SUCH_UPLOAD", message);
  if (status / 100 == 3 || IsOneOf(code, kRegion)) {
    const auto region = response.headers.find("x-amz-bucket-region");
    return MakeError(StatusCode::kFailedPrecondition, "S3_WRONG_REGION", message,
                     region == response.headers.end() ? std::string("set region in the URL to the bucket's")
                                                      : absl::StrCat("set region=", region->second, " in the URL"));
  }
  if (status == 404) return MakeError(StatusCode::kNotFound, "BLOB_NOT_FOUND", message);
  if (status == 412) return MakeError(StatusCode::kFailedPrecondition, "S3_PRECONDITION_FAILED", message);
  if (status == 416) {
    return MakeError(StatusCode::kDataLoss, "BLOB_TRUNCATED", message,
                     "the store lost data: delete the model or artifact and create it again");
  }
  if (status == 401 || status == 403) {
    return MakeError(StatusCode::kPermissionDenied, "S3_ACCESS_DENIED", message, AccessHint(code));
  }
  return MakeError(StatusCode::kInternal, "S3_UNEXPECTED_ANSWER", message, "check that the endpoint speaks the S3 API");
}

}  // namespace

bool IsWorthRetrying(int http_status, const S3Error& error) {
  for (const int status : {429, 500, 502, 503, 504}) {
    if (http_status == status) return true;
  }
  return IsOneOf(error.code, kPassing);
}

absl::Status ErrorOf(std::string_view what, const HttpResponse& response, const S3Error& error,
                     const S3Credentials& credentials) {
  std::string message = absl::StrCat("S3 ", ToAbsl(what), ": HTTP ", response.status);
  if (!error.code.empty()) absl::StrAppend(&message, " ", Quoted(error, credentials));
  if (IsWorthRetrying(response.status, error)) {
    return MakeError(StatusCode::kUnavailable, "S3_UNAVAILABLE", message);
  }
  return Refused(response.status, error.code, response, message);
}

}  // namespace nashswarm::server
