// What an answer of an S3 server means: try again, or an error of ours.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
#ifndef NASHSWARM_SERVER_STORE_S3_S3_ERRORS_H_
#define NASHSWARM_SERVER_STORE_S3_S3_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"
#include "server/store/s3/http_pool.h"
#include "server/store/s3/s3_url.h"
#include "server/store/s3/s3_xml.h"

namespace nashswarm::server {

// Status 429, 500, 502, 503, 504 and the codes that say the same, also in a 200 answer.
bool IsWorthRetrying(int http_status, const S3Error& error);

// `what` is the request ("PUT sha256/ab/..."). NOT_FOUND / BLOB_NOT_FOUND for a missing object, NOT_FOUND /
// S3_NO_SUCH_UPLOAD, FAILED_PRECONDITION / S3_NO_SUCH_BUCKET, S3_WRONG_REGION and S3_PRECONDITION_FAILED, PERMISSION_DENIED / S3_ACCESS_DENIED,
// RESOURCE_EXHAUSTED / NO_SPACE, DATA_LOSS / DIGEST_MISMATCH and BLOB_TRUNCATED, UNAVAILABLE / S3_UNAVAILABLE, otherwise
// INTERNAL / S3_UNEXPECTED_ANSWER. The server's own words are quoted with every credential struck out.
absl::Status ErrorOf(std::string_view what, const HttpResponse& response, const S3Error& error,
                     const S3Credentials& credentials);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_ERRORS_H_
