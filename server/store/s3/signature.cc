#include "server/store/s3/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::string out(32, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), reinterpret_cast<unsigned char*>(out.data()), &size);
  return out;
}

// Without the spaces around it, and with runs of spaces as one.
std::string Trimmed(std::string_view value) {
  std::string out(ToAbsl(value));
  absl::RemoveExtraAsciiWhitespace(&out);
  return out;
}

}  // namespace

std::string UriEncode(std::string_view text, bool keep_slashes) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slashes)) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string CanonicalQuery(const NameValues& query) {
  NameValues encoded;
  for (const auto& [name, value] : query) encoded.emplace_back(UriEncode(name, false), UriEncode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) absl::StrAppend(&out, out.empty() ? "" : "&", name, "=", value);
  return out;
}

std::string AmzDate(int64_t unix_seconds) {
  const auto seconds = static_cast<time_t>(unix_seconds);
  struct tm parts;
  gmtime_r(&seconds, &parts);
  char out[32];
  const size_t size = strftime(out, sizeof(out), "%Y%m%dT%H%M%SZ", &parts);
  return std::string(out, size);
}

std::string Authorization(const RequestToSign& request, const S3Credentials& credentials, std::string_view amz_date,
                          std::string_view region, std::string_view service) {
  NameValues headers = request.headers;
  std::stable_sort(headers.begin(), headers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string lines, names;
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&lines, name, ":", Trimmed(value), "\n");
    absl::StrAppend(&names, names.empty() ? "" : ";", name);
  }
  const std::string canonical = absl::StrCat(request.method, "\n", request.encoded_path, "\n",
                                             CanonicalQuery(request.query), "\n", lines, "\n", names, "\n",
                                             request.payload_sha256_hex);
  const std::string_view day = amz_date.substr(0, 8);
  const std::string scope = absl::StrCat(ToAbsl(day), "/", ToAbsl(region), "/", ToAbsl(service), "/aws4_request");
  const std::string text = absl::StrCat("AWS4-HMAC-SHA256\n", ToAbsl(amz_date), "\n", scope, "\n",
                                        ToHex(Sha256Of(canonical)));
  std::string key = HmacSha256(absl::StrCat("AWS4", credentials.secret_key), day);
  for (const std::string_view piece : {region, service, std::string_view("aws4_request")}) key = HmacSha256(key, piece);
  return absl::StrCat("AWS4-HMAC-SHA256 Credential=", credentials.access_key, "/", scope, ",SignedHeaders=", names,
                      ",Signature=", ToHex(HmacSha256(key, text)));
}

}  // namespace nashswarm::server
