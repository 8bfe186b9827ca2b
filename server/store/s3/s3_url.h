// Where blobs are kept in S3, as the user writes it, and the keys to it, which never stand in the same place.
//
//   s3://bucket[/prefix]?endpoint=https://host:port&region=eu-central-1&path_style=true&ca_file=/etc/ca.pem&insecure=true
//
// Without `endpoint` the bucket is on AWS and is addressed by host name; with it, by path, unless path_style=false.
// Bucket names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
#ifndef NASHSWARM_SERVER_STORE_S3_S3_URL_H_
#define NASHSWARM_SERVER_STORE_S3_S3_URL_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nashswarm::server {

struct S3Location {
  std::string scheme = "https";
  std::string host;  // with ":port" when it is not the scheme's own; without the bucket
  std::string bucket;
  std::string prefix;  // "" or ends with '/'; only [A-Za-z0-9._/-], so it needs no escaping anywhere
  std::string region = "us-east-1";
  bool path_style = false;
  bool is_loopback = false;  // `host` is this machine
  std::string ca_file;  // "": the system's
};

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // "": none
};

// INVALID_ARGUMENT / BAD_S3_URL; the message never repeats what could be a credential. Plain http to a host that is not
// this one is refused unless the URL says insecure=true: contents would travel readable.
absl::StatusOr<S3Location> ParseS3Url(std::string_view url);

using Environment = std::function<std::optional<std::string>(const char*)>;
// getenv; an empty value counts as absent.
std::optional<std::string> ProcessEnvironment(const char* name);

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; otherwise profile AWS_PROFILE (or "default") of the
// file AWS_SHARED_CREDENTIALS_FILE (or ~/.aws/credentials). UNAUTHENTICATED / S3_NO_CREDENTIALS.
// Format: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
absl::StatusOr<S3Credentials> LoadS3Credentials(const Environment& environment = ProcessEnvironment);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_URL_H_
