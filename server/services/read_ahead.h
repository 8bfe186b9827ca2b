// ReadAhead: the sending side's counterpart of UploadFileWriter. A thread reads chunks and computes their checksums while the
// caller's sends the ones before, so that disk, CPU and network overlap.
#ifndef NASHSWARM_SERVER_SERVICES_READ_AHEAD_H_
#define NASHSWARM_SERVER_SERVICES_READ_AHEAD_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "server/store/blob_store.h"

namespace nashswarm::server {

// One thread uses it.
class ReadAhead {
 public:
  struct Chunk {
    std::string data;
    uint32_t crc32c = 0;
  };

  // Reads [begin, end) in order. `reader` outlives it, and is not used by others meanwhile.
  ReadAhead(BlobReader* reader, int64_t begin, int64_t end, int64_t chunk_bytes);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next chunk, into `chunk`, whose memory is used again; called until `end` is reached. What was read before an error
  // comes first.
  absl::Status Next(Chunk* chunk);

 private:
  void Loop();

  BlobReader* const reader_;
  const int64_t end_, chunk_bytes_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Chunk> ready_, used_;
  bool stop_ = false;
  absl::Status status_;
  int64_t next_;  // the thread's own
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_READ_AHEAD_H_
