#include "client/cli/fetch.h"

#include "client/cli/digest.h"

namespace nashswarm::cli {
namespace {

constexpr std::chrono::seconds kSilence(60);
// Damage on the way happens; damage every time is something else.
constexpr int kMaxDamaged = 3;

absl::Status Damaged(const v1::FileEntry& file) {
  return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   "'" + file.path() + "' did not arrive as the artifact names it");
}

absl::Status FetchOnce(const Session& session, const std::string& artifact, const v1::FileEntry& file,
                       std::string* content) {
  v1::ReadFileRequest request;
  request.set_name(artifact);
  request.set_path(file.path());
  Call call(session.interrupt, kSilence);
  NS_RETURN_IF_ERROR(session.server.Authorize(call.context()));
  const auto stream = session.server.artifacts()->ReadFile(call.context(), request);
  v1::ReadFileResponse response;
  bool fits = true;
  while (fits && stream->Read(&response)) {
    call.Touch();
    content->append(response.data());
    fits = static_cast<int64_t>(content->size()) <= file.digest().size_bytes();
  }
  if (!fits) call.context()->TryCancel();
  const absl::Status status = call.Finish(stream->Finish());
  if (!fits) return Damaged(file);
  NS_RETURN_IF_ERROR(status);
  return Sha256Of(*content) == file.digest().sha256() ? absl::OkStatus() : Damaged(file);
}

}  // namespace

absl::StatusOr<std::string> FetchFile(const Session& session, const std::string& artifact, const v1::FileEntry& file,
                                      int64_t limit) {
  if (file.digest().size_bytes() > limit) {
    return MakeError(absl::StatusCode::kResourceExhausted, "FILE_TOO_LARGE",
                     "'" + file.path() + "' has " + std::to_string(file.digest().size_bytes()) + " bytes, at most " +
                         std::to_string(limit) + " are read at once",
                     "pull the artifact instead");
  }
  Backoff backoff(session, kFirstContact);
  for (int damaged = 0;;) {
    std::string content;
    const absl::Status status = FetchOnce(session, artifact, file, &content);
    if (status.ok()) return content;
    const bool damage = status.code() == absl::StatusCode::kDataLoss;
    if (damage ? ++damaged >= kMaxDamaged : !IsConnectionLoss(status)) return status;
    if (const absl::Status wait = backoff.Wait(status); !wait.ok()) return ExplainUnreachable(session, wait);
  }
}

}  // namespace nashswarm::cli
