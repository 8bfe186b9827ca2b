// Child processes: started from one long-lived thread, killed as a group, waited for without losing a status.
#ifndef NASHSWARM_SERVER_WORKER_PROCESS_H_
#define NASHSWARM_SERVER_WORKER_PROCESS_H_

#include <sys/types.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace nashswarm::server {

class Sandbox;

// A running child and the read ends of its standard output and error (non-blocking). Its owner uses it from one thread;
// destruction kills what is left of it.
class ChildProcess {
 public:
  ChildProcess(pid_t pid, int pid_fd, int out, int err) : pid_(pid), pid_fd_(pid_fd), out_(out), err_(err) {}
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int exit_fd() const { return pid_fd_; }  // readable once the child has exited
  int out_fd() const { return out_; }
  int err_fd() const { return err_; }
  // SIGKILL to the child's whole process group.
  void Kill();
  // Waits for the end, kills stragglers of the group, returns the wait status (see wait(2)).
  int Wait();

 private:
  pid_t pid_;
  int pid_fd_, out_, err_;
  bool reaped_ = false;
};

// PR_SET_PDEATHSIG fires when the *thread* that forked ends, and gRPC's threads come and go: so one thread, which lives
// as long as this object, forks for everybody. Thread-safe.
class ProcessSpawner {
 public:
  ProcessSpawner();
  ~ProcessSpawner();

  // Runs `arguments` (the first is the program's path) with exactly `environment`, standard input empty, in its own
  // process group, killed by the kernel when this process dies, inside `sandbox` (not owned; nullptr: none).
  // UNAVAILABLE / SPAWN_FAILED.
  absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const std::vector<std::string>& arguments,
                                                      const std::vector<std::string>& environment,
                                                      Sandbox* sandbox = nullptr);

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> requests_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_PROCESS_H_
