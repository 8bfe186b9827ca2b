#include "tests/unit/server/s3_test_server.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "gtest/gtest.h"

namespace nashswarm::server {
namespace {

// Only a server that is not installed is a reason to skip. Whatever else is wrong must not pass unseen.
template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << "no S3 server for the tests: " << value.status() << std::endl;
  std::exit(1);
}

absl::StatusOr<std::string> DirectoryOfServer() {
  if (const char* started = std::getenv("NASHSWARM_TEST_S3"); started != nullptr) return started;
  const char* source = std::getenv("NASHSWARM_SOURCE_DIR");
  if (source == nullptr) return absl::NotFoundError("neither NASHSWARM_TEST_S3 nor NASHSWARM_SOURCE_DIR is set");
  const std::string directory = absl::StrCat("/tmp/nashswarm-s3-", getpid());
  const std::string command = absl::StrCat(source, "/tests/support/s3_server.py start ", directory, " --while ",
                                           getpid(), " > /dev/null");
  if (std::system(command.c_str()) != 0) return absl::UnavailableError("tests/support/s3_server.py failed");
  return directory;
}

const Json& TheServer() {
  static const Json about = OrDie(ParseJson(OrDie(ReadFile(OrDie(DirectoryOfServer()) + "/server.json")), "server.json"));
  return about;
}

}  // namespace

const std::string& WhyNoS3Server() {
  static const std::string why = JsonString(TheServer(), "skipped");
  return why;
}

std::string S3TlsEndpoint() { return JsonString(TheServer(), "tls_endpoint"); }
std::string S3TlsCaFile() { return JsonString(TheServer(), "ca_file"); }

S3BlobStore::Options S3TestStore(const std::string& cache_dir) {
  static std::atomic<int> next{0};
  const Json& about = TheServer();
  S3BlobStore::Options options;
  const auto location = ParseS3Url(absl::StrCat("s3://", JsonString(about, "bucket"), "/t", getpid(), "-", next++,
                                                "?endpoint=", JsonString(about, "endpoint"), "&region=",
                                                JsonString(about, "region")));
  EXPECT_TRUE(location.ok()) << location.status();
  if (location.ok()) options.client.location = *location;
  options.client.credentials = {JsonString(about, "access_key"), JsonString(about, "secret_key"), ""};
  options.cache_dir = cache_dir;
  return options;
}

}  // namespace nashswarm::server
