// A nashswarmd of our own for one command: on a Unix socket, in a directory beside the output, gone when we are.
#ifndef NASHSWARM_CLIENT_CLI_PRIVATE_SERVER_H_
#define NASHSWARM_CLIENT_CLI_PRIVATE_SERVER_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/files.h"
#include "client/cli/interrupt.h"

namespace nashswarm::cli {

struct PrivateServerOptions {
  std::string program;    // path of nashswarmd
  std::string near;       // the temporary directory is made beside this path, on its file system
  std::string keep_data;  // "": a temporary data directory; else this one, which stays
  std::vector<std::string> flags;  // further ones of nashswarmd
  std::chrono::milliseconds start_limit{30'000};
  std::chrono::milliseconds stop_limit{5'000};  // between SIGTERM and SIGKILL
};

// Used by the thread that started it, which must live as long: the kernel kills the server when that thread ends,
// however it ends.
class PrivateServer {
 public:
  // Returns once the server answers. Clears away what killed runs have left beside `near`.
  static absl::StatusOr<std::unique_ptr<PrivateServer>> Start(const PrivateServerOptions& options,
                                                              Interrupt& interrupt);
  // Stops the server and removes every temporary file.
  ~PrivateServer();
  PrivateServer(const PrivateServer&) = delete;
  PrivateServer& operator=(const PrivateServer&) = delete;

  std::string address() const { return "unix:" + socket_directory_ + "/nashswarm.sock"; }
  // UNAVAILABLE / PRIVATE_SERVER_ENDED, with the end of its log, once it has ended by itself.
  absl::Status CheckAlive();
  // The end of what it has logged, after "; the end of its log:", or nothing.
  std::string EndOfLog() const;

 private:
  PrivateServer(const PrivateServerOptions& options, Interrupt& interrupt) : options_(options), interrupt_(interrupt) {}
  absl::Status MakeDirectoriesForRun();
  absl::Status Spawn();
  absl::Status WaitUntilReady();
  void Stop();
  bool Reap();
  std::string LogPath() const { return work_directory_ + "/nashswarmd.log"; }
  std::string InfoPath() const { return work_directory_ + "/info.json"; }

  const PrivateServerOptions options_;
  Interrupt& interrupt_;
  std::string work_directory_;    // hidden, beside the output
  std::string socket_directory_;  // under TMPDIR or /tmp, short
  UniqueFd lock_;                 // held as long as work_directory_ is in use
  pid_t pid_ = -1;
  int wait_status_ = 0;
};

// Removes the directories ".nashswarm-*" in `directory` whose owner has died. Ones in use are locked.
void RemoveAbandonedWork(const std::string& directory);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_PRIVATE_SERVER_H_
