// What PREPARE says a stage needs, against what the stage takes.
#include "core/pipeline/needs.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "core/base/status.h"
#include "core/pipeline/stage_table.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::TinyMixture;

constexpr int kThreads = 2;

int64_t PrivateBytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// Runs the stage in a process of its own; its greatest private memory, or -1 when it failed.
int64_t PeakOf(const std::string& stage, const Task& task) {
  const pid_t pid = fork();
  if (pid == 0) _exit(RunStage(stage, task).ok() ? 0 : 1);
  int64_t peak = 0;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    peak = std::max(peak, PrivateBytes(pid));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? peak : -1;
}

int64_t MemoryOf(const Json& need) {
  return need.at("memory_bytes").get<int64_t>() + kThreads * need.at("thread_bytes").get<int64_t>();
}

// A feed-forward part so wide that its moments are the most of what stages take.
TinyCheckpoint Wide() {
  TinyCheckpoint checkpoint = TinyLlama("llama", /*tied=*/true);
  constexpr uint64_t kFfn = 512;
  const uint64_t width = checkpoint.config["hidden_size"];
  checkpoint.config["intermediate_size"] = kFfn;
  for (const char* layer : {"model.layers.0.mlp.", "model.layers.1.mlp."}) {
    for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
      const std::string name = std::string(layer) + part + ".weight";
      checkpoint.tensors.erase(name);
      const bool down = std::string(part) == "down_proj";
      checkpoint.Add(name, {down ? width : kFfn, down ? kFfn : width});
    }
  }
  return checkpoint;
}

struct Row {
  const char* format;
  bool calibrated;
};

class NeedsTest : public ::testing::TestWithParam<Row> {};

TEST_P(NeedsTest, NoStageTakesMoreThanItsNeed) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  const TemporaryDirectory directory = MakeTemporaryDirectory();
  const std::string model = directory.path() + "/model", work = directory.path() + "/work";
  Wide().Write(model);
  ASSERT_TRUE(MakeDirectories(work).ok());
  RecordingObserver observer;
  Task task{model, work, work, BitsPerWeight(6), 0, kThreads, "00", &observer, TestData("text.txt"), ""};
  task.spec.format = GetParam().format;
  if (GetParam().calibrated) {
    task.spec.calibration = Spec::Calibration::kText;
    task.spec.calibration_tokens = 512;
    task.spec.evaluation_tokens = 512;
  }
  const absl::StatusOr<Json> prepared = Prepare(task);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const Json& needs = prepared->at("needs");
  const auto expect_enough = [&](const std::string& stage) {
    const Json& of_stage = needs.at(stage);
    const Json& need = of_stage.is_array() ? of_stage.at(static_cast<size_t>(task.shard)) : of_stage;
    const int64_t own = PrivateBytes(getpid());  // a child has what we have, to begin with
    const int64_t peak = PeakOf(stage, task);
    ASSERT_GE(peak, 0) << stage;
    EXPECT_GE(MemoryOf(need), peak - own) << stage << " " << task.shard;
  };
  const auto shards = prepared->at("shards").get<int>();
  if (GetParam().calibrated) expect_enough("calibrate");
  for (task.shard = 0; task.shard < shards; ++task.shard) expect_enough("measure");
  task.shard = 0;
  expect_enough("solve");
  for (task.shard = 0; task.shard < shards; ++task.shard) expect_enough("encode");
  task.shard = 0;
  if (GetParam().calibrated) expect_enough("evaluate");
  expect_enough("publish");
}

INSTANTIATE_TEST_SUITE_P(Jobs, NeedsTest,
                         ::testing::Values(Row{"gguf", false}, Row{"nsq", false}, Row{"gguf", true}),
                         [](const auto& info) {
                           return std::string(info.param.format) + (info.param.calibrated ? "Calibrated" : "Plain");
                         });

TEST(NeedsTest, GrowWithTheTextAndAreBoundByItsLength) {
  const TemporaryDirectory directory = MakeTemporaryDirectory();
  Wide().Write(directory.path());
  RecordingObserver observer;
  Task task{directory.path(), "",   directory.path(), BitsPerWeight(6),     0,
            kThreads,         "00", &observer,        TestData("text.txt"), ""};
  const auto calibrate = [&](uint64_t tokens) {
    task.spec.calibration = Spec::Calibration::kText;
    task.spec.calibration_tokens = tokens;
    return Prepare(task)->at("needs").at("calibrate").at("disk_bytes").get<int64_t>();
  };
  EXPECT_FALSE(Prepare(task)->at("needs").contains("calibrate"));
  EXPECT_LT(calibrate(512), calibrate(8192));
  EXPECT_EQ(calibrate(1 << 20), calibrate(1 << 30)) << "the text has 13 kB";
}

// The inputs of all experts of a layer are summed at once, in doubles.
TEST(NeedsTest, GrowWithTheExpertsOfALayer) {
  const auto calibrate = [](int experts) {
    const TemporaryDirectory directory = MakeTemporaryDirectory();
    TinyMixture("mixtral", experts).Write(directory.path());
    RecordingObserver observer;
    Task task{directory.path(), "", directory.path(), BitsPerWeight(8), 0, kThreads, "00", &observer, TestData("text.txt"), ""};
    task.spec.calibration = Spec::Calibration::kText;
    const absl::StatusOr<Json> prepared = Prepare(task);
    if (!prepared.ok()) ADD_FAILURE() << prepared.status();
    return prepared->at("needs").at("calibrate").at("memory_bytes").get<int64_t>();
  };
  EXPECT_GE(calibrate(64) - calibrate(4), 60 * (64 * 64 + 96 * 96) * 8);
}

}  // namespace
}  // namespace nashswarm::pipeline
