// The cache of `compress`: whose turn it is, and what is thrown away.
#include "client/cli/stage_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "tests/unit/client/client_testing.h"

namespace nashswarm::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class StageCacheTest : public testing::Test {
 protected:
  StageCacheTest() {
    directory_.Write("bin/nashswarmd", "1");
    directory_.Write("bin/nashswarm-engine", "1");
  }
  StageCacheRequest Request() {
    return {.getenv = [this](const char* name) { return std::string(name) == variable_ ? value_.c_str() : nullptr; },
            .server = directory_ / "bin/nashswarmd",
            .engine = directory_ / "bin/nashswarm-engine",
            .instead = directory_.path()};
  }
  StageCache Take() { return TakeStageCache(Request()); }

  TemporaryDirectory directory_;
  std::string variable_ = "XDG_CACHE_HOME", value_ = directory_ / "cache";
  const std::string data_ = directory_ / "cache/nashswarm/stages";
};

TEST_F(StageCacheTest, LiesInTheUsersCacheDirectoryForTheUserAlone) {
  EXPECT_EQ(Take().data, data_);
  struct stat info = {};
  ASSERT_EQ(stat((directory_ / "cache/nashswarm").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  variable_ = "HOME";
  EXPECT_EQ(Take().data, directory_ / "cache/.cache/nashswarm/stages");
  variable_ = "NEITHER";
  EXPECT_EQ(Take().data, "");
  EXPECT_EQ(Take().why_not, "");
}

TEST_F(StageCacheTest, IsOneRunsAtATime) {
  {
    const StageCache first = Take();
    ASSERT_EQ(first.data, data_);
    const StageCache second = Take();
    EXPECT_EQ(second.data, "");
    EXPECT_THAT(second.why_not, HasSubstr("another compress has the cache"));
  }
  EXPECT_EQ(Take().data, data_) << "and free when the first has ended";
}

TEST_F(StageCacheTest, WaitsForNoServerThatOutlivesItsClient) {
  Take();
  directory_.Write("cache/nashswarm/stages/lock", "");
  const UniqueFd server(open((data_ + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(server.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(Take().data, "");
}

TEST_F(StageCacheTest, WhatCannotBeLockedIsNotSaidToBeAnothers) {
  Take();
  directory_.Write("cache/nashswarm/stages/lock/file", "");
  const StageCache none = Take();
  EXPECT_EQ(none.data, "");
  EXPECT_THAT(none.why_not, HasSubstr("the cache " + (directory_ / "cache/nashswarm") + " cannot be locked: Is a directory"));
}

TEST_F(StageCacheTest, WhatIsSetAsideComesBackOrGoes) {
  const StageCache cache = Take();
  directory_.Write("cache/nashswarm/stages/db", "kept");
  ASSERT_TRUE(SetStagesAside(cache));
  EXPECT_FALSE(FileExists(data_));
  directory_.Write("cache/nashswarm/stages/db", "of a server that did not start either");
  RestoreStages(cache);
  EXPECT_EQ(directory_.Read("cache/nashswarm/stages/db"), "kept");
  ASSERT_TRUE(SetStagesAside(cache));
  directory_.Write("cache/nashswarm/stages/db", "new");
  DropStagesAside(cache);
  EXPECT_EQ(directory_.Read("cache/nashswarm/stages/db"), "new");
  EXPECT_THAT(directory_.List(), Not(Contains(HasSubstr("aside"))));
}

TEST_F(StageCacheTest, WhatAKilledRunHasSetAsideGoesWithTheNext) {
  ASSERT_TRUE(SetStagesAside(Take()));
  directory_.Write("cache/nashswarm/stages.aside/db", "old");
  EXPECT_EQ(Take().data, data_);
  EXPECT_THAT(directory_.List(), Not(Contains(HasSubstr("aside"))));
}

TEST_F(StageCacheTest, StaysForTheSameProgramsAndGoesWithOthers) {
  Take();
  directory_.Write("cache/nashswarm/stages/db", "kept");
  Take();
  EXPECT_EQ(directory_.Read("cache/nashswarm/stages/db"), "kept");
  directory_.Write("bin/nashswarm-engine", "another build");
  EXPECT_EQ(Take().data, data_);
  EXPECT_EQ(directory_.Read("cache/nashswarm/stages/db"), "");
  // A crash while it was thrown away: no stamp.
  directory_.Write("cache/nashswarm/stages/db", "half gone");
  std::filesystem::remove(directory_ / "cache/nashswarm/made-by");
  Take();
  EXPECT_EQ(directory_.Read("cache/nashswarm/stages/db"), "");
}

TEST_F(StageCacheTest, ModelsTooLargeForItsDiskGoBesideTheOutput) {
  StageCacheRequest request = Request();
  request.model_bytes = int64_t{1} << 60;
  EXPECT_EQ(TakeStageCache(request).data, data_) << "the output's disk is no roomier";
  request.instead = "/dev/shm";
  const StageCache cache = TakeStageCache(request);
  if (!cache.data.empty()) GTEST_SKIP() << "/dev/shm is no roomier here";
  EXPECT_THAT(cache.why_not, HasSubstr("too little room"));
}

TEST_F(StageCacheTest, WhereNoneCanBeMadeTheRunGoesOnWithout) {
  directory_.Write("cache", "a file");
  const StageCache none = Take();
  EXPECT_EQ(none.data, "");
  EXPECT_THAT(none.why_not, HasSubstr("the finished stages of this run will not be kept"));
}

}  // namespace
}  // namespace nashswarm::cli
