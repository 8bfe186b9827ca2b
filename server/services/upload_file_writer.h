// UploadFileWriter: the receiving side of one WriteFile stream. The caller's thread receives, checks and hashes, a second
// writes, a third makes durable and commits, with short queues between them, so that network, CPU and disk overlap.
#ifndef NASHSWARM_SERVER_SERVICES_UPLOAD_FILE_WRITER_H_
#define NASHSWARM_SERVER_SERVICES_UPLOAD_FILE_WRITER_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "core/base/hash.h"
#include "server/store/upload_store.h"

namespace nashswarm::server {

// One thread uses it. Bytes pushed before Close or destruction are durable and committed afterwards, also when the
// client has vanished.
class UploadFileWriter {
 public:
  // `uploads` and `blobs` outlive it. At most `part_bytes` are written and not yet durable.
  UploadFileWriter(UploadStore* uploads, BlobStore* blobs, UploadWriter writer, int64_t part_bytes, int64_t ttl_us);
  ~UploadFileWriter();

  // Hashes, and blocks while the queue is full. Returns the other threads' first error as soon as there is one.
  absl::Status Push(std::string bytes);
  // Waits until everything pushed is durable.
  absl::Status Close();
  // After Close: checks that the file is whole and has this digest, and completes it. DATA_LOSS / DIGEST_MISMATCH
  // puts the file back to byte 0; FAILED_PRECONDITION / FILE_INCOMPLETE keeps what there is.
  absl::Status Finish(const v1::Digest& digest);

  int64_t received() const { return received_; }         // bytes of the file, with those of earlier streams
  int64_t committed() const { return writer_.committed; }  // after Close

 private:
  // What the stream has written up to some moment.
  struct Mark {
    int64_t written = 0;     // bytes of this stream's part
    std::string hash_state;  // of the whole file up to there
  };
  struct Piece {
    std::string bytes;
    std::string hash_state;  // of the whole file up to its end
  };
  void WriteLoop();
  void CommitLoop();
  absl::Status HashEarlierParts();  // once
  absl::Status Write(const std::string& bytes);
  absl::Status Commit(const Mark& mark);
  absl::Status Restart(const absl::Status& why);

  UploadStore* uploads_;
  BlobStore* blobs_;
  UploadWriter writer_;
  const int64_t part_bytes_, ttl_us_;
  const std::string key_;
  const int64_t start_;  // of this stream's part
  int64_t received_;

  Sha256 hash_;  // of what was pushed, and of what earlier streams brought once that is `hashed_earlier_`
  bool hashed_earlier_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Piece> queue_;
  bool closed_ = false;   // nothing will be pushed any more
  bool drained_ = false;  // nothing will be written any more
  std::unique_ptr<StagedWriter> staged_;
  Mark mark_;             // what is written
  int64_t durable_ = 0;   // of it, committed
  absl::Status status_;   // the first error
  std::thread write_thread_, commit_thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_UPLOAD_FILE_WRITER_H_
