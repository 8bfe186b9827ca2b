#include "server/auth/tokens.h"

#include <openssl/crypto.h>

#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/hash.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr size_t kHashBytes = 32;

bool ParseHash(absl::string_view field, std::string* sha256) {
  if (!absl::ConsumePrefix(&field, "sha256:") || field.size() != 2 * kHashBytes) return false;
  for (const char c : field) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
  }
  *sha256 = absl::HexStringToBytes(field);
  return true;
}

}  // namespace

absl::StatusOr<TokenSet> TokenSet::Parse(std::string_view text, const std::string& path) {
  TokenSet set;
  std::set<std::string> hashes;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    const auto bad = [&](absl::string_view why) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TOKENS_INVALID",
                       absl::StrCat(path, ", line ", number, ": ", why),
                       "a line is: TENANT SUBJECT sha256:64-HEX-DIGITS [expires=2027-01-01T00:00:00Z] [admin]");
    };
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (fields.empty() || fields[0].front() == '#') continue;
    if (fields.size() < 3) return bad("a tenant, a subject and a hash are needed");
    Entry entry;
    entry.caller.tenant = std::string(fields[0]);
    entry.caller.subject = std::string(fields[1]);
    if (!IsTenantName(entry.caller.tenant)) return bad("not a tenant's name");
    if (!IsSubject(entry.caller.subject)) return bad("not a subject");
    if (!ParseHash(fields[2], &entry.sha256)) return bad("not sha256: and 64 hexadecimal digits");
    if (!hashes.insert(entry.sha256).second) return bad("the same token as in a line above");
    bool has_expiry = false;
    for (size_t i = 3; i < fields.size(); ++i) {
      absl::string_view field = fields[i];
      if (field == "admin" && !entry.caller.admin) {
        entry.caller.admin = true;
      } else if (absl::ConsumePrefix(&field, "expires=") && !has_expiry) {
        has_expiry = true;
        if (std::string error; !absl::ParseTime(absl::RFC3339_full, field, &entry.expires, &error) ||
                               entry.expires == absl::InfiniteFuture()) {
          return bad("expires= needs a time such as 2027-01-01T00:00:00Z");
        }
      } else {
        return bad("only expires=TIME and admin may follow the hash, each once");
      }
    }
    set.entries_.push_back(std::move(entry));
  }
  return set;
}

absl::StatusOr<Caller> TokenSet::Find(std::string_view token, absl::Time now) const {
  const std::string sha256 = Sha256Of(token);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {  // all of them, and each in full
    if (CRYPTO_memcmp(entry.sha256.data(), sha256.data(), kHashBytes) == 0) found = &entry;
  }
  if (found == nullptr) {
    return MakeError(absl::StatusCode::kUnauthenticated, "BAD_TOKEN", "the server does not know this token",
                     "check that the token is whole and was made for this server");
  }
  if (now >= found->expires) {
    return MakeError(
        absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED",
        absl::StrCat("the token expired at ", absl::FormatTime(absl::RFC3339_sec, found->expires, absl::UTCTimeZone())),
        "ask whoever runs the server for a new token");
  }
  return found->caller;
}

}  // namespace nashswarm::server
