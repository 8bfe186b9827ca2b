#include "base/commandline/exit_code.h"

#include <gtest/gtest.h>

namespace nashswarm::commandline {
namespace {

TEST(ExitCodeTest, OfAnArgumentThatIsTypedOfOneThatIsDamagedAndOfTheRest) {
  for (const char* reason : {"USAGE", "BAD_TARGET", "NOT_DATA", "STRIDE_TOO_LONG"}) EXPECT_EQ(CodeOfInvalidArgument(reason), kExitUsage) << reason;
  for (const char* reason : {"JSON_SYNTAX", "SHARD_MISMATCH"}) EXPECT_EQ(CodeOfInvalidArgument(reason), kExitCorrupt) << reason;
  for (const char* reason : {"", "TOKENIZER_UNKNOWN", "XBAD_"}) EXPECT_EQ(CodeOfInvalidArgument(reason), kExitFailed) << reason;
}

}  // namespace
}  // namespace nashswarm::commandline
