// SHA-256 of files and CRC-32C of chunks.
#ifndef NASHSWARM_CLIENT_CLI_DIGEST_H_
#define NASHSWARM_CLIENT_CLI_DIGEST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct evp_md_ctx_st;

namespace nashswarm::cli {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view data);
  std::string Finish();  // 32 raw bytes; the object is spent afterwards

 private:
  evp_md_ctx_st* context_;
};

std::string Sha256Of(std::string_view data);  // 32 raw bytes

// Called with the bytes hashed since the last call; an error ends the work with that error.
using BytesCallback = std::function<absl::Status(int64_t)>;

// 32 raw bytes.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path, const BytesCallback& callback);

uint32_t Crc32c(std::string_view data);
std::string ToHex(std::string_view raw);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_DIGEST_H_
