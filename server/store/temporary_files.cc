#include "server/store/temporary_files.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {

std::string TemporaryName(const std::string& directory) {
  static std::atomic<uint64_t> counter{0};
  // A process id alone is not unique: in two containers it is often 1 in both.
  static const uint64_t random = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return absl::StrFormat("%s/%d-%016x-%d", directory, getpid(), random, counter++);
}

absl::Status RemoveOldFiles(const std::string& directory, std::chrono::seconds older_than) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code gone;  // others may remove files too
    const auto time = entry.last_write_time(gone);
    if (gone || now - time < older_than) continue;
    fs::remove(entry.path(), gone);
    if (gone) return ErrnoError(gone.value(), entry.path().string());
  }
  return error ? ErrnoError(error.value(), directory) : absl::OkStatus();
}

}  // namespace nashswarm::server
