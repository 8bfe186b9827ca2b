#include "server/auth/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/base/file.h"
#include "core/base/status.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

constexpr uint64_t kMaxPemBytes = 1 << 20;

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::Status Invalid(const std::string& path, const char* what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TLS_INVALID", absl::StrCat(path, ": ", what),
                   "PEM files are needed: the certificate with its chain, its key without a passphrase, and the CA");
}

Bio Reader(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free); }

std::vector<Certificate> Certificates(const std::string& pem) {
  const Bio bio = Reader(pem);
  std::vector<Certificate> all;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    all.emplace_back(certificate, X509_free);
  }
  ERR_clear_error();
  return all;
}

// Without asking a terminal for a passphrase, as OpenSSL would.
int NoPassphrase(char*, int, int, void*) { return 0; }

void WarnIfExpired(const std::string& path, const X509* certificate) {
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0) return;
  Log(LogLevel::kWarning, "the server's certificate has expired", {{"path", path}});
}

}  // namespace

absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsOptions& options) {
  TlsMaterial material;
  NS_ASSIGN_OR_RETURN(material.certificate, ReadFile(options.certificate, kMaxPemBytes));
  const std::vector<Certificate> chain = Certificates(material.certificate);
  if (chain.empty()) return Invalid(options.certificate, "holds no certificate");
  NS_ASSIGN_OR_RETURN(material.key, ReadFile(options.key, kMaxPemBytes));
  const Key key(PEM_read_bio_PrivateKey(Reader(material.key).get(), nullptr, NoPassphrase, nullptr), EVP_PKEY_free);
  const bool fits = key != nullptr && X509_check_private_key(chain.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr) return Invalid(options.key, "holds no private key that can be read without a passphrase");
  if (!fits) return Invalid(options.key, "the key is not the certificate's");
  if (!options.client_ca.empty()) {
    NS_ASSIGN_OR_RETURN(material.client_ca, ReadFile(options.client_ca, kMaxPemBytes));
    if (Certificates(material.client_ca).empty()) return Invalid(options.client_ca, "holds no certificate");
  }
  WarnIfExpired(options.certificate, chain.front().get());
  WarnIfReadableByOthers("TLS key", options.key);
  return material;
}

TlsFiles::TlsFiles(const TlsOptions& options, const SteadyClock& clock) : options_(options), timer_(clock) {
  for (const std::string& path : {options.certificate, options.key, options.client_ca}) {
    if (!path.empty()) changes_.emplace_back(path);
  }
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(const TlsOptions& options, const SteadyClock& clock) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(options, clock));
  files->timer_.Due();
  files->Changed();
  NS_ASSIGN_OR_RETURN(files->news_, ReadTlsMaterial(options));
  return files;
}

bool TlsFiles::Changed() {
  bool changed = false;
  for (FileChange& change : changes_) changed |= change.Look();  // every one of them must look
  return changed;
}

std::optional<TlsMaterial> TlsFiles::TakeNews() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (timer_.Due() && Changed()) {
    absl::StatusOr<TlsMaterial> material = ReadTlsMaterial(options_);
    LogReload("certificates", options_.certificate, material.status());
    if (material.ok()) news_ = *std::move(material);
  }
  std::optional<TlsMaterial> news;
  news.swap(news_);
  return news;
}

}  // namespace nashswarm::server
