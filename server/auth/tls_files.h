// Certificate, key and client CA, which may be replaced while the server runs.
#ifndef NASHSWARM_SERVER_AUTH_TLS_FILES_H_
#define NASHSWARM_SERVER_AUTH_TLS_FILES_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/auth/watched_file.h"

namespace nashswarm::server {

// Paths of PEM files.
struct TlsOptions {
  std::string certificate;  // with the chain, the server's own first
  std::string key;
  std::string client_ca;  // "": clients need no certificate

  bool enabled() const { return !certificate.empty(); }
};

struct TlsMaterial {
  std::string certificate, key, client_ca;
};

// Reads the files and checks that they can be used together. INVALID_ARGUMENT / TLS_INVALID.
absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsOptions& options);

// Thread-safe.
class TlsFiles {
 public:
  // Fails when the files are bad now.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const TlsOptions& options,
                                                        const SteadyClock& clock = std::chrono::steady_clock::now);

  // What there is to use that an earlier call did not give; the first call always gives something. Files that are
  // broken, or do not belong together, as they may be for a moment while they are replaced, leave what was there in
  // use.
  std::optional<TlsMaterial> TakeNews();

  bool wants_client_certificates() const { return !options_.client_ca.empty(); }

 private:
  TlsFiles(const TlsOptions& options, const SteadyClock& clock);
  bool Changed();

  const TlsOptions options_;
  std::mutex mutex_;  // guards what follows
  PollTimer timer_;
  std::vector<FileChange> changes_;
  std::optional<TlsMaterial> news_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_TLS_FILES_H_
