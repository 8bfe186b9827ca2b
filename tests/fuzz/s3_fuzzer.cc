// What an S3 server answers, and what a user writes for one. The first byte says which:
//   e an error, l a listing, u a listing of uploads, f a field of another document, s an s3:// URL, c a file of credentials
#include <cstdlib>
#include <string>

#include "core/base/file.h"
#include "server/store/s3/s3_url.h"
#include "server/store/s3/s3_xml.h"
#include "tests/support/files.h"

namespace {

using namespace nashswarm;
using namespace nashswarm::server;

void Require(bool condition) {
  if (!condition) std::abort();
}

void TryListing(std::string_view xml) {
  const auto listing = ParseListing(xml);
  if (!listing.ok()) return;
  for (const S3Object& object : listing->objects) Require(!object.key.empty() && object.size_bytes >= 0);
}

void TryUploads(std::string_view xml) {
  const auto listing = ParseUploadListing(xml);
  if (!listing.ok()) return;
  // Every one of them can be aborted: a request needs both. An empty key would name the bucket.
  for (const S3Upload& upload : listing->uploads) Require(!upload.key.empty() && !upload.upload_id.empty());
}

void TryUrl(std::string_view url) {
  const auto location = ParseS3Url(url);
  if (!location.ok()) {
    Require(location.status().message().find("hunter2") == absl::string_view::npos);  // a seed's secret
    return;
  }
  Require(location->bucket.size() >= 3 && location->bucket.find('/') == std::string::npos);
  Require(!location->host.empty() && location->host.find_first_of("/@?# \r\n") == std::string::npos);
  Require(location->region.find_first_of("/?& \r\n") == std::string::npos);
  if (location->prefix.empty()) return;
  Require(location->prefix.back() == '/');
  Require(ValidateRelativePath(std::string_view(location->prefix).substr(0, location->prefix.size() - 1)).ok());
}

void TryCredentials(std::string_view text) {
  static const TemporaryDirectory directory = testing::MakeTemporaryDirectory();
  const std::string path = JoinPath(directory.path(), "credentials");
  testing::WriteTestFile(path, text);
  const auto environment = [&](const char* name) -> std::optional<std::string> {
    return std::string_view(name) == "AWS_SHARED_CREDENTIALS_FILE" ? std::optional(path) : std::nullopt;
  };
  const auto credentials = LoadS3Credentials(environment);
  if (credentials.ok()) Require(!credentials->access_key.empty() && !credentials->secret_key.empty());
  // They stand in headers: a line break would begin another.
  if (credentials.ok()) {
    for (const std::string& part : {credentials->access_key, credentials->secret_key, credentials->session_token}) {
      Require(part.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'e': (void)ParseS3Error(input); break;
    case 'l': TryListing(input); break;
    case 'u': TryUploads(input); break;
    case 'f': (void)ParseField(input, "InitiateMultipartUploadResult", "UploadId"); break;
    case 's': TryUrl(input); break;
    case 'c': TryCredentials(input); break;
    default: break;
  }
  return 0;
}
