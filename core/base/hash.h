// SHA-256 of streams and files; hexadecimal digests.
#ifndef NASHSWARM_CORE_BASE_HASH_H_
#define NASHSWARM_CORE_BASE_HASH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct SHA256state_st;

namespace nashswarm {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, uint64_t size);
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  std::string Finish();  // 32 raw bytes; the object is spent afterwards

  // What the hash has taken in so far, as at most 104 bytes that any machine can go on from.
  std::string Save() const;
  // Takes the place of what this object has taken in. False, and nothing happens, when `saved` is not from Save().
  bool Restore(std::string_view saved);

 private:
  std::unique_ptr<SHA256state_st> state_;
};

std::string Sha256Of(std::string_view content);                        // 32 raw bytes
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);     // 32 raw bytes
std::string ToHex(std::string_view raw);

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_HASH_H_
