// StreamedFile: the end of a file that grows by gigabytes. Where the file system can, it is written past the page cache: filling
// that with bytes which nobody reads soon takes longer than the disk does.
#ifndef NASHSWARM_CLIENT_CLI_STREAMED_FILE_H_
#define NASHSWARM_CLIENT_CLI_STREAMED_FILE_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/cli/files.h"

namespace nashswarm::cli {

// One thread uses it.
class StreamedFile {
 public:
  // Appends behind the first `offset` bytes of `path`, which `fd` has open for writing and outlives this; `size` bytes are expected.
  StreamedFile(int fd, std::string path, int64_t offset, int64_t size);

  absl::Status Append(std::string_view bytes);
  // All that was appended is in the file; not durable yet.
  absl::Status Finish();

 private:
  absl::Status WriteBlock();
  absl::Status WriteCached(std::string_view bytes);

  const int fd_;
  const std::string path_;
  int64_t offset_;                 // of the end of what is in the file
  UniqueFd direct_;                // the same file past the cache; none where that cannot be, or does not pay
  std::unique_ptr<char, decltype(&std::free)> block_{nullptr, &std::free};
  size_t held_ = 0;                // bytes of `block_` that are not in the file yet
  int64_t unwritten_ = 0;          // cached bytes since the kernel was told to begin writing to the disk
};

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_STREAMED_FILE_H_
