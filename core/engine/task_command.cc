#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/resources.h"
#include "core/base/status.h"
#include "core/blas/blas.h"
#include "core/engine/commands.h"
#include "core/engine/exit_code.h"
#include "core/pipeline/stages.h"

namespace nashswarm::engine {
namespace {

constexpr uint64_t kMaxTaskBytes = 16u << 20;

void Emit(const Json& event) {
  static std::mutex mutex;
  const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::lock_guard<std::mutex> lock(mutex);
  std::cout << line << std::flush;
}

class StdoutObserver : public pipeline::Observer {
 public:
  void Progress(uint64_t done, uint64_t total, const std::string& tensor) override {
    Emit({{"event", "progress"}, {"done", done}, {"total", total}, {"tensor", tensor}});
  }
  void TensorDone(const std::string& tensor, const std::string& format, double bits, double error) override {
    Emit({{"event", "tensor"}, {"tensor", tensor}, {"format", format}, {"bits_per_weight", bits}, {"relative_error", error}});
  }
  void Log(const std::string& severity, const std::string& text) override {
    Emit({{"event", "log"}, {"severity", severity}, {"text", text}});
  }
};

// The most memory this process has had resident.
uint64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// Whether BLAS will have its working memory, where there is a limit and the stage may use it.
bool HasMemoryForBlas(const std::string& stage, int threads) {
  rlimit limit;
  if (getrlimit(RLIMIT_DATA, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  if (stage == "validate" || stage == "prepare" || stage == "solve" || stage == "publish") return true;
  return blas::ReserveBuffers(ResolveThreads(threads));
}

// An error goes to somebody who knows the files by other names: the model's are named as they are within it, the texts and the
// importance matrix by their purpose. `nashswarm` puts the user's own names in their places.
absl::Status InTermsOfTheJob(const absl::Status& error, const std::string& dir, const pipeline::Task& task) {
  std::vector<std::pair<std::string, std::string>> names;  // longer paths first: one begins with another
  if (!task.calibration_path.empty()) names.emplace_back(task.calibration_path, "calibration");
  if (!task.evaluation_path.empty()) names.emplace_back(task.evaluation_path, "evaluation");
  if (!task.model_dir.empty()) names.insert(names.end(), {{task.model_dir + "/", ""}, {task.model_dir, "the model"}});
  names.emplace_back(dir + "/", "");
  std::string message(error.message()), hint = HintOf(error);
  for (const auto& [path, name] : names) {
    message = absl::StrReplaceAll(message, {{path, name}});
    hint = absl::StrReplaceAll(hint, {{path, name}});
  }
  return MakeError(error.code(), ReasonOf(error), message, hint);
}

absl::StatusOr<Json> Run(const std::string& dir, StdoutObserver* observer) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(dir, "task.json"), kMaxTaskBytes));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, "task.json"));
  const std::string stage = JsonString(json, "stage");
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
  if (const auto history = json.find("history"); history != json.end() && history->is_array()) task.history = *history;
  task.observer = observer;
  if (stage != "validate") {
    NS_ASSIGN_OR_RETURN(task.spec, pipeline::ParseSpec(json.contains("spec") ? json["spec"] : Json()));
  }
  if (!HasMemoryForBlas(stage, task.threads)) return OutOfMemoryError();
  absl::StatusOr<Json> result = pipeline::RunStage(stage, task);
  return result.ok() ? result : InTermsOfTheJob(result.status(), dir, task);
}

}  // namespace

int RunTask(const std::string& dir) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto start = std::chrono::steady_clock::now();
  StdoutObserver observer;
  absl::StatusOr<Json> result;
  try {
    result = Run(dir, &observer);
  } catch (const std::bad_alloc&) {
    result = OutOfMemoryError();
  } catch (const std::exception& e) {  // only our own stage files could cause it: nlohmann's at()
    result = MakeError(absl::StatusCode::kInternal, "STAGE_FILE_INVALID", e.what());
  }
  if (!result.ok()) {
    const absl::Status& status = result.status();
    Emit({{"event", "error"}, {"code", static_cast<int>(status.code())}, {"reason", ReasonOf(status)},
          {"message", std::string(status.message())}, {"hint", HintOf(status)}});
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
