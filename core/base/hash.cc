// OpenSSL's old interface: the new one cannot save a hash in the middle.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/base/hash.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/base/status.h"

namespace nashswarm {
namespace {

constexpr size_t kSavedBytes = 40;

void StoreLe32(uint32_t value, char* out) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint32_t LoadLe32(const char* in) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  return value;
}

}  // namespace

Sha256::Sha256() : state_(std::make_unique<SHA256_CTX>()) { SHA256_Init(state_.get()); }
Sha256::~Sha256() = default;
void Sha256::Update(const void* data, uint64_t size) { SHA256_Update(state_.get(), data, size); }

std::string Sha256::Finish() {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), state_.get());
  return digest;
}

// Eight words of chaining value, the length in bits, then what of an unfinished block there is; little-endian.
std::string Sha256::Save() const {
  std::string saved(kSavedBytes, '\0');
  for (size_t i = 0; i < std::size(state_->h); ++i) StoreLe32(state_->h[i], saved.data() + 4 * i);
  StoreLe32(state_->Nl, saved.data() + 32);
  StoreLe32(state_->Nh, saved.data() + 36);
  saved.append(reinterpret_cast<const char*>(state_->data), state_->num);
  return saved;
}

bool Sha256::Restore(std::string_view saved) {
  if (saved.size() < kSavedBytes || saved.size() >= kSavedBytes + SHA256_CBLOCK) return false;
  const uint32_t low = LoadLe32(saved.data() + 32), high = LoadLe32(saved.data() + 36);
  const uint32_t pending = (low / 8) % SHA256_CBLOCK;  // the rest of the length is in whole blocks
  if (low % 8 != 0 || pending != saved.size() - kSavedBytes) return false;
  SHA256_Init(state_.get());
  for (size_t i = 0; i < std::size(state_->h); ++i) state_->h[i] = LoadLe32(saved.data() + 4 * i);
  state_->Nl = low;
  state_->Nh = high;
  state_->num = pending;
  std::memcpy(state_->data, saved.data() + kSavedBytes, pending);
  return true;
}

std::string Sha256Of(std::string_view content) {
  Sha256 hash;
  hash.Update(content);
  return hash.Finish();
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, path);
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(fd);
      return ErrnoError(error, path);
    }
    if (n == 0) break;
    hash.Update(buffer.data(), static_cast<uint64_t>(n));
  }
  close(fd);
  return hash.Finish();
}

std::string ToHex(std::string_view raw) { return absl::BytesToHexString(ToAbsl(raw)); }

}  // namespace nashswarm
