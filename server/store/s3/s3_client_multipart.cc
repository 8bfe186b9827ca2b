// S3Client: objects that are sent or copied in parts.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
#include "core/base/status.h"
#include "server/store/s3/s3_call.h"
#include "server/store/s3/s3_client.h"

namespace nashswarm::server {

absl::StatusOr<std::string> S3Client::CreateMultipartUpload(const std::string& key) {
  Call call{"POST", key};
  call.query = {{"uploads", ""}};
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
  return ParseField(response.body, "InitiateMultipartUploadResult", "UploadId");
}

absl::StatusOr<S3Part> S3Client::UploadPart(const std::string& key, const std::string& upload, int number,
                                            const S3Payload& payload) {
  Call call{"PUT", key};
  call.query = {{"partNumber", absl::StrCat(number)}, {"uploadId", upload}};
  call.payload = payload;
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
  const auto etag = response.headers.find("etag");
  if (etag == response.headers.end()) {
    return MakeError(absl::StatusCode::kInternal, "S3_UNEXPECTED_ANSWER",
                     absl::StrCat("S3 PUT ", key, ": the answer has no ETag"));
  }
  return S3Part{number, etag->second};
}

absl::StatusOr<S3Part> S3Client::UploadPartCopy(const std::string& key, const std::string& upload, int number,
                                                const std::string& source, int64_t offset, int64_t size,
                                                const std::string& etag) {
  Call call{"PUT", key};
  call.query = {{"partNumber", absl::StrCat(number)}, {"uploadId", upload}};
  call.headers = {{"x-amz-copy-source", UriEncode(absl::StrCat("/", options_.location.bucket, "/", source), true)},
                  {"x-amz-copy-source-range", RangeOf(offset, offset + size)}};
  if (!etag.empty()) call.headers.emplace_back(kCopySourceIfMatch, etag);
  call.result_root = "CopyPartResult";
  call.silence = kSilenceOfCopies;
  NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
  NS_ASSIGN_OR_RETURN(std::string copied, ParseField(response.body, "CopyPartResult", "ETag"));
  return S3Part{number, std::move(copied)};
}

absl::Status S3Client::CompleteMultipartUpload(const std::string& key, const std::string& upload,
                                               const std::vector<S3Part>& parts) {
  const std::string xml = CompleteMultipartXml(parts);
  Call call{"POST", key};
  call.query = {{"uploadId", upload}};
  call.payload = S3Payload::Of(absl::MakeConstSpan(xml.data(), xml.size()));
  call.result_root = "CompleteMultipartUploadResult";
  call.silence = kSilenceOfCopies;
  const auto response = Run(std::move(call));
  if (ReasonOf(response.status()) == "S3_NO_SUCH_UPLOAD" && HeadObject(key).ok()) return absl::OkStatus();
  NS_RETURN_IF_ERROR(response.status());
  return ParseField(response->body, "CompleteMultipartUploadResult", "ETag").status();
}

absl::Status S3Client::AbortMultipartUpload(const std::string& key, const std::string& upload) {
  Call call{"DELETE", key};
  call.query = {{"uploadId", upload}};
  const absl::Status status = Run(std::move(call)).status();
  return ReasonOf(status) == "S3_NO_SUCH_UPLOAD" ? absl::OkStatus() : status;
}

absl::StatusOr<std::vector<S3Upload>> S3Client::ListMultipartUploads(const std::string& prefix) {
  std::vector<S3Upload> all;
  S3UploadListing page;
  do {
    Call call{"GET", ""};
    call.query = {{"uploads", ""}, {"prefix", prefix}};
    if (!page.next_key.empty()) {
      call.query.emplace_back("key-marker", page.next_key);
      call.query.emplace_back("upload-id-marker", page.next_upload_id);
    }
    NS_ASSIGN_OR_RETURN(const HttpResponse response, Run(std::move(call)));
    NS_ASSIGN_OR_RETURN(page, ParseUploadListing(response.body));
    all.insert(all.end(), page.uploads.begin(), page.uploads.end());
  } while (!page.next_key.empty());
  return all;
}

}  // namespace nashswarm::server
