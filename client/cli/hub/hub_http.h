// One HTTP request to the hub, and when to try again.
#ifndef NASHSWARM_CLIENT_CLI_HUB_HUB_HTTP_H_
#define NASHSWARM_CLIENT_CLI_HUB_HUB_HTTP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/hub/hub_settings.h"
#include "client/cli/interrupt.h"

namespace nashswarm::cli {

struct HubResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  // of the last answer; names in lower case
  std::string Header(const std::string& name) const;
};

// Used by one thread.
class HubHttp {
 public:
  // Called with pieces of the body of a 200 or 206; an error ends the transfer with that error.
  using Sink = std::function<absl::Status(const HubResponse&, std::string_view)>;

  HubHttp(const HubSettings& settings, Interrupt& interrupt) : settings_(settings), interrupt_(interrupt) {}

  // HEAD. Of redirections only those to another path of the same host are followed: where a file really lies does not
  // say what it is.
  absl::StatusOr<HubResponse> Head(const std::string& path);
  // GET from byte `from`. Redirections are followed, without the token once they lead to another host.
  // Statuses of errors are returned as responses; UNAVAILABLE / HUB_UNREACHABLE when there was none, or it broke off.
  absl::StatusOr<HubResponse> Get(const std::string& path, int64_t from, const Sink& sink);
  // The body of a small document.
  absl::StatusOr<HubResponse> GetText(const std::string& path, std::string* body);

  const HubSettings& settings() const { return settings_; }

 private:
  absl::StatusOr<HubResponse> Exchange(const std::string& url, bool head, int64_t from, const Sink& sink);

  const HubSettings& settings_;
  Interrupt& interrupt_;
};

// Waits between attempts: half a second, doubling; attempts count only while nothing moves.
class HubPatience {
 public:
  explicit HubPatience(Interrupt& interrupt) : interrupt_(interrupt) {}
  void Moved() { failures_ = 0; }
  // OK to try again; `cause` when the patience is used up; INTERRUPTED. `response` may ask for a pause (Retry-After).
  absl::Status Wait(const absl::Status& cause, const HubResponse* response = nullptr);

 private:
  Interrupt& interrupt_;
  int failures_ = 0;
};

// Whether the same request may get another answer soon.
bool IsTransient(long http_status);
// What a status that is no success means to the user; `what` is "org/name" or "org/name: file".
absl::Status HubError(const HubResponse& response, const std::string& what, const HubSettings& settings);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_HUB_HUB_HTTP_H_
