#include "server/daemon/admin_server.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "prometheus/text_serializer.h"

namespace nashswarm::server {
namespace {

HttpAnswer Scrape(const std::vector<std::shared_ptr<prometheus::Collectable>>& sources) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : sources) {
    std::vector<prometheus::MetricFamily> more = source->Collect();
    families.insert(families.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
  }
  return {200, prometheus::TextSerializer().Serialize(families)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpListener>> StartAdminServer(
    const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources,
    std::function<absl::Status()> ready) {
  HttpListener::Pages pages;
  pages["/metrics"] = {.answer = [sources = std::move(sources)] { return Scrape(sources); }, .slow = true};
  pages["/healthz"] = {.answer = [] { return HttpAnswer{200, "alive\n"}; }};
  pages["/readyz"] = {.answer = [ready = std::move(ready)] {
    const absl::Status status = ready();
    return status.ok() ? HttpAnswer{200, "ready\n"} : HttpAnswer{503, absl::StrCat(status.message(), "\n")};
  }};
  absl::StatusOr<std::unique_ptr<HttpListener>> listener = HttpListener::Start(address, std::move(pages), {});
  if (listener.ok()) return listener;
  return MakeError(listener.status().code(), ReasonOf(listener.status()),
                   absl::StrCat("metrics and probes: ", listener.status().message()),
                   "choose another --metrics address, or none");
}

}  // namespace nashswarm::server
