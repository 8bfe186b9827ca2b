// The few XML documents of the S3 API that we read and write. Pure functions.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html
#ifndef NASHSWARM_SERVER_STORE_S3_S3_XML_H_
#define NASHSWARM_SERVER_STORE_S3_S3_XML_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::server {

struct S3Error {
  std::string code, message;  // empty when the document is not an <Error>
};

struct S3Object {
  std::string key;
  int64_t size_bytes = 0;
};

struct S3Listing {
  std::vector<S3Object> objects;
  std::vector<std::string> common_prefixes;
  std::string continuation;  // "": the last page
};

struct S3Upload {
  std::string key, upload_id;
  int64_t initiated_unix_seconds = 0;
};

struct S3UploadListing {
  std::vector<S3Upload> uploads;
  std::string next_key, next_upload_id;  // both "": the last page
};

struct S3Part {
  int number = 0;  // from 1
  std::string etag;
};

// Errors of all others: INTERNAL / S3_UNEXPECTED_ANSWER.
S3Error ParseS3Error(std::string_view xml);
absl::StatusOr<S3Listing> ParseListing(std::string_view xml);
absl::StatusOr<S3UploadListing> ParseUploadListing(std::string_view xml);
// The text of child `field` of the document, whose root must be `root`; an empty one is an error.
absl::StatusOr<std::string> ParseField(std::string_view xml, const char* root, const char* field);
std::string CompleteMultipartXml(const std::vector<S3Part>& parts);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_XML_H_
