#include "server/services/paging.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
constexpr char kVersion[] = "1:";  // of the token's content, which is nobody's business but ours

bool IsIdChar(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

absl::Status BadToken() {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PAGE_TOKEN", "page_token is not one this server gave out",
                   "pass next_page_token of the previous page unchanged");
}

}  // namespace

absl::StatusOr<PageRequest> ParsePage(int page_size, const std::string& token) {
  PageRequest page;
  if (page_size < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PAGE_SIZE",
                     absl::StrCat("page_size is ", page_size, ", which is negative"));
  }
  page.size = page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
  if (token.empty()) return page;
  std::string text;
  Cursor cursor;
  const bool decoded = token.size() < 200 && absl::WebSafeBase64Unescape(token, &text) && text.starts_with(kVersion);
  const size_t colon = decoded ? text.find(':', sizeof(kVersion) - 1) : std::string::npos;
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(text.substr(sizeof(kVersion) - 1, colon - sizeof(kVersion) + 1), &cursor.created_us)) {
    return BadToken();
  }
  cursor.id = text.substr(colon + 1);
  // Base64 has many spellings of the same bytes, and an id that is no text is an error of the database, not of the caller.
  if (ToToken(cursor) != token || !std::all_of(cursor.id.begin(), cursor.id.end(), IsIdChar)) return BadToken();
  page.after = cursor;
  return page;
}

std::string ToToken(const std::optional<Cursor>& next) {
  if (!next.has_value()) return "";
  return absl::WebSafeBase64Escape(absl::StrCat(kVersion, next->created_us, ":", next->id));
}

}  // namespace nashswarm::server
