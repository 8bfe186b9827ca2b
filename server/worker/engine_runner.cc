#include "server/worker/engine_runner.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>

#include "core/base/status.h"
#include "server/log/log.h"

extern char** environ;

namespace nashswarm::server {
namespace {

constexpr int kTickMs = 200;
// The longest honest line is a result with a warning per tensor.
constexpr size_t kMaxLineBytes = 4 << 20;
constexpr size_t kMaxErrorLineBytes = 4096;
// Of standard error, kept to explain a crash.
constexpr size_t kLastWordsBytes = 600;

constexpr char kBlasThreads[] = "OPENBLAS_NUM_THREADS=";

bool PassesToEngine(std::string_view variable) {
  for (const std::string_view prefix : {"PATH=", "OPENBLAS_", "OMP_NUM_THREADS=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
                                        "LSAN_OPTIONS=", "NASHSWARM_ENGINE_"}) {
    if (variable.starts_with(prefix)) return true;
  }
  return false;
}

// An end without a last line. Memory is worth a word: a library that cannot get any may abort instead of saying so.
absl::Status Crash(int status, const std::string& last_words, const TaskLimits& limits) {
  const std::string words = last_words.empty() ? "" : absl::StrCat(": ", last_words);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    return MakeError(absl::StatusCode::kUnavailable, kEngineKilled,
                     absl::StrCat("the engine was killed by signal 9 (Killed), which nashswarmd did not send", words),
                     "the kernel does this when memory runs out: give the machine or the container more, or lower --workers");
  }
  const std::string how = WIFSIGNALED(status) ? absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                                                             strsignal(WTERMSIG(status)), ")")
                                              : absl::StrCat("exited with status ", WEXITSTATUS(status),
                                                             " and no last line");
  const std::string hint = limits.memory_bytes > 0 && WIFSIGNALED(status)
                               ? absl::StrCat("see the server's log; its limit of memory was ", limits.memory_bytes, " bytes")
                               : "see the server's log";
  return MakeError(absl::StatusCode::kUnavailable, kEngineCrashed, absl::StrCat("the engine ", how, words), hint);
}

void LogProtections(const SandboxOptions& options) {
  const Protections active = ActiveProtections(options);
  const bool all = active.syscall_filter && active.landlock_abi > 0;
  Log(all ? LogLevel::kInfo : LogLevel::kWarning, all ? "engines run in a sandbox" : "engines run in a weaker sandbox",
      {{"seccomp", active.syscall_filter}, {"landlock", active.landlock_abi}});
}

// One run's reading state.
class Conversation {
 public:
  explicit Conversation(EngineObserver* observer)
      : observer_(observer), lines_(kMaxLineBytes, false), errors_(kMaxErrorLineBytes, true) {}

  // Reads what is there. `closed` is set at end of file.
  absl::Status ReadOutput(int fd, bool* closed) {
    return Drain(fd, closed, [&](std::string_view bytes) {
      return lines_.Feed(bytes, [&](std::string_view line) { return Handle(line); });
    });
  }
  absl::Status ReadError(int fd, bool* closed) {
    return Drain(fd, closed, [&](std::string_view bytes) {
      return errors_.Feed(bytes, [&](std::string_view line) { return HandleError(line); });
    });
  }
  absl::Status Finish() {
    NS_RETURN_IF_ERROR(errors_.Finish([&](std::string_view line) { return HandleError(line); }));
    return lines_.Finish([&](std::string_view line) { return Handle(line); });
  }

  const std::optional<EngineEvent>& last() const { return last_; }
  const std::string& last_words() const { return last_words_; }

 private:
  static absl::Status Drain(int fd, bool* closed, const std::function<absl::Status(std::string_view)>& feed) {
    char buffer[1 << 16];
    // Bounded, so that an engine that never stops talking cannot keep the tick from happening.
    for (int i = 0; i < 64; ++i) {
      const ssize_t n = read(fd, buffer, sizeof(buffer));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return absl::OkStatus();
      if (n <= 0) {
        *closed = true;
        return absl::OkStatus();
      }
      NS_RETURN_IF_ERROR(feed(std::string_view(buffer, static_cast<size_t>(n))));
    }
    return absl::OkStatus();
  }

  absl::Status Handle(std::string_view line) {
    if (last_.has_value()) {
      return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL", "the engine wrote a line after its last line");
    }
    NS_ASSIGN_OR_RETURN(EngineEvent event, ParseEngineLine(line));
    if (const auto* progress = std::get_if<EngineProgress>(&event)) {
      observer_->OnProgress(*progress);
    } else if (const auto* tensor = std::get_if<EngineTensor>(&event)) {
      observer_->OnTensor(*tensor);
    } else if (const auto* log = std::get_if<EngineLog>(&event)) {
      observer_->OnLog(*log);
    } else {
      last_ = std::move(event);
    }
    return absl::OkStatus();
  }

  absl::Status HandleError(std::string_view line) {
    observer_->OnStandardError(line);
    last_words_ = std::string(line.substr(0, kLastWordsBytes));
    return absl::OkStatus();
  }

  EngineObserver* observer_;
  LineReader lines_, errors_;
  std::optional<EngineEvent> last_;
  std::string last_words_;
};

// Appends what is there. `closed` is set at end of file.
absl::Status ReadSome(int fd, size_t limit, bool* closed, std::string* to) {
  char buffer[1 << 14];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return absl::OkStatus();
    if (n <= 0) {
      *closed = true;
      return absl::OkStatus();
    }
    to->append(buffer, static_cast<size_t>(n));
    if (to->size() > limit) return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL", "the engine's description of itself has no end");
  }
}

