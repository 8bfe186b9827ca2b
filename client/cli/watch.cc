#include "client/cli/watch.h"

#include <algorithm>

#include "client/cli/json_format.h"

namespace nashswarm::cli {
namespace {

// Four keepalives of 15 s.
constexpr std::chrono::seconds kSilence(60);

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

class Watcher {
 public:
  Watcher(const Session& session, const std::string& job, const EventCallback& on_event)
      : session_(session), on_event_(on_event) {
    request_.set_name(job);
  }

  absl::StatusOr<v1::Job> Run();

 private:
  absl::Status Follow(Backoff* backoff);
  void Handle(const v1::JobEvent& event);
  void ShowSnapshot();
  void ShowProgress(const v1::Job::Progress& progress);

  const Session& session_;
  const EventCallback& on_event_;
  v1::WatchJobRequest request_;
  v1::Job job_;
  std::string shown_error_;
};

absl::StatusOr<v1::Job> Watcher::Run() {
  bool connected = false;
  Backoff first(session_, kFirstContact);
  Backoff later(session_, session_.transfer);
  while (true) {
    Backoff& backoff = connected ? later : first;
    const absl::Status status = Follow(&later);
    connected |= !job_.name().empty();
    if (status.ok() && HasEnded(job_)) {
      session_.progress.Done();
      return job_;
    }
    if (!status.ok() && !IsConnectionLoss(status)) return status;
    const absl::Status cause =
        status.ok() ? MakeError(absl::StatusCode::kUnavailable, "", "the event stream ended early") : status;
    if (const absl::Status wait = backoff.Wait(cause); !wait.ok()) return ExplainUnreachable(session_, wait);
  }
}

absl::Status Watcher::Follow(Backoff* backoff) {
  Call call(session_.interrupt, kSilence);
  NS_RETURN_IF_ERROR(session_.server.Authorize(call.context()));
  const auto stream = session_.server.jobs()->WatchJob(call.context(), request_);
  v1::JobEvent event;
  while (stream->Read(&event)) {
    call.Touch();
    backoff->Reset();
    // A stored event that came before the connection broke may come again.
    if (event.sequence() > 0 && event.sequence() <= request_.after_sequence()) continue;
    if (event.sequence() > 0) request_.set_after_sequence(event.sequence());
    Handle(event);
  }
  return call.Finish(stream->Finish());
}

void Watcher::Handle(const v1::JobEvent& event) {
  if (on_event_ && !event.has_keepalive()) on_event_(event);
  switch (event.event_case()) {
    case v1::JobEvent::kSnapshot:
      job_ = event.snapshot();
      ShowSnapshot();
      break;
    case v1::JobEvent::kProgress:
      ShowProgress(event.progress());
      break;
    case v1::JobEvent::kLog:
      session_.progress.Note(event.log().severity() == "info" ? event.log().text()
                                                              : event.log().severity() + ": " + event.log().text());
      break;
    default:
      session_.progress.Tick();
  }
}

void Watcher::ShowSnapshot() {
  if (HasEnded(job_)) return;
  if (job_.has_error() && job_.error().message() != shown_error_) {
    shown_error_ = job_.error().message();
    session_.progress.Note("an attempt failed and is repeated: " + shown_error_);
  }
  if (job_.state() == v1::Job::QUEUED) {
    session_.progress.Update({.stage = "queued"});
  } else if (job_.has_progress()) {
    ShowProgress(job_.progress());
  }
}

void Watcher::ShowProgress(const v1::Job::Progress& progress) {
  if (progress.stage() == v1::Job::STAGE_UNSPECIFIED) return;
  ProgressState state = {.stage = Lower(StageName(progress.stage())),
                         .done = progress.weights_done(),
                         .total = progress.weights_total(),
                         .unit = progress.unit(),
                         .detail = progress.current_tensor()};
  if (progress.has_eta()) {
    state.eta_seconds = static_cast<double>(progress.eta().seconds()) + progress.eta().nanos() * 1e-9;
  }
  session_.progress.Update(state);
}

}  // namespace

absl::StatusOr<v1::Job> WatchJob(const Session& session, const std::string& job, const EventCallback& on_event) {
  return Watcher(session, job, on_event).Run();
}

absl::Status OutcomeOf(const v1::Job& job, const std::string& server, const UserFiles& files) {
  switch (job.state()) {
    case v1::Job::SUCCEEDED:
      return absl::OkStatus();
    case v1::Job::CANCELLED:
      return MakeError(absl::StatusCode::kCancelled, "JOB_CANCELLED", job.name() + " was cancelled",
                       "start it again with: nashswarm jobs retry " + job.name() + " --server " + server);
    case v1::Job::FAILED: {
      const absl::Status error = InUserTerms(FromProto(job.error()), files);
      // A worker that could not reach something is not a server that we cannot reach.
      const bool ours = error.code() == absl::StatusCode::kUnavailable || error.ok() ||
                        error.code() == absl::StatusCode::kDeadlineExceeded;
      const auto code = ours ? absl::StatusCode::kInternal : error.code();
      const std::string hint = HintOf(error);
      if (server.empty()) return MakeError(code, ReasonOf(error), std::string(error.message()), hint);
      return MakeError(
          code, ReasonOf(error), job.name() + " failed: " + std::string(error.message()),
          hint.empty() ? "see it whole with: nashswarm jobs get " + job.name() + " --server " + server : hint);
    }
    default:
      return MakeError(absl::StatusCode::kFailedPrecondition, "JOB_NOT_ENDED",
                       job.name() + " is " + Lower(StateName(job.state())),
                       "wait for it with: nashswarm jobs watch " + job.name() + " --server " + server);
  }
}

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::Job::SUCCEEDED || job.state() == v1::Job::FAILED || job.state() == v1::Job::CANCELLED;
}

}  // namespace nashswarm::cli
