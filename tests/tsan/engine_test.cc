// The hub's waiters and wakers, and engines that several threads start, wake and stop at the same time.
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "gtest/gtest.h"
#include "server/events/event_hub.h"
#include "server/log/log.h"
#include "server/worker/engine_runner.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;

TEST(HubThreadsTest, NoChangeIsLostAndDrainingEndsEveryWait) {
  EventHub hub;
  std::atomic<int> relayed{0};
  hub.SetRelay([&](std::string) { ++relayed; });
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      const std::string job = "job" + std::to_string(i);
      uint64_t seen = hub.JobVersion(job), work = hub.WorkVersion();
      while (!done) {
        hub.WaitForJob(job, seen, milliseconds(5));
        seen = hub.JobVersion(job);
        hub.WaitForWork(work, milliseconds(1));
        work = hub.WorkVersion();
      }
    });
    threads.emplace_back([&, i] {
      const int waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      for (int round = 0; round < 300; ++round) {
        hub.AddWaker(waker);
        hub.JobChanged("job" + std::to_string(i));
        hub.WorkAvailable();
        hub.WakeRunning();
        hub.Receive("no message of ours");
        hub.RemoveWaker(waker);
      }
      close(waker);
    });
  }
  for (size_t i = 1; i < threads.size(); i += 2) threads[i].join();
  done = true;
  hub.Drain();
  for (size_t i = 0; i < threads.size(); i += 2) threads[i].join();
  EXPECT_TRUE(hub.draining());
  EXPECT_GT(relayed, 0);
}

class Stopping : public EngineObserver {
 public:
  explicit Stopping(const std::atomic<bool>* stop) : stop_(stop) {}
  void OnProgress(const EngineProgress&) override {}
  void OnTensor(const EngineTensor&) override {}
  void OnLog(const EngineLog&) override {}
  void OnStandardError(std::string_view line) override { Log(LogLevel::kDebug, "engine", {{"text", std::string(line)}}); }
  absl::Status OnTick() override { return *stop_ ? absl::CancelledError("stop") : absl::OkStatus(); }

 private:
  const std::atomic<bool>* stop_;
};

std::string FakeEngine() { return std::string(std::getenv("NASHSWARM_SOURCE_DIR")) + "/tests/integration/fake_engine.py"; }

TEST(EngineThreadsTest, ManyEnginesRunAndAreStoppedTogether) {
  const TemporaryDirectory root = *TemporaryDirectory::Create();
  EngineRunner runner(FakeEngine(), {.writable = {root.path()}});
  EventHub hub;
  std::atomic<bool> stop{false};
  std::atomic<int> ended{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&, i] {
      const std::string directory = root.path() + "/" + std::to_string(i);
      for (const char* child : {"in", "out", "model"}) ASSERT_TRUE(MakeDirectories(directory + "/" + child).ok());
      // Even ones run to their end, odd ones wait for a file that never comes.
      const Json step = i % 2 == 0 ? Json{{"do", "error-flood"}} : Json{{"do", "wait"}, {"for", directory + "/never"}};
      const Json plan = {{"runs", directory + "/runs"}, {"shards", 1}, {"steps", {{"prepare:0", {step}}}}};
      const Json task = {{"stage", "prepare"}, {"shard", 0}, {"model", directory + "/model"}, {"spec", {{"seed", 0}}}};
      ASSERT_TRUE(WriteFileUnsynced(directory + "/model/fake.json", plan.dump()).ok());
      ASSERT_TRUE(WriteFileUnsynced(directory + "/task.json", task.dump()).ok());
      const int waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      hub.AddWaker(waker);
      Stopping observer(&stop);
      const auto outcome = runner.Run(directory, waker, std::chrono::seconds(0), &observer);
      hub.RemoveWaker(waker);
      close(waker);
      EXPECT_EQ(outcome.interrupted, i % 2 != 0) << outcome.status;
      ++ended;
    });
  }
  while (ended < 2) std::this_thread::yield();  // the even ones
  stop = true;
  hub.WakeRunning();
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace nashswarm::server
