#include "server/metrics/admin_server.h"

#include <CivetServer.h>

#include <exception>
#include <iterator>

#include "core/base/status.h"
#include "prometheus/text_serializer.h"

namespace nashswarm::server {
namespace {

// A scrape may wait for the database; probes must not wait for it.
constexpr const char* kThreads = "4";

struct Answer {
  int code = 200;
  std::string text;
};

class Page : public CivetHandler {
 public:
  explicit Page(std::function<Answer()> answer) : answer_(std::move(answer)) {}

  bool handleGet(CivetServer*, mg_connection* connection) override {
    const Answer answer = answer_();
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
              "Cache-Control: no-store\r\n\r\n",
              answer.code, answer.code == 200 ? "OK" : "Service Unavailable", answer.text.size());
    mg_write(connection, answer.text.data(), answer.text.size());
    return true;
  }

 private:
  std::function<Answer()> answer_;
};

Answer Scrape(const std::vector<std::shared_ptr<prometheus::Collectable>>& sources) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : sources) {
    std::vector<prometheus::MetricFamily> more = source->Collect();
    families.insert(families.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
  }
  return {200, prometheus::TextSerializer().Serialize(families)};
}

}  // namespace

AdminServer::~AdminServer() {
  if (server_) server_->close();  // before the pages go
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(
    const std::string& address, std::vector<std::shared_ptr<prometheus::Collectable>> sources,
    std::function<absl::Status()> ready) {
  std::unique_ptr<AdminServer> server(new AdminServer());
  try {
    server->server_ = std::make_unique<CivetServer>(
        std::vector<std::string>{"listening_ports", address, "num_threads", kThreads});
  } catch (const std::exception& error) {
    return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED",
                     absl::StrCat("cannot serve metrics on ", address, ": ", error.what()),
                     "choose another --metrics address, or none");
  }
  const auto add = [&](const char* path, std::function<Answer()> answer) {
    server->pages_.push_back(std::make_unique<Page>(std::move(answer)));
    server->server_->addHandler(path, server->pages_.back().get());
  };
  add("/metrics$", [sources = std::move(sources)] { return Scrape(sources); });
  add("/healthz$", [] { return Answer{200, "alive\n"}; });
  add("/readyz$", [ready = std::move(ready)] {
    const absl::Status status = ready();
    return status.ok() ? Answer{200, "ready\n"} : Answer{503, absl::StrCat(status.message(), "\n")};
  });
  const std::vector<int> ports = server->server_->getListeningPorts();
  server->address_ = absl::StrCat(address.substr(0, address.rfind(':')), ":", ports.empty() ? 0 : ports.front());
  return server;
}

}  // namespace nashswarm::server
