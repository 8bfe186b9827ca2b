// Errors that leave the server name no directory of its machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "server/rpc/status.h"
#include "server/store/error_proto.h"

namespace nashswarm::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HiddenDirectoriesTest, FilesGoByTheirNamesInThem) {
  HideDirectories({"/srv/nashswarm", "/mnt/blobs"});
  const absl::Status full = MakeError(absl::StatusCode::kResourceExhausted, "NO_SPACE",
                                      "/srv/nashswarm/work/j-1/model/config.json: No space left on device; '/mnt/blobs/ab/cd'", "look at /srv/nashswarm");
  const v1::Error error = ToErrorProto(full);
  EXPECT_EQ(error.message(), "work/j-1/model/config.json: No space left on device; 'ab/cd'");
  EXPECT_THAT(error.SerializeAsString(), HasSubstr("look at the server's data directory"));
  EXPECT_THAT(error.SerializeAsString(), Not(HasSubstr("/srv")));
  EXPECT_EQ(ToGrpcStatus(full).error_message(), error.message());
  EXPECT_THAT(ToGrpcStatus(full).error_details(), Not(HasSubstr("/srv")));
  HideDirectories({});
}

}  // namespace
}  // namespace nashswarm::server
