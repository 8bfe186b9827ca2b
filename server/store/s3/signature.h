// AWS Signature Version 4 in the Authorization header.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
#ifndef NASHSWARM_SERVER_STORE_S3_SIGNATURE_H_
#define NASHSWARM_SERVER_STORE_S3_SIGNATURE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/store/s3/s3_url.h"

namespace nashswarm::server {

using NameValues = std::vector<std::pair<std::string, std::string>>;

// Everything but the unreserved [A-Za-z0-9-._~] as %XX.
std::string UriEncode(std::string_view text, bool keep_slashes);
// "a=1&b=" sorted by encoded name and value: what is signed and, byte for byte, what must be sent.
std::string CanonicalQuery(const NameValues& query);
// "20130524T000000Z"
std::string AmzDate(int64_t unix_seconds);

struct RequestToSign {
  std::string method;
  std::string encoded_path;  // "/bucket/key", encoded as it is sent
  NameValues query;          // not encoded
  NameValues headers;        // every header to sign, with host and x-amz-date; names in lower case
  std::string payload_sha256_hex;
};

// The value of the Authorization header.
std::string Authorization(const RequestToSign& request, const S3Credentials& credentials, std::string_view amz_date,
                          std::string_view region, std::string_view service = "s3");

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_SIGNATURE_H_
