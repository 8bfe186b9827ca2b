// The S3 server of the store's tests (tests/support/s3_server.py): the one that ctest started, or one of our own that
// ends with this process.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_S3_TEST_SERVER_H_
#define NASHSWARM_TESTS_UNIT_SERVER_S3_TEST_SERVER_H_

#include <memory>
#include <string>

#include "server/store/s3/s3_blob_store.h"

namespace nashswarm::server {

// "" when there is a server; otherwise why not.
const std::string& WhyNoS3Server();

// A store of its own: a prefix of the server's bucket that nobody else uses. `cache_dir` is made.
S3BlobStore::Options S3TestStore(const std::string& cache_dir);

// The server's address for TLS, and the file with the CA of its certificate.
std::string S3TlsEndpoint();
std::string S3TlsCaFile();

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_S3_TEST_SERVER_H_