EngineRunner::Outcome Conclude(int status, const Conversation& conversation, const TaskLimits& limits) {
  const bool exited = WIFEXITED(status);
  if (conversation.last().has_value()) {
    const EngineEvent& last = *conversation.last();
    if (const auto* success = std::get_if<EngineSuccess>(&last); success && exited && WEXITSTATUS(status) == 0) {
      return {absl::OkStatus(), success->result};
    }
    if (const auto* error = std::get_if<EngineError>(&last); error && exited && WEXITSTATUS(status) != 0) {
      return {error->status, {}};
    }
  }
  return {Crash(status, conversation.last_words(), limits), {}};
}

}  // namespace

EngineRunner::EngineRunner(std::string engine, SandboxOptions sandbox)
    : engine_(std::move(engine)), sandbox_(std::move(sandbox)) {
  bool blas_threads = false;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!PassesToEngine(*variable)) continue;
    environment_.push_back(*variable);
    blas_threads |= std::string_view(*variable).starts_with(kBlasThreads);
  }
  // The engine calls BLAS from threads of its own. OpenBLAS would start a thread for every core when it is loaded, never
  // use them, and kill the process when there is no memory for their stacks.
  if (!blas_threads) environment_.push_back(absl::StrCat(kBlasThreads, "1"));
  LogProtections(sandbox_);
}

absl::StatusOr<EngineDescription> EngineRunner::Describe() {
  constexpr std::chrono::seconds kPatience{30};
  NS_ASSIGN_OR_RETURN(const auto child, spawner_.Spawn({engine_, "describe"}, environment_));
  std::string text, ignored;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  bool closed = false;
  while (!closed) {
    pollfd fds[2] = {{child->out_fd(), POLLIN, 0}, {child->err_fd(), POLLIN, 0}};
    if (poll(fds, 2, kTickMs) < 0 && errno != EINTR) break;
    NS_RETURN_IF_ERROR(ReadSome(child->out_fd(), kMaxLineBytes, &closed, &text));
    bool errors_closed = false;
    NS_RETURN_IF_ERROR(ReadSome(child->err_fd(), kMaxLineBytes, &errors_closed, &ignored));
    if (std::chrono::steady_clock::now() < deadline) continue;
    child->Kill();
    child->Wait();
    return MakeError(absl::StatusCode::kUnavailable, "ENGINE_SILENT",
                     absl::StrCat(engine_, " describe has said nothing within ", kPatience.count(), " s"), "see that it is nashswarm's engine");
  }
  const int status = child->Wait();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Crash(status, ignored.substr(0, kLastWordsBytes), {});
  return ParseEngineDescription(text);
}

EngineRunner::Outcome EngineRunner::Run(const std::string& directory, int wake_fd, std::chrono::seconds timeout,
                                        EngineObserver* observer, const TaskLimits& limits) {
  Sandbox sandbox(engine_, directory, limits, sandbox_);
  auto spawned = spawner_.Spawn({engine_, "task", directory}, environment_, &sandbox);
  if (!spawned.ok()) return {spawned.status(), {}};
  ChildProcess& child = **spawned;
  Conversation conversation(observer);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  bool out_closed = false, err_closed = false, exited = false;
  while (!exited) {
    pollfd fds[4] = {{child.exit_fd(), POLLIN, 0},
                     {out_closed ? -1 : child.out_fd(), POLLIN, 0},
                     {err_closed ? -1 : child.err_fd(), POLLIN, 0},
                     {wake_fd, POLLIN, 0}};
    if (poll(fds, 4, kTickMs) < 0 && errno != EINTR) break;
    // Standard output after the exit is looked at once more below: nothing written before the exit is missed.
    exited = (fds[0].revents & POLLIN) != 0;
    if ((fds[3].revents & POLLIN) != 0) {
      eventfd_t ignored;
      eventfd_read(wake_fd, &ignored);
    }
    absl::Status status = observer->OnTick();
    if (!status.ok()) {
      child.Kill();
      child.Wait();
      return {status, {}, true};
    }
    if (fds[2].revents != 0) status = conversation.ReadError(child.err_fd(), &err_closed);
    if (status.ok() && fds[1].revents != 0) status = conversation.ReadOutput(child.out_fd(), &out_closed);
    if (status.ok() && timeout.count() > 0 && std::chrono::steady_clock::now() > deadline) {
      status = MakeError(absl::StatusCode::kDeadlineExceeded, "TASK_TIMEOUT",
                         absl::StrCat("the task took longer than ", timeout.count(), " s"), "raise --task-timeout");
    }
    if (!status.ok()) {
      child.Kill();
      child.Wait();
      return {status, {}};
    }
  }
  const int wait_status = child.Wait();
  // Everything the engine wrote is in the pipes now. A straggler cannot add to it: the group was killed.
  absl::Status status;
  for (int i = 0; i < 64 && status.ok() && !out_closed; ++i) {
    status = conversation.ReadOutput(child.out_fd(), &out_closed);
  }
  if (status.ok() && !err_closed) status = conversation.ReadError(child.err_fd(), &err_closed);
  // A signal explains whatever is wrong with the output, such as half a line.
  if (status.ok() && WIFEXITED(wait_status)) status = conversation.Finish();
  if (!status.ok() && WIFEXITED(wait_status)) return {status, {}};
  return Conclude(wait_status, conversation, limits);
}

}  // namespace nashswarm::server
