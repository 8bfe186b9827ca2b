#include "server/services/job_watch.h"

#include "core/base/status.h"
#include "google/protobuf/util/message_differencer.h"

namespace nashswarm::server {
namespace {

using google::protobuf::util::MessageDifferencer;
using std::chrono::steady_clock;

// How soon a vanished reader is noticed.
constexpr std::chrono::milliseconds kCancelPoll{100};
// Changes by other processes are seen within this time; those of this one at once.
constexpr std::chrono::milliseconds kStorePoll{1000};
constexpr int kEventBatch = 500;

absl::Status ReaderGone() {
  return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the reader has gone");
}

bool StateDiffers(const v1::Job& a, const v1::Job& b) {
  return a.state() != b.state() || a.cancel_requested() != b.cancel_requested() || a.has_error() != b.has_error();
}

}  // namespace

absl::Status JobWatch::Send(const Write& write, v1::JobEvent event) {
  if (!event.has_time()) {
    NS_ASSIGN_OR_RETURN(const int64_t now_us, jobs_->NowMicros());
    event.mutable_time()->set_seconds(now_us / 1000000);
    event.mutable_time()->set_nanos(static_cast<int32_t>(now_us % 1000000) * 1000);
  }
  if (!write(event)) return ReaderGone();
  last_write_ = steady_clock::now();
  return absl::OkStatus();
}

absl::Status JobWatch::SendNews(const Write& write, bool* ended) {
  // The job before its events: when it has ended here, every event of it is in the list below.
  NS_ASSIGN_OR_RETURN(const v1::Job job, jobs_->GetJob(tenant_, job_id_));
  if (first_) {
    v1::JobEvent event;
    *event.mutable_snapshot() = job;
    NS_RETURN_IF_ERROR(Send(write, std::move(event)));
  }
  for (;;) {
    NS_ASSIGN_OR_RETURN(std::vector<v1::JobEvent> events, jobs_->EventsAfter(tenant_, job_id_, sequence_,
                                                                               kEventBatch));
    const bool last = events.size() < kEventBatch;
    for (v1::JobEvent& event : events) {
      sequence_ = event.sequence();
      NS_RETURN_IF_ERROR(Send(write, std::move(event)));
    }
    if (last) break;
  }
  v1::JobEvent event;
  if (!first_ && StateDiffers(job, shown_)) {
    *event.mutable_snapshot() = job;
    NS_RETURN_IF_ERROR(Send(write, std::move(event)));
  } else if (!first_ && !MessageDifferencer::Equals(job.progress(), shown_.progress())) {
    *event.mutable_progress() = job.progress();
    NS_RETURN_IF_ERROR(Send(write, std::move(event)));
  }
  first_ = false;
  shown_ = job;
  *ended = job.has_end_time();
  return absl::OkStatus();
}

absl::Status JobWatch::Run(const Write& write, const std::function<bool()>& cancelled) {
  last_write_ = steady_clock::now();
  for (;;) {
    const uint64_t seen = hub_->JobVersion(job_id_);  // before reading: a change in between ends the wait at once
    bool ended = false;
    NS_RETURN_IF_ERROR(SendNews(write, &ended));
    if (ended) return absl::OkStatus();
    const auto read_again = steady_clock::now() + kStorePoll;
    while (hub_->JobVersion(job_id_) == seen && steady_clock::now() < read_again) {
      if (cancelled()) return ReaderGone();
      if (hub_->draining()) {
        return MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the server is shutting down",
                         absl::StrCat("connect again and watch with after_sequence = ", sequence_));
      }
      if (steady_clock::now() - last_write_ >= keepalive_) {
        v1::JobEvent event;
        event.mutable_keepalive();
        NS_RETURN_IF_ERROR(Send(write, std::move(event)));
      }
      hub_->WaitForJob(job_id_, seen, kCancelPoll);
    }
  }
}

}  // namespace nashswarm::server
