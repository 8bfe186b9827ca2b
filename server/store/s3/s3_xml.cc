#include "server/store/s3/s3_xml.h"

#include <ctime>
#include <pugixml.hpp>
#include <sstream>

#include "absl/strings/numbers.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

absl::Status Unexpected(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, "S3_UNEXPECTED_ANSWER", absl::StrCat("S3: ", ToAbsl(what)),
                   "check that the endpoint speaks the S3 API");
}

// The root element, which must be `name`. pugixml neither follows nor expands entities of a DTD.
absl::StatusOr<pugi::xml_node> Root(pugi::xml_document* document, std::string_view xml, const char* name) {
  if (!document->load_buffer(xml.data(), xml.size())) return Unexpected("the answer is not XML");
  const pugi::xml_node root = document->document_element();
  if (std::string_view(root.name()) != name) {
    return Unexpected(absl::StrCat("the answer is <", std::string(root.name()).substr(0, 40), ">, not <", name, ">"));
  }
  return root;
}

// "2009-10-12T17:50:30.000Z"; 0 when it is something else.
int64_t UnixSeconds(const char* text) {
  struct tm parts = {};
  return strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) == nullptr ? 0 : static_cast<int64_t>(timegm(&parts));
}

}  // namespace

S3Error ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  const auto root = Root(&document, xml, "Error");
  if (!root.ok()) return {};
  return {root->child_value("Code"), root->child_value("Message")};
}

absl::StatusOr<S3Listing> ParseListing(std::string_view xml) {
  pugi::xml_document document;
  NS_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(&document, xml, "ListBucketResult"));
  S3Listing listing;
  for (const pugi::xml_node entry : root.children("Contents")) {
    S3Object object{entry.child_value("Key"), 0};
    if (object.key.empty() || !absl::SimpleAtoi(entry.child_value("Size"), &object.size_bytes) ||
        object.size_bytes < 0) {
      return Unexpected("an entry of the listing has no key or no size");
    }
    listing.objects.push_back(std::move(object));
  }
  for (const pugi::xml_node entry : root.children("CommonPrefixes")) {
    listing.common_prefixes.emplace_back(entry.child_value("Prefix"));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    listing.continuation = root.child_value("NextContinuationToken");
    if (listing.continuation.empty()) return Unexpected("a cut listing says not how it goes on");
  }
  return listing;
}

absl::StatusOr<S3UploadListing> ParseUploadListing(std::string_view xml) {
  pugi::xml_document document;
  NS_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(&document, xml, "ListMultipartUploadsResult"));
  S3UploadListing listing;
  for (const pugi::xml_node entry : root.children("Upload")) {
    S3Upload upload{entry.child_value("Key"), entry.child_value("UploadId"), UnixSeconds(entry.child_value("Initiated"))};
    // Aborting one with an empty id would be a request to delete the object, with an empty key the bucket.
    if (upload.key.empty() || upload.upload_id.empty()) return Unexpected("an upload of the listing has no key or no id");
    listing.uploads.push_back(std::move(upload));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    listing.next_key = root.child_value("NextKeyMarker");
    listing.next_upload_id = root.child_value("NextUploadIdMarker");
    if (listing.next_key.empty()) return Unexpected("a cut listing says not how it goes on");
  }
  return listing;
}

absl::StatusOr<std::string> ParseField(std::string_view xml, const char* root_name, const char* field) {
  pugi::xml_document document;
  NS_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(&document, xml, root_name));
  std::string value = root.child_value(field);
  if (value.empty()) return Unexpected(absl::StrCat("<", root_name, "> has no ", field));
  return value;
}

std::string CompleteMultipartXml(const std::vector<S3Part>& parts) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  for (const S3Part& part : parts) {
    pugi::xml_node entry = root.append_child("Part");
    entry.append_child("PartNumber").text() = part.number;
    entry.append_child("ETag").text() = part.etag.c_str();
  }
  std::ostringstream out;
  document.save(out, "", pugi::format_raw);
  return out.str();
}

}  // namespace nashswarm::server
