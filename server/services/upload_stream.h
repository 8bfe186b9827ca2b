// UploadStream: the messages of one WriteFile call, read one after another by a thread of its own. It stands on gRPC's callback
// interface: there a call can be ended, with a status and its details, while a read waits for a client that sends nothing; the
// synchronous one can only cancel, and the client does not learn why.
#ifndef NASHSWARM_SERVER_SERVICES_UPLOAD_STREAM_H_
#define NASHSWARM_SERVER_SERVICES_UPLOAD_STREAM_H_

#include <condition_variable>
#include <functional>
#include <mutex>

#include "absl/status/status.h"
#include "grpcpp/grpcpp.h"
#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "server/services/stream_watchdog.h"

namespace nashswarm::server {

class UploadStream : public grpc::ServerReadReactor<v1::WriteFileRequest> {
 public:
  // Ends the call at once.
  static UploadStream* Refuse(const absl::Status& status);
  // Runs `handler` on a thread and ends the call with what it returns. The handler is gone by then, with all that it holds.
  static UploadStream* Start(const PaceLimits& limits, std::function<absl::Status(UploadStream*)> handler);

  // For the handler. False at the end of the stream, when the call was cancelled, and when the client is too slow; no more reads
  // then. The next message is on its way meanwhile.
  bool Read(v1::WriteFileRequest* message);
  bool too_slow() const { return too_slow_; }

 private:
  explicit UploadStream(const PaceLimits& limits) : pace_(limits) {}
  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }

  // The handler's thread's.
  StreamPace pace_;
  bool reading_ = false;  // a read is on its way
  bool too_slow_ = false;
  v1::WriteFileRequest incoming_;  // gRPC's while a read is on its way

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  enum class State { kNone, kMessage, kEnd } state_ = State::kNone;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_UPLOAD_STREAM_H_
