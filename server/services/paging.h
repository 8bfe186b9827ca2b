// Page sizes and opaque page tokens.
#ifndef NASHSWARM_SERVER_SERVICES_PAGING_H_
#define NASHSWARM_SERVER_SERVICES_PAGING_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/page.h"

namespace nashswarm::server {

// INVALID_ARGUMENT / BAD_PAGE_SIZE, BAD_PAGE_TOKEN.
absl::StatusOr<PageRequest> ParsePage(int page_size, const std::string& token);
std::string ToToken(const std::optional<Cursor>& next);  // "" at the end

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_PAGING_H_
