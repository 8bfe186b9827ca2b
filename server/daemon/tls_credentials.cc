#include "server/daemon/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <utility>

namespace nashswarm::server {
namespace {

// What gRPC asks at every handshake. It keeps what it has when the answer is that nothing is new, and also when it
// cannot use what is new; certificate and key are taken together. (FileWatcherCertificateProvider, the C++ way,
// promises neither.)
grpc_ssl_certificate_config_reload_status Fetch(void* files, grpc_ssl_server_certificate_config** config) {
  const std::optional<TlsMaterial> news = static_cast<TlsFiles*>(files)->TakeNews();
  if (!news.has_value()) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {news->key.c_str(), news->certificate.c_str()};
  // gRPC 1.51 insists on some CA. Where no client certificate is asked for it plays no part.
  const std::string& ca = news->client_ca.empty() ? news->certificate : news->client_ca;
  *config = grpc_ssl_server_certificate_config_create(ca.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

class TlsCredentials : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(std::shared_ptr<TlsFiles> files) : files_(std::move(files)) {
    const auto request = files_->wants_client_certificates()
                             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                             : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, Fetch, files_.get()));
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }

  // Callers are looked at by the handlers (services/authenticate.h).
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::shared_ptr<TlsFiles> files_;
  grpc_server_credentials* credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(std::shared_ptr<TlsFiles> files) {
  return std::make_shared<TlsCredentials>(std::move(files));
}

}  // namespace nashswarm::server
