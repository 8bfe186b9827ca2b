// Base64url without padding (RFC 4648 section 5, RFC 7515 section 2).
#ifndef NASHSWARM_SERVER_AUTH_BASE64URL_H_
#define NASHSWARM_SERVER_AUTH_BASE64URL_H_

#include <optional>
#include <string>
#include <string_view>

namespace nashswarm::server {

// Nothing for a character outside of the alphabet, padding, an impossible length, or bits set beyond the last byte:
// every byte string has exactly one spelling, so a token cannot be written in two ways.
std::optional<std::string> DecodeBase64Url(std::string_view text);
std::string EncodeBase64Url(std::string_view bytes);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_BASE64URL_H_
