// The StagedWriter of an S3 store: fills one piece while a thread of its own sends the one before.
#ifndef NASHSWARM_SERVER_STORE_S3_STAGED_WRITER_H_
#define NASHSWARM_SERVER_STORE_S3_STAGED_WRITER_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "server/store/blob_store.h"
#include "server/store/s3/s3_client.h"

namespace nashswarm::server {

class S3StagedWriter : public StagedWriter {
 public:
  // `prefix` ends with '/'. `client` is borrowed.
  S3StagedWriter(S3Client* client, std::string prefix);
  // What was not synced may be lost. Waits for the piece being sent.
  ~S3StagedWriter() override;

  // After an error every further call returns it: a later piece would leave a hole.
  absl::Status Append(absl::Span<const char> bytes) override;
  absl::Status Sync() override;

 private:
  absl::Status Hand();  // the piece being filled to the thread, once it is free; filling_mutex_ is held
  void Loop();

  S3Client* const client_;
  const std::string prefix_;
  std::mutex filling_mutex_;  // taken before mutex_
  std::string filling_;
  int64_t filling_offset_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string sending_;
  int64_t sending_offset_ = 0;
  bool busy_ = false;  // `sending_` belongs to the thread
  int64_t handed_ = 0, sent_ = 0;  // pieces
  bool stop_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_STAGED_WRITER_H_
