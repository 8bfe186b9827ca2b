// ByteWorker: a thread that takes bytes in order, so that hashing and writing overlap with the network.
#ifndef NASHSWARM_CLIENT_CLI_BYTE_WORKER_H_
#define NASHSWARM_CLIENT_CLI_BYTE_WORKER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

namespace nashswarm::cli {

// One thread uses it.
class ByteWorker {
 public:
  // `work` runs on the thread, for one string after the other, which it may move on; after its first error no more.
  explicit ByteWorker(std::function<absl::Status(std::string&)> work);
  ~ByteWorker();
  ByteWorker(const ByteWorker&) = delete;
  ByteWorker& operator=(const ByteWorker&) = delete;

  // Blocks while the thread has enough to do. Returns its first error as soon as there is one.
  absl::Status Push(std::string bytes);
  // Waits until everything pushed is done. What `work` has changed may be used afterwards.
  absl::Status Finish();

 private:
  void Loop();

  const std::function<absl::Status(std::string&)> work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // the first error of work_
  std::thread thread_;
};

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_BYTE_WORKER_H_
