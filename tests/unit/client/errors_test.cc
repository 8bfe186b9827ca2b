#include "client/cli/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <sstream>

#include "client/cli/watch.h"
#include "tests/unit/client/fake_server.h"

namespace nashswarm::cli {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::Not;

TEST(Errors, MapsEveryKindToItsExitCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kFailedPrecondition, "X", "m")), 1);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kInvalidArgument, "TARGET_INFEASIBLE", "m")), 1);
  EXPECT_EQ(ExitCodeOf(UsageError("m")), 2);
  // A pattern only the server can read.
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kInvalidArgument, "BAD_PATTERN", "m")), 2);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kNotFound, "X", "m")), 3);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kUnauthenticated, "X", "m")), 4);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kPermissionDenied, "X", "m")), 4);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kUnavailable, "X", "m")), 5);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kDeadlineExceeded, "X", "m")), 5);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kResourceExhausted, "X", "m")), 6);
  EXPECT_EQ(ExitCodeOf(ErrnoError(ENOSPC, "out")), 6);
  EXPECT_EQ(ExitCodeOf(ErrnoError(ENOENT, "in")), 3);
  // The right to a local file is no matter of logging in.
  EXPECT_EQ(ExitCodeOf(ErrnoError(EACCES, "in")), 1);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kDataLoss, "X", "m")), 7);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kInvalidArgument, "INDEX_INVALID", "m")), 7);
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kInvalidArgument, "TOKENIZER_INVALID", "m")), 7);
  EXPECT_EQ(ExitCodeOf(InterruptedError("m")), 130);
  // Cancelled by somebody else is a failure, not Ctrl-C.
  EXPECT_EQ(ExitCodeOf(MakeError(StatusCode::kCancelled, "JOB_CANCELLED", "m")), 1);
}

TEST(Errors, ReadsReasonAndHintFromTheTrailer) {
  const absl::Status status =
      FromGrpc(FakeError(grpc::StatusCode::NOT_FOUND, "JOB_NOT_FOUND", "there is no jobs/x", "nashswarm jobs list"));
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "there is no jobs/x");
  EXPECT_EQ(ReasonOf(status), "JOB_NOT_FOUND");
  EXPECT_EQ(HintOf(status), "nashswarm jobs list");
}

TEST(Errors, SurvivesATrailerThatIsNoMessage) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "oh", "\xff\xff garbage"));
  EXPECT_EQ(status.message(), "oh");
  EXPECT_EQ(ReasonOf(status), "");
}

TEST(Errors, PrintsWhatWhyAndHint) {
  std::ostringstream out;
  PrintError(out, MakeError(StatusCode::kNotFound, "JOB_NOT_FOUND", "there is no jobs/x", "nashswarm jobs list"),
             false);
  EXPECT_EQ(out.str(), "error: there is no jobs/x [JOB_NOT_FOUND]\nhint:  nashswarm jobs list\n");
  std::ostringstream plain;
  PrintError(plain, UsageError("no target"), false);
  EXPECT_EQ(plain.str(), "error: no target\n");
  std::ostringstream colored;
  PrintError(colored, UsageError("no target"), true);
  EXPECT_THAT(colored.str(), HasSubstr("\x1b[31merror:\x1b[0m"));
}

TEST(Errors, JsonHasTheSameFacts) {
  const auto json = ErrorToJson(MakeError(StatusCode::kNotFound, "JOB_NOT_FOUND", "gone", "look"));
  EXPECT_EQ(json["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(json["error"]["reason"], "JOB_NOT_FOUND");
  EXPECT_EQ(json["error"]["message"], "gone");
  EXPECT_EQ(json["error"]["hint"], "look");
}

TEST(Errors, AFailedJobKeepsItsReasonButIsNeverUnreachable) {
  v1::Job job;
  job.set_name("jobs/a");
  job.set_state(v1::Job::FAILED);
  const grpc::Status wire =
      FakeError(grpc::StatusCode::DATA_LOSS, "TRUNCATED", "model.safetensors is cut", "copy it again");
  job.mutable_error()->ParseFromString(wire.error_details());
  const absl::Status status = OutcomeOf(job, "host:1");
  EXPECT_EQ(ExitCodeOf(status), kExitCorrupt);
  EXPECT_EQ(ReasonOf(status), "TRUNCATED");
  EXPECT_EQ(HintOf(status), "copy it again");

  job.mutable_error()->set_code(grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ExitCodeOf(OutcomeOf(job, "host:1")), kExitFailed);
  job.clear_error();
  EXPECT_EQ(ExitCodeOf(OutcomeOf(job, "host:1")), kExitFailed);
  EXPECT_THAT(HintOf(OutcomeOf(job, "host:1")), HasSubstr("jobs get jobs/a --server host:1"));
}

}  // namespace
}  // namespace nashswarm::cli
