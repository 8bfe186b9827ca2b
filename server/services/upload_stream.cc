#include "server/services/upload_stream.h"

#include <chrono>
#include <thread>
#include <utility>

#include "server/rpc/status.h"

namespace nashswarm::server {
namespace {

using std::chrono::steady_clock;

}  // namespace

UploadStream* UploadStream::Refuse(const absl::Status& status) {
  auto* stream = new UploadStream(PaceLimits{});
  stream->Finish(ToGrpcStatus(status));
  return stream;
}

UploadStream* UploadStream::Start(const PaceLimits& limits, std::function<absl::Status(UploadStream*)> handler) {
  auto* stream = new UploadStream(limits);
  // gRPC keeps the stream until it has been finished, so it outlives the thread's use of it.
  std::thread([stream, handler = std::move(handler)]() mutable {
    const absl::Status status = handler(stream);
    handler = nullptr;
    stream->Finish(ToGrpcStatus(status));
  }).detach();
  return stream;
}

void UploadStream::OnReadDone(bool ok) {
  // Under the lock: the handler's thread may finish the call, and the stream be gone, as soon as it is let go on.
  std::lock_guard<std::mutex> lock(mutex_);
  state_ = ok ? State::kMessage : State::kEnd;
  changed_.notify_all();
}

bool UploadStream::Read(v1::WriteFileRequest* message) {
  if (!std::exchange(reading_, true)) StartRead(&incoming_);
  pace_.WaitBegins(steady_clock::now());
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, kPacePoll, [this] { return state_ != State::kNone; })) {
    if (!pace_.TooSlow(steady_clock::now())) continue;
    too_slow_ = true;
    return false;
  }
  if (state_ == State::kEnd) return false;
  pace_.WaitEnds(steady_clock::now(), static_cast<int64_t>(incoming_.ByteSizeLong()));
  if (pace_.TooSlow(steady_clock::now())) {
    too_slow_ = true;
    return false;
  }
  message->Swap(&incoming_);
  state_ = State::kNone;
  lock.unlock();
  StartRead(&incoming_);
  return true;
}

}  // namespace nashswarm::server
