#include "client/cli/hub/hub_http.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

constexpr size_t kMaxText = 64 << 20;
constexpr int kMaxRedirections = 10;
constexpr int kMaxFailures = 5;
constexpr std::chrono::milliseconds kFirstDelay{500}, kLongestDelay{60'000};

struct Transfer {
  HubResponse response;
  const HubHttp::Sink* sink = nullptr;
  Interrupt* interrupt = nullptr;
  absl::Status status;
};

size_t OnHeader(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const std::string_view line(data, size * count);
  if (line.substr(0, 5) == "HTTP/") {  // another answer: after a redirection, or 100 Continue
    transfer->response.headers.clear();
    const size_t space = line.find(' ');
    transfer->response.status = space == std::string_view::npos ? 0 : std::atol(std::string(line.substr(space)).c_str());
  }
  if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string name(line.substr(0, colon)), value(line.substr(colon + 1));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t\r\n") + 1);
    transfer->response.headers[name] = value;
  }
  return line.size();
}

size_t OnBody(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const size_t bytes = size * count;
  const long status = transfer->response.status;
  if (transfer->sink == nullptr || (status != 200 && status != 206)) return bytes;  // the text of an error is not shown
  transfer->status = (*transfer->sink)(transfer->response, std::string_view(data, bytes));
  return transfer->status.ok() ? bytes : 0;
}

int OnProgress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(context)->interrupt->requested() ? 1 : 0;
}

}  // namespace

std::string HubResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

absl::StatusOr<HubResponse> HubHttp::Exchange(const std::string& url, bool head, int64_t from, const Sink& sink) {
  static const bool initialized = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> owner(initialized ? curl_easy_init() : nullptr,
                                                                  curl_easy_cleanup);
  CURL* curl = owner.get();
  if (curl == nullptr) return MakeError(absl::StatusCode::kInternal, "CURL_FAILED", "libcurl does not start");
  Transfer transfer;
  transfer.sink = sink ? &sink : nullptr;
  transfer.interrupt = &interrupt_;
  char error_text[CURL_ERROR_SIZE] = "";
  const bool encrypted = url.rfind("https://", 0) == 0;
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOBODY, head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, head ? 0L : 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, static_cast<long>(kMaxRedirections));
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, encrypted ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "nashswarm/" NASHSWARM_VERSION);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  const std::string range = std::to_string(from) + "-";  // not RESUME_FROM: the sink looks whether it was honoured
  if (from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  if (!settings_.token.empty()) {  // not sent on to other hosts: libcurl's CURLOPT_UNRESTRICTED_AUTH is off
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, settings_.token.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  NS_RETURN_IF_ERROR(interrupt_.Check());
  NS_RETURN_IF_ERROR(transfer.status);
  if (code == CURLE_OK) return transfer.response;
  const std::string why = *error_text != '\0' ? error_text : curl_easy_strerror(code);
  return MakeError(absl::StatusCode::kUnavailable, "HUB_UNREACHABLE", settings_.endpoint + ": " + why,
                   "check the network, or HF_ENDPOINT; what has come is kept, and the same command goes on from there");
}

absl::StatusOr<HubResponse> HubHttp::Head(const std::string& path) {
  std::string target = path;
  for (int i = 0; i < kMaxRedirections; ++i) {
    NS_ASSIGN_OR_RETURN(HubResponse response, Exchange(settings_.endpoint + target, /*head=*/true, 0, nullptr));
    const std::string location = response.Header("location");
    // A repository that was renamed.
    const bool same_host = location.size() > 1 && location[0] == '/' && location[1] != '/';
    if (response.status / 100 != 3 || !same_host) return response;
    target = location;
  }
  return MakeError(absl::StatusCode::kInternal, "HUB_UNEXPECTED_ANSWER", settings_.endpoint + path + " leads in circles");
}

absl::StatusOr<HubResponse> HubHttp::Get(const std::string& path, int64_t from, const Sink& sink) {
  return Exchange(settings_.endpoint + path, /*head=*/false, from, sink);
}

absl::StatusOr<HubResponse> HubHttp::GetText(const std::string& path, std::string* body) {
  body->clear();
  return Get(path, 0, [body](const HubResponse&, std::string_view more) {
    body->append(more);
    if (body->size() <= kMaxText) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInternal, "HUB_UNEXPECTED_ANSWER", "the hub's answer is too large");
  });
}

absl::Status HubPatience::Wait(const absl::Status& cause, const HubResponse* response) {
  NS_RETURN_IF_ERROR(interrupt_.Check());
  if (++failures_ >= kMaxFailures) return cause;
  std::chrono::milliseconds delay = kFirstDelay * (1 << (failures_ - 1));
  if (response != nullptr) {
    const std::chrono::seconds asked(std::atol(response->Header("retry-after").c_str()));
    delay = std::max<std::chrono::milliseconds>(delay, asked);
  }
  if (interrupt_.SleepFor(std::min(delay, kLongestDelay))) return absl::OkStatus();
  return interrupt_.Check();
}

bool IsTransient(long http_status) {
  return http_status == 408 || http_status == 429 || (http_status >= 500 && http_status != 501);
}

absl::Status HubError(const HubResponse& response, const std::string& what, const HubSettings& settings) {
  const std::string reason = response.Header("x-error-code");
  const std::string page = settings.endpoint + "/" + what.substr(0, what.find(':'));
  const std::string code = "HTTP status " + std::to_string(response.status);
  if (reason == "GatedRepo" || response.status == 403) {
    return MakeError(absl::StatusCode::kPermissionDenied, "HUB_GATED", what + " is not open to you (" + code + ")",
                     "ask for access at " + page + ", then set HF_TOKEN to a token of your account");
  }
  if (reason == "RevisionNotFound") {
    return MakeError(absl::StatusCode::kNotFound, "HUB_REVISION_NOT_FOUND", what + " has no such revision",
                     "look at the branches and tags on " + page);
  }
  if (response.status == 401 && !settings.token.empty() && reason != "RepoNotFound") {
    return MakeError(absl::StatusCode::kUnauthenticated, "HUB_TOKEN_REFUSED", "the hub refuses the token (" + code + ")",
                     "check HF_TOKEN, or make a new token on " + settings.endpoint + "/settings/tokens");
  }
  if (response.status == 401 || response.status == 404) {
    return MakeError(absl::StatusCode::kNotFound, "HUB_NOT_FOUND", "the hub shows no " + what + " (" + code + ")",
                     "check the spelling; of a private model, set HF_TOKEN to a token that may read it");
  }
  if (IsTransient(response.status)) {
    return MakeError(absl::StatusCode::kUnavailable, "HUB_UNAVAILABLE", settings.endpoint + " answers " + code,
                     "try again later; what has come is kept");
  }
  return MakeError(absl::StatusCode::kInternal, "HUB_UNEXPECTED_ANSWER", what + ": " + code,
                   "check HF_ENDPOINT: " + settings.endpoint);
}

}  // namespace nashswarm::cli
