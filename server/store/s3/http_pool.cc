#include "server/store/s3/http_pool.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

// A page of a listing is below 1 MiB; more is not an answer we asked for.
constexpr size_t kMaxBodyBytes = 16 << 20;
constexpr size_t kMaxIdleHandles = 32;

struct Transfer {
  const HttpRequest* request;
  HttpResponse* response;
  absl::Status failure;  // of the sink or of a local file
  int64_t sent = 0;

  int64_t body_size() const {
    return request->file >= 0 ? request->file_size : static_cast<int64_t>(request->body.size());
  }
};

size_t OnHeader(char* data, size_t size, size_t count, void* context) {
  HttpResponse* response = static_cast<Transfer*>(context)->response;
  const absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(data, size * count));
  if (line.substr(0, 5) == "HTTP/") {  // the first line, again after each 1xx answer
    const size_t space = line.find(' ');
    response->headers.clear();
    response->status = 0;
    if (space != absl::string_view::npos && !absl::SimpleAtoi(line.substr(space + 1, 3), &response->status)) return 0;
  } else if (const size_t colon = line.find(':'); colon != absl::string_view::npos) {
    response->headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return size * count;
}

size_t OnBody(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  HttpResponse* response = transfer->response;
  if (transfer->request->sink && response->status / 100 == 2) {
    transfer->failure = transfer->request->sink(absl::MakeConstSpan(data, size * count));
    if (!transfer->failure.ok()) return 0;
    response->sunk_bytes += static_cast<int64_t>(size * count);
    return size * count;
  }
  if (response->body.size() + size * count > kMaxBodyBytes) {
    transfer->failure = MakeError(absl::StatusCode::kInternal, "S3_UNEXPECTED_ANSWER", "S3: the answer does not end");
    return 0;
  }
  response->body.append(data, size * count);
  return size * count;
}

size_t OnSend(char* out, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const HttpRequest& request = *transfer->request;
  const size_t wanted = std::min(size * count, static_cast<size_t>(transfer->body_size() - transfer->sent));
  if (wanted == 0) return 0;
  if (request.file < 0) {
    std::memcpy(out, request.body.data() + transfer->sent, wanted);
    transfer->sent += static_cast<int64_t>(wanted);
    return wanted;
  }
  ssize_t n;
  do {
    n = pread(request.file, out, wanted, request.file_offset + transfer->sent);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) {
    transfer->failure = n < 0 ? ErrnoError(errno, "the file being sent")
                              : MakeError(absl::StatusCode::kDataLoss, "BLOB_TRUNCATED", "the file being sent shrank");
    return CURL_READFUNC_ABORT;
  }
  transfer->sent += n;
  return static_cast<size_t>(n);
}

// libcurl starts the body over when a kept connection turns out to be closed.
int OnSeek(void* context, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(context)->sent = offset;
  return CURL_SEEKFUNC_OK;
}

bool IsPermanent(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
}

void SetUp(CURL* curl, Transfer* transfer, char* error_text) {
  const HttpRequest& request = *transfer->request;
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);  // what was signed
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.silence.count()));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, OnSend);
    curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, OnSeek);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(transfer->body_size()));
  }
  if (request.method != "HEAD") curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

}  // namespace

HttpPool::HttpPool(Options options) : options_(std::move(options)) {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);  // not thread-safe by itself
  (void)once;
}

HttpPool::~HttpPool() {
  for (void* handle : idle_) curl_easy_cleanup(handle);
}

void* HttpPool::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.empty()) return curl_easy_init();
  void* handle = idle_.back();  // the one used last: its connection is the least likely to be closed by now
  idle_.pop_back();
  return handle;
}

void HttpPool::Return(void* handle) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.size() < kMaxIdleHandles) {
      curl_easy_reset(handle);  // keeps the connection
      idle_.push_back(handle);
      return;
    }
  }
  curl_easy_cleanup(handle);
}

HttpOutcome HttpPool::Exchange(const HttpRequest& request, HttpResponse* response, absl::Status* error) {
  CURL* curl = Take();
  Transfer transfer{&request, response, absl::OkStatus(), 0};
  char error_text[CURL_ERROR_SIZE] = "";
  SetUp(curl, &transfer, error_text);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  if (options_.ignore_proxy) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");  // a round trip less
  for (const std::string& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  Return(curl);

  if (!transfer.failure.ok()) {
    *error = transfer.failure;
    return HttpOutcome::kRefused;
  }
  // A server that refuses a long body answers and closes while we still send.
  if (code == CURLE_OK || (code == CURLE_SEND_ERROR && response->status >= 400)) return HttpOutcome::kAnswered;
  const std::string what = absl::StrCat(request.method, ": ", *error_text ? error_text : curl_easy_strerror(code));
  if (IsPermanent(code)) {
    *error = MakeError(absl::StatusCode::kFailedPrecondition, "S3_TLS", absl::StrCat("S3: ", what),
                       "check the endpoint's certificate and the URL's ca_file");
    return HttpOutcome::kRefused;
  }
  *error = MakeError(absl::StatusCode::kUnavailable, "S3_UNAVAILABLE", absl::StrCat("S3: ", what));
  return HttpOutcome::kUnreachable;
}

}  // namespace nashswarm::server
