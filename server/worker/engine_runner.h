// EngineRunner: one nashswarm-engine task as a child process, from start to end.
#ifndef NASHSWARM_SERVER_WORKER_ENGINE_RUNNER_H_
#define NASHSWARM_SERVER_WORKER_ENGINE_RUNNER_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/worker/engine_description.h"
#include "server/worker/engine_protocol.h"
#include "server/worker/process.h"
#include "server/worker/sandbox.h"

namespace nashswarm::server {

// The reasons of an engine that died without a last line, the second by a SIGKILL that is not ours.
inline constexpr char kEngineCrashed[] = "ENGINE_CRASHED";
inline constexpr char kEngineKilled[] = "ENGINE_KILLED";

// Called on the thread that runs the task.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void OnProgress(const EngineProgress& progress) = 0;
  virtual void OnTensor(const EngineTensor& tensor) = 0;
  virtual void OnLog(const EngineLog& log) = 0;
  virtual void OnStandardError(std::string_view line) = 0;
  // At least four times a second and whenever the wake fd becomes readable. An error kills the engine at once and is
  // what Run returns.
  virtual absl::Status OnTick() = 0;
};

class EngineRunner {
 public:
  struct Outcome {
    absl::Status status;
    Json result;              // the result line, when ok
    bool interrupted = false; // OnTick asked to stop; `status` is its
  };

  // `engine` is the program's path. Only PATH and the numeric libraries' settings of this process's environment reach
  // the engine: it needs no secret. Logs which protections of sandbox.h this kernel gives.
  explicit EngineRunner(std::string engine, SandboxOptions sandbox = SandboxOptions::FromEnvironment());

  // Runs `engine task directory` in a sandbox. `wake_fd` (an eventfd, or -1) interrupts the wait for output; Run drains it.
  // Errors: what the engine said (of these, RESOURCE_EXHAUSTED / OUT_OF_MEMORY and NO_SPACE are what `limits` brings about);
  // UNAVAILABLE / ENGINE_KILLED for a SIGKILL that did not come from here, which is the kernel's way to get memory back;
  // UNAVAILABLE / ENGINE_CRASHED for another signal or an exit without a last line; INTERNAL / ENGINE_PROTOCOL;
  // UNAVAILABLE / SPAWN_FAILED; DEADLINE_EXCEEDED / TASK_TIMEOUT. Any thread.
  Outcome Run(const std::string& directory, int wake_fd, std::chrono::seconds timeout, EngineObserver* observer,
              const TaskLimits& limits = {});

  // What `engine describe` says. UNAVAILABLE / SPAWN_FAILED, ENGINE_CRASHED or ENGINE_SILENT (nothing within half a minute), and the
  // errors of ParseEngineDescription.
  absl::StatusOr<EngineDescription> Describe();

  const std::string& engine() const { return engine_; }

 private:
  std::string engine_;
  SandboxOptions sandbox_;
  std::vector<std::string> environment_;
  ProcessSpawner spawner_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_ENGINE_RUNNER_H_
