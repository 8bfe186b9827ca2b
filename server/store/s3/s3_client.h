// A client for the part of the S3 API that a blob store needs. Any thread; every request is signed, and tried again
// while that is worth it (retry.h). Keys are whole keys, of [A-Za-z0-9._/-]. Errors: s3_errors.h, s3_xml.h, http_pool.h.
#ifndef NASHSWARM_SERVER_STORE_S3_S3_CLIENT_H_
#define NASHSWARM_SERVER_STORE_S3_S3_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/store/s3/http_pool.h"
#include "server/store/s3/retry.h"
#include "server/store/s3/s3_url.h"
#include "server/store/s3/s3_xml.h"
#include "server/store/s3/signature.h"

namespace nashswarm::server {

// Bytes to send, borrowed, and their SHA-256: the signature covers it, so a server that got other bytes refuses them.
struct S3Payload {
  absl::Span<const char> bytes;
  int file = -1;  // when >= 0: `file_size` bytes of this file instead
  int64_t file_offset = 0, file_size = 0;
  std::string sha256;  // 32 raw bytes; "": computed from `bytes`

  static S3Payload Of(absl::Span<const char> bytes) { return {bytes}; }
  // Raw: `sha256`, or computed.
  std::string Digest() const;
};

class S3Client {
 public:
  struct Options {
    S3Location location;
    S3Credentials credentials;
    RetryPolicy retry;
    std::chrono::milliseconds connect_timeout{10000};
    std::chrono::seconds silence{60};
    std::function<int64_t()> unix_seconds;  // for tests; default: the system clock
  };
  explicit S3Client(Options options);

  const S3Location& location() const { return options_.location; }

  // The object remembers the payload's SHA-256 as its metadata `sha256`.
  absl::Status PutObject(const std::string& key, const S3Payload& payload);
  absl::StatusOr<int64_t> HeadObject(const std::string& key);  // its size in bytes
  // The same, and what names this very content of the object: the server gives another one to whatever takes its place.
  struct State {
    int64_t size_bytes = 0;
    std::string etag;           // "" when the server tells none
    std::string last_modified;  // as the server writes it; tells apart two that were put with the same bytes

    bool operator==(const State&) const = default;
  };
  absl::StatusOr<State> StatObject(const std::string& key);
  // Streams exactly `size` bytes from `offset` through `sink`; a broken transfer goes on where it broke, so the sink
  // sees every byte once. An object that ends earlier is DATA_LOSS / BLOB_TRUNCATED.
  // `sha256_hex`, when given, gets what PutObject remembered, or "".
  absl::Status GetObject(const std::string& key, int64_t offset, int64_t size, const ByteSink& sink,
                         std::string* sha256_hex = nullptr);
  absl::Status DeleteObject(const std::string& key);  // ok when absent
  // Server side; at most 5 GiB. With an `etag` only while it is the source's: FAILED_PRECONDITION / S3_PRECONDITION_FAILED.
  absl::Status CopyObject(const std::string& key, const std::string& source, const std::string& etag = {});

  struct ListRequest {
    std::string prefix, delimiter, continuation;
    int max_keys = 1000;
  };
  absl::StatusOr<S3Listing> ListPage(const ListRequest& request);
  absl::StatusOr<S3Listing> ListAll(const std::string& prefix, const std::string& delimiter = {});

  absl::StatusOr<std::string> CreateMultipartUpload(const std::string& key);
  absl::StatusOr<S3Part> UploadPart(const std::string& key, const std::string& upload, int number,
                                    const S3Payload& payload);
  absl::StatusOr<S3Part> UploadPartCopy(const std::string& key, const std::string& upload, int number,
                                        const std::string& source, int64_t offset, int64_t size,
                                        const std::string& etag = {});  // as in CopyObject
  // ok too when the upload is gone but the object is there: the answer to an earlier attempt may have been lost.
  absl::Status CompleteMultipartUpload(const std::string& key, const std::string& upload,
                                       const std::vector<S3Part>& parts);
  absl::Status AbortMultipartUpload(const std::string& key, const std::string& upload);  // ok when absent
  absl::StatusOr<std::vector<S3Upload>> ListMultipartUploads(const std::string& prefix);

 private:
  struct Call;
  absl::StatusOr<HttpResponse> Run(Call call);
  HttpRequest Prepare(const Call& call) const;
  // The same exchange once. ok: `*response` is a good answer. Otherwise `*retry` says whether trying again may help.
  absl::Status Attempt(const Call& call, HttpResponse* response, bool* retry);

  Options options_;
  HttpPool pool_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_CLIENT_H_
