#include "client/cli/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::JobEvent Snapshot(v1::Job::State state, int64_t sequence) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_snapshot()->set_name("jobs/j");
  event.mutable_snapshot()->set_state(state);
  return event;
}

v1::JobEvent Encoding(int64_t done) {
  v1::JobEvent event;
  auto* progress = event.mutable_progress();
  progress->set_stage(v1::Job::ENCODE);
  progress->set_weights_done(done);
  progress->set_weights_total(100);
  progress->set_unit("weights");
  progress->set_current_tensor("h.0.mlp");
  return event;
}

v1::JobEvent TensorDone(int64_t sequence, const std::string& tensor) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_tensor_done()->set_tensor(tensor);
  return event;
}

class WatchTest : public testing::Test {
 protected:
  FakeServer server_;
  ClientUnderTest client_{server_.address};
};

TEST_F(WatchTest, FollowsToTheEndAndShowsTheStages) {
  server_.state.watches = {
      {Snapshot(v1::Job::QUEUED, 0), Snapshot(v1::Job::RUNNING, 1), Encoding(25), Snapshot(v1::Job::SUCCEEDED, 2)}};
  const auto job = WatchJob(client_.session, "jobs/j");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::Job::SUCCEEDED);
  EXPECT_THAT(client_.log.str(), HasSubstr("queued\n"));
  EXPECT_THAT(client_.log.str(), HasSubstr("encode: 25%, 25 of 100 weights, h.0.mlp\n"));
}

TEST_F(WatchTest, CountsInTheUnitThatTheServerNames) {
  v1::JobEvent calibrating = Encoding(25), searching = Encoding(30), evaluating = Encoding(50);
  calibrating.mutable_progress()->set_stage(v1::Job::CALIBRATE);
  calibrating.mutable_progress()->set_current_tensor("backward");
  evaluating.mutable_progress()->set_stage(v1::Job::EVALUATE);
  searching.mutable_progress()->set_stage(v1::Job::SEARCH);
  searching.mutable_progress()->set_current_tensor("swarm: 3 of 10 plans");
  v1::JobEvent publishing = Encoding(75);
  publishing.mutable_progress()->set_stage(v1::Job::PUBLISH);
  publishing.mutable_progress()->clear_unit();  // as servers before the field
  for (v1::JobEvent* event : {&calibrating, &searching, &evaluating}) event->mutable_progress()->set_unit("tokens");
  server_.state.watches = {
      {Snapshot(v1::Job::RUNNING, 1), calibrating, searching, evaluating, publishing, Snapshot(v1::Job::SUCCEEDED, 2)}};
  ASSERT_TRUE(WatchJob(client_.session, "jobs/j").ok());
  EXPECT_THAT(client_.log.str(), HasSubstr("calibrate: 25%, 25 of 100 tokens, backward\n"));
  EXPECT_THAT(client_.log.str(), HasSubstr("search: 30%, 30 of 100 tokens, swarm: 3 of 10 plans\n"));
  EXPECT_THAT(client_.log.str(), HasSubstr("evaluate: 50%, 50 of 100 tokens"));
  EXPECT_THAT(client_.log.str(), HasSubstr("publish: 75%, 75 of 100, h.0.mlp\n"));
}

TEST_F(WatchTest, ReconnectsAfterTheLastEventAndSeesEachOnce) {
  server_.state.watches = {{Snapshot(v1::Job::RUNNING, 1), TensorDone(2, "a"), TensorDone(3, "b")},
                           {Snapshot(v1::Job::RUNNING, 0), TensorDone(3, "b"), TensorDone(4, "c")},
                           {Snapshot(v1::Job::SUCCEEDED, 5)}};
  std::vector<std::string> tensors;
  const auto job = WatchJob(client_.session, "jobs/j", [&](const v1::JobEvent& event) {
    if (event.has_tensor_done()) tensors.push_back(event.tensor_done().tensor());
  });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(tensors, ElementsAre("a", "b", "c"));
  EXPECT_THAT(server_.state.watch_sequences, ElementsAre(0, 3, 4));
}

TEST_F(WatchTest, ShowsWarningsAndRepeatedAttempts) {
  v1::JobEvent log;
  log.set_sequence(2);
  log.mutable_log()->set_severity("warning");
  log.mutable_log()->set_text("h.0 fell back to Q8_0");
  v1::JobEvent again = Snapshot(v1::Job::RUNNING, 1);
  again.mutable_snapshot()->mutable_error()->set_message("the engine was killed");
  server_.state.watches = {{again, again, log, Snapshot(v1::Job::SUCCEEDED, 3)}};
  ASSERT_TRUE(WatchJob(client_.session, "jobs/j").ok());
  EXPECT_EQ(client_.log.str(),
            "an attempt failed and is repeated: the engine was killed\nwarning: h.0 fell back to Q8_0\n");
}

TEST_F(WatchTest, CtrlCEndsASilentStream) {
  server_.state.watches = {{}};
  std::thread finger([this] {
    while (true) {
      {
        const std::lock_guard lock(server_.state.mutex);
        if (!server_.state.watch_sequences.empty()) break;
      }
      std::this_thread::yield();
    }
    client_.interrupt.Trip();
  });
  const absl::Status status = WatchJob(client_.session, "jobs/j").status();
  finger.join();
  EXPECT_EQ(ExitCodeOf(status), kExitInterrupted);
}

TEST_F(WatchTest, AnUnknownJobIsNotFound) {
  EXPECT_EQ(ExitCodeOf(WatchJob(client_.session, "jobs/none").status()), kExitNotFound);
}

TEST_F(WatchTest, ASilentStreamIsBrokenOffByTheWatchdog) {
  server_.state.watches = {{}};
  Call call(client_.interrupt, std::chrono::milliseconds(1));
  v1::WatchJobRequest request;
  const auto stream = client_.connection.jobs()->WatchJob(call.context(), request);
  v1::JobEvent event;
  EXPECT_FALSE(stream->Read(&event));
  const absl::Status status = call.Finish(stream->Finish());
  EXPECT_EQ(ReasonOf(status), "CONNECTION_LOST");
  EXPECT_TRUE(IsConnectionLoss(status));
}

}  // namespace
}  // namespace nashswarm::cli
