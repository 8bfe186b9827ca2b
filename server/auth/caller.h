// Who calls, as far as the server is concerned.
#ifndef NASHSWARM_SERVER_AUTH_CALLER_H_
#define NASHSWARM_SERVER_AUTH_CALLER_H_

#include <algorithm>
#include <string>
#include <string_view>

namespace nashswarm::server {

// Everybody's, where nobody is asked who they are; what was stored before there were tenants is this one's.
inline constexpr char kDefaultTenant[] = "default";

struct Caller {
  std::string tenant = kDefaultTenant;
  std::string subject;  // for logs alone
  bool admin = false;
};

inline bool IsAsciiAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// A tenant's name becomes a part of database rows, metrics and logs: 1 to 63 letters, digits, '.', '_' and '-', the
// first one a letter or a digit.
inline bool IsTenantName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && IsAsciiAlphanumeric(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return IsAsciiAlphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

// A subject is written into logs: 1 to 128 printable ASCII characters without spaces.
inline bool IsSubject(std::string_view subject) {
  return !subject.empty() && subject.size() <= 128 &&
         std::all_of(subject.begin(), subject.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_CALLER_H_
