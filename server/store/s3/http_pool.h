// One HTTP exchange at a time and thread on a pool of libcurl handles, whose connections stay open for the next one.
// Knows nothing of S3. TLS certificates are always verified; redirects are not followed.
#ifndef NASHSWARM_SERVER_STORE_S3_HTTP_POOL_H_
#define NASHSWARM_SERVER_STORE_S3_HTTP_POOL_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace nashswarm::server {

using ByteSink = std::function<absl::Status(absl::Span<const char>)>;

struct HttpRequest {
  std::string method, url;
  std::vector<std::string> headers;  // "name: value"
  // The body: bytes in memory, or `file_size` bytes of an open file. Borrowed until the exchange is over.
  absl::Span<const char> body;
  int file = -1;
  int64_t file_offset = 0, file_size = 0;
  ByteSink sink;  // gets the body of a 2xx answer; without it, and of other answers, the body is HttpResponse::body
  std::chrono::seconds silence{60};  // the exchange fails when next to nothing moved for so long
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int64_t sunk_bytes = 0;  // bytes that `sink` got, also when the exchange failed later
};

enum class HttpOutcome {
  kAnswered,     // there is an answer, whatever it says
  kUnreachable,  // no connection, or it broke: trying again may help
  kRefused,      // trying again does not help: a certificate, a local file, the sink
};

class HttpPool {
 public:
  struct Options {
    std::string ca_file;
    bool ignore_proxy = false;  // for hosts that are this one
    std::chrono::milliseconds connect_timeout{10000};
  };
  explicit HttpPool(Options options);
  ~HttpPool();
  HttpPool(const HttpPool&) = delete;
  HttpPool& operator=(const HttpPool&) = delete;

  // Any thread. `*error` says what happened unless kAnswered: the sink's own status, or one made here
  // (UNAVAILABLE / S3_UNAVAILABLE, FAILED_PRECONDITION / S3_TLS).
  HttpOutcome Exchange(const HttpRequest& request, HttpResponse* response, absl::Status* error);

 private:
  void* Take();
  void Return(void* handle);

  Options options_;
  std::mutex mutex_;
  std::vector<void*> idle_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_HTTP_POOL_H_
