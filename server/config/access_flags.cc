#include "server/config/access_flags.h"

#include <map>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"

namespace nashswarm::server {
namespace {

void AddTls(CLI::App& app, ServerConfig* config) {
  app.add_option("--tls-cert", config->tls.certificate, "Encrypt with this certificate and its chain (PEM)")
      ->type_name("FILE");
  app.add_option("--tls-key", config->tls.key, "The certificate's private key (PEM, no passphrase)")->type_name("FILE");
  app.add_option_function<std::string>(
         "--tls-client-ca",
         [config](const std::string& path) {
           config->tls.client_ca = path;
           config->access.client_certificates = !path.empty();
         },
         "Let in only clients with a certificate of this CA (PEM)")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--tls-tenant-from",
         [config](const std::string& part) {
           static const std::map<std::string, TenantFrom> kParts = {
               {"none", TenantFrom::kNone}, {"cn", TenantFrom::kCommonName}, {"san-uri", TenantFrom::kSanUri}};
           config->access.tenant_from = kParts.at(part);
         },
         "What of a client certificate names the tenant: cn (common name), san-uri (last part of its URI) or none")
      ->check(CLI::IsMember({"none", "cn", "san-uri"}))
      ->default_str("none");
}

void AddTokens(CLI::App& app, ServerConfig* config) {
  AccessOptions& access = config->access;
  app.add_option("--tokens", access.tokens, "Ask for a token of this file; nashswarmd token makes its lines")
      ->type_name("FILE");
  app.add_option("--jwks", access.jwks, "Or for a signed JSON Web Token: the issuer's public keys (JWKS)")
      ->type_name("FILE");
  app.add_option("--jwt-issuer", access.jwt.issuer, "What its claim iss must be");
  app.add_option("--jwt-audience", access.jwt.audience, "What its claim aud must be or contain");
  app.add_option("--jwt-tenant-claim", access.jwt.tenant_claim, "Its claim that names the tenant")
      ->capture_default_str();
  app.add_option("--tenants", access.tenants, "What each tenant may use (JSON)")->type_name("FILE");
}

}  // namespace

void AddAccessFlags(CLI::App& app, ServerConfig* config) {
  AddTls(app, config);
  AddTokens(app, config);
  app.add_flag("--allow-anonymous", config->allow_anonymous,
               "With TLS on an address that other machines reach: ask nobody who they are. Anybody who can connect can "
               "read and delete every model");
  app.add_flag(
      "--insecure-listen-anywhere", config->insecure_listen_anywhere,
      "Allow --listen without TLS on an address that other machines reach. Whoever sees the traffic can read it, "
      "tokens included, and without tokens anybody can read and delete every model: for a private network, or "
      "behind a proxy that encrypts and asks");
  app.add_flag("--reflection", config->reflection,
               "Tell anybody which services there are, though callers are asked who they are (without that it is on)");
}

std::string CheckAccessFlags(const ServerConfig& config) {
  const TlsOptions& tls = config.tls;
  const AccessOptions& access = config.access;
  if (tls.certificate.empty() != tls.key.empty()) return "--tls-cert and --tls-key go together";
  if (!tls.client_ca.empty() && !tls.enabled()) return "--tls-client-ca needs --tls-cert and --tls-key";
  if (access.tenant_from != TenantFrom::kNone && tls.client_ca.empty())
    return "--tls-tenant-from needs --tls-client-ca";
  const bool jwt_rules = !access.jwt.issuer.empty() && !access.jwt.audience.empty() && !access.jwt.tenant_claim.empty();
  if (!access.jwks.empty() && !jwt_rules) {
    return "--jwks needs --jwt-issuer and --jwt-audience: without them any token the keys ever signed would do";
  }
  if (access.jwks.empty() && (!access.jwt.issuer.empty() || !access.jwt.audience.empty())) {
    return "--jwt-issuer and --jwt-audience need --jwks";
  }
  if (IsLocalAddress(config.listen)) return "";
  if (!tls.enabled() && !config.insecure_listen_anywhere) {
    return absl::StrCat(
        "--listen ", config.listen,
        ": other machines could connect, and nothing is encrypted.\n"
        "Add --tls-cert and --tls-key, listen on 127.0.0.1 or unix:/path.sock, or, on a private network, "
        "add --insecure-listen-anywhere");
  }
  if (tls.enabled() && !access.required() && !config.allow_anonymous) {
    return absl::StrCat("--listen ", config.listen,
                        ": other machines could connect, and nobody is asked who they are.\n"
                        "Add --tokens, --jwks or --tls-client-ca, or --allow-anonymous if anybody may do anything");
  }
  return "";
}

}  // namespace nashswarm::server
