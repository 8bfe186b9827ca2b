// Certificate authorities and certificates for tests of TLS.
#ifndef NASHSWARM_TESTS_SUPPORT_CERTIFICATES_H_
#define NASHSWARM_TESTS_SUPPORT_CERTIFICATES_H_

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <memory>
#include <string>

namespace nashswarm::testing {

struct PemPair {
  std::string certificate, key;
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name) : key_(EVP_EC_gen("P-256"), EVP_PKEY_free) {
    certificate_ = Make(name, key_.get(), "", /*is_ca=*/true, /*seconds=*/3600);
  }

  std::string pem() const { return ToPem(certificate_.get()); }

  // `alternative_names` as in "DNS:localhost,IP:127.0.0.1,URI:spiffe://test/team-a"; negative seconds: expired.
  PemPair Issue(const std::string& common_name, const std::string& alternative_names, long seconds = 3600) const {
    const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Certificate certificate = Make(common_name, key.get(), alternative_names, /*is_ca=*/false, seconds);
    const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return {ToPem(certificate.get()), Content(bio.get())};
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
  using Certificate = std::shared_ptr<X509>;

  static std::string Content(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<size_t>(size)};
  }
  static std::string ToPem(X509* certificate) {
    const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(bio.get(), certificate);
    return Content(bio.get());
  }
  static void AddExtension(X509* certificate, X509* issuer, int type, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, type, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  Certificate Make(const std::string& common_name, EVP_PKEY* key, const std::string& alternative_names, bool is_ca,
                   long seconds) const {
    static std::atomic<long> serial{1};
    Certificate certificate(X509_new(), X509_free);
    X509* x = certificate.get();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509* issuer = is_ca ? x : certificate_.get();
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    AddExtension(x, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (!alternative_names.empty()) AddExtension(x, issuer, NID_subject_alt_name, alternative_names);
    X509_sign(x, key_.get(), EVP_sha256());
    return certificate;
  }

  Key key_;
  Certificate certificate_;
};

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_SUPPORT_CERTIFICATES_H_
