#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/resources.h"
#include "core/base/status.h"
#include "core/blas/blas.h"
#include "core/engine/commands.h"
#include "core/engine/exit_code.h"
#include "core/pipeline/stage_table.h"

namespace nashswarm::engine {
namespace {

constexpr uint64_t kMaxTaskBytes = 16u << 20;

void Emit(const Json& event) {
  static std::mutex mutex;
  const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::lock_guard<std::mutex> lock(mutex);
  std::cout << line << std::flush;
}

// Paths in what a task says. It was laid out for this run and is gone after it, on a machine that the reader may have no
// business with: a file of the model goes by its name there, as everything else does.
class TaskPaths {
 public:
  explicit TaskPaths(std::string dir) : dir_(std::move(dir)) {}
  void SetFiles(const pipeline::Task& task) {
    hidden_ = {{task.calibration_path, "calibration"}, {task.evaluation_path, "evaluation"},
               {task.model_dir, "the model"}, {task.in_dir, "the task's inputs"}, {task.out_dir, "the task's outputs"}};
  }
  std::string HiddenIn(std::string text) const {
    for (const auto& [directory, instead] : hidden_) text = WithoutDirectory(text, directory, instead);
    return WithoutDirectory(text, dir_, "the task");
  }

 private:
  std::string dir_;
  std::vector<std::pair<std::string, std::string>> hidden_;
};

class StdoutObserver : public pipeline::Observer {
 public:
  explicit StdoutObserver(const TaskPaths& paths) : paths_(paths) {}
  void Progress(uint64_t done, uint64_t total, const std::string& tensor) override {
    Emit({{"event", "progress"}, {"done", done}, {"total", total}, {"tensor", tensor}});
  }
  void TensorDone(const std::string& tensor, const std::string& format, double bits, double error) override {
    Emit({{"event", "tensor"}, {"tensor", tensor}, {"format", format}, {"bits_per_weight", bits}, {"relative_error", error}});
  }
  void Log(const std::string& severity, const std::string& text) override {
    Emit({{"event", "log"}, {"severity", severity}, {"text", paths_.HiddenIn(text)}});
  }

 private:
  const TaskPaths& paths_;
};

// The most memory this process has had resident.
uint64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// Whether BLAS will have its working memory, where there is a limit and the stage may use it.
bool HasMemoryForBlas(const pipeline::StageRow& stage, int threads) {
  rlimit limit;
  if (getrlimit(RLIMIT_DATA, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  if (!stage.uses_blas) return true;
  return blas::ReserveBuffers(ResolveThreads(threads));
}

absl::StatusOr<Json> Run(const std::string& dir, StdoutObserver* observer, TaskPaths* paths) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(dir, "task.json"), kMaxTaskBytes));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, "task.json"));
  NS_ASSIGN_OR_RETURN(const pipeline::StageRow* const stage, pipeline::FindStage(JsonString(json, "stage")));
  pipeline::Task task;
  task.model_dir = JsonString(json, "model");
  task.in_dir = JoinPath(dir, "in");
  task.out_dir = JoinPath(dir, "out");
  task.shard = static_cast<int>(JsonInt(json, "shard", 0));
  task.threads = static_cast<int>(JsonInt(json, "threads", 0));
  task.source_digest = json.contains("source") ? JsonString(json["source"], "digest") : "";
  if (const auto data = json.find("data"); data != json.end() && data->is_object()) {
    task.calibration_path = JsonString(*data, "calibration");
    task.evaluation_path = JsonString(*data, "evaluation");
  }
  paths->SetFiles(task);
  if (const auto history = json.find("history"); history != json.end() && history->is_array()) task.history = *history;
  task.observer = observer;
  if (stage->reads_spec) {
    NS_ASSIGN_OR_RETURN(task.spec, pipeline::ParseSpec(json.contains("spec") ? json["spec"] : Json()));
  }
  if (!HasMemoryForBlas(*stage, task.threads)) return OutOfMemoryError();
  return stage->run(task);
}

}  // namespace

int RunTask(const std::string& dir) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto start = std::chrono::steady_clock::now();
  TaskPaths paths(dir);
  StdoutObserver observer(paths);
  absl::StatusOr<Json> result;
  try {
    result = Run(dir, &observer, &paths);
  } catch (const std::bad_alloc&) {
    result = OutOfMemoryError();
  } catch (const std::exception& e) {  // only our own stage files could cause it: nlohmann's at()
    result = MakeError(absl::StatusCode::kInternal, "STAGE_FILE_INVALID", e.what());
  }
  if (!result.ok()) {
    const absl::Status& status = result.status();
    Emit({{"event", "error"}, {"code", static_cast<int>(status.code())}, {"reason", ReasonOf(status)},
          {"message", paths.HiddenIn(std::string(status.message()))}, {"hint", paths.HiddenIn(HintOf(status))}});
    return 1;
  }
  (*result)["event"] = "result";
  (*result)["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  (*result)["peak_bytes"] = PeakBytes();
  Emit(*result);
  return 0;
}

int ReportError(const absl::Status& status, bool json) {
  const std::string hint = HintOf(status);
  if (json) {
    Emit({{"error", {{"code", absl::StatusCodeToString(status.code())}, {"reason", ReasonOf(status)},
                     {"message", std::string(status.message())}, {"hint", hint}}}});
  }
  std::cerr << "error: " << status.message() << "\n";
  if (!hint.empty()) std::cerr << "hint: " << hint << "\n";
  return ExitCodeOf(status);
}

}  // namespace nashswarm::engine
