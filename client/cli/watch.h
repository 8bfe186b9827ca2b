// Following a job until it ends, across lost connections.
#ifndef NASHSWARM_CLIENT_CLI_WATCH_H_
#define NASHSWARM_CLIENT_CLI_WATCH_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/rpc.h"
#include "client/cli/user_files.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

using EventCallback = std::function<void(const v1::JobEvent&)>;

// The job once it has ended, whatever its outcome. Every stored event reaches `on_event` exactly once.
absl::StatusOr<v1::Job> WatchJob(const Session& session, const std::string& job, const EventCallback& on_event = {});

// OK for SUCCEEDED, else what went wrong and what to do. `server` "": a private one, where nobody can look the job up. `files`:
// where what was pushed for the job came from, as far as the caller knows.
absl::Status OutcomeOf(const v1::Job& job, const std::string& server, const UserFiles& files = {});

bool HasEnded(const v1::Job& job);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_WATCH_H_
