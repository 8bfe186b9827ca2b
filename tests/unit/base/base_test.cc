#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/base/utf8.h"
#include "tests/support/files.h"

namespace nashswarm {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StatusTest, ReasonAndHintSurviveAnnotation) {
  const absl::Status status = Annotate(MakeError(absl::StatusCode::kNotFound, "GONE", "no such thing", "look elsewhere"), "file");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "file: no such thing");
  EXPECT_EQ(ReasonOf(status), "GONE");
  EXPECT_EQ(HintOf(status), "look elsewhere");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

TEST(StatusTest, FullDiskIsNamedWithARemedy) {
  const absl::Status status = ErrnoError(ENOSPC, "out.bin");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "NO_SPACE");
  EXPECT_NE(HintOf(status), "");
}

TEST(CheckedTest, OverflowIsSeen) {
  EXPECT_EQ(CheckedMul(3, 5), 15u);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedAdd(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(AlignUp(33, 32), 64u);
  EXPECT_EQ(AlignUp(64, 32), 64u);
}

TEST(HalfTest, EveryHalfRoundTrips) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = HalfToFloat(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(FloatToHalf(value), half) << bits;
    // The definition, computed apart from the code: mantissa times a power of two.
    const int exponent = (half >> 10) & 31, mantissa = half & 1023;
    if (exponent < 31) {
      const double expected = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      EXPECT_EQ(std::fabs(value), expected) << bits;
    }
  }
}

TEST(HalfTest, RoundsToNearestEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00);             // halfway, even below
  EXPECT_EQ(FloatToHalf(1.0f + 3 * 0x1p-11f), 0x3c02);         // halfway, even above
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);                    // infinity
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);                         // halfway to the least subnormal
  EXPECT_EQ(FloatToHalf(0x1.8p-25f), 1);
  EXPECT_EQ(FloatToBFloat16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(FloatToBFloat16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(HashTest, KnownDigest) {  // FIPS 180-2, appendix B.1
  EXPECT_EQ(ToHex(Sha256Of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/f", "abc");
  EXPECT_EQ(*Sha256OfFile(dir.path() + "/f"), Sha256Of("abc"));
  EXPECT_EQ(Sha256OfFile(dir.path() + "/absent").status().code(), absl::StatusCode::kNotFound);
}

TEST(HashTest, GoesOnFromASavedState) {
  const std::string text = std::string(1000, 'x') + "and an end";
  for (const size_t cut : {0, 1, 55, 63, 64, 65, 128, 1000, 1010}) {
    Sha256 first;
    first.Update(text.substr(0, cut));
    const std::string saved = first.Save();
    Sha256 second;
    second.Update("what was there before is forgotten");
    ASSERT_TRUE(second.Restore(saved)) << cut;
    second.Update(text.substr(cut));
    EXPECT_EQ(second.Finish(), Sha256Of(text)) << cut;
    if (cut > 0) {
      EXPECT_FALSE(second.Restore(saved.substr(0, saved.size() - 1))) << cut;
    }
  }
  EXPECT_FALSE(Sha256().Restore(""));
  EXPECT_FALSE(Sha256().Restore(std::string(200, 'x')));
}

TEST(ParallelTest, EveryIndexOnce) {
  std::vector<std::atomic<int>> seen(1000);
  NS_ASSERT_OK(ParallelFor(4, seen.size(), [&](uint64_t i) {
    ++seen[i];
    return absl::OkStatus();
  }));
  for (const auto& count : seen) EXPECT_EQ(count, 1);
  NS_EXPECT_OK(ParallelFor(4, 0, [](uint64_t) { return absl::InternalError("never called"); }));
}

TEST(ParallelTest, ErrorEndsTheLoop) {
  const absl::Status status = ParallelFor(1, 10, [](uint64_t i) {
    return i == 3 ? absl::InternalError("three") : i > 3 ? absl::InternalError("went on") : absl::OkStatus();
  });
  EXPECT_EQ(status.message(), "three");
}

TEST(JsonTest, RefusesWhatAHostileFileMayHold) {
  EXPECT_EQ(ReasonOf(ParseJson(R"({"a":1,"a":2})", "f").status()), "JSON_DUPLICATE_KEY");
  EXPECT_EQ(ReasonOf(ParseJson(std::string(100, '[') + std::string(100, ']'), "f").status()), "JSON_DEPTH");
  EXPECT_EQ(ReasonOf(ParseJson(R"({"a":)", "f").status()), "JSON_SYNTAX");
  EXPECT_EQ(ReasonOf(ParseJson("", "f").status()), "JSON_SYNTAX");
  EXPECT_THAT(std::string(ParseJson("{", "the file").status().message()), HasSubstr("the file"));
  EXPECT_TRUE(ParseJson(R"({"a":{"b":1},"c":{"b":2}})", "f").ok());  // the same key in two objects
}

TEST(JsonTest, FieldsOfAnotherTypeAreAbsent) {
  const Json json = {{"i", 3}, {"s", "x"}, {"d", 1.5}};
  EXPECT_EQ(JsonInt(json, "i", 7), 3);
  EXPECT_EQ(JsonInt(json, "s", 7), 7);
  EXPECT_EQ(JsonString(json, "d", "none"), "none");
  EXPECT_EQ(JsonDouble(json, "i", 0), 3);
}

TEST(PathTest, OnlyPlainRelativePaths) {
  for (const char* good : {"a", "a/b.c", "model-00001-of-00002.safetensors", "..a", "a..b"}) {
    NS_EXPECT_OK(ValidateRelativePath(good));
  }
  for (const char* bad : {"", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\\b", "a\nb", ".."}) {
    EXPECT_EQ(ReasonOf(ValidateRelativePath(bad)), "BAD_PATH") << bad;
  }
  EXPECT_FALSE(ValidateRelativePath(std::string(2000, 'a')).ok());
}

TEST(PathTest, NamesThatReadAsOthersAreRefusedByCodePoint) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"a\u202Egpj.exe", "U+202E"}, {"a\u2066b", "U+2066"},     {"\uFEFFa", "U+FEFF"},         {"a\u200Bb", "U+200B"},
      {"a\u200D", "U+200D"},        {"a\u00ADb", "U+00AD"},     {"a\xC2\x85" "b", "U+0085"},   {"a\u2028b", "U+2028"},
      {"dir\u061C/a", "U+061C"},    {"a\u2060", "U+2060"},      {"a\u3164", "U+3164"},         {"a\uFE0F", "U+FE0F"},
      {"a\U000E0041", "U+E0041"},   {std::string("a\0b", 3), "U+0000"},
  };
  for (const auto& [path, code] : bad) {
    const absl::Status refused = ValidateRelativePath(path);
    EXPECT_EQ(ReasonOf(refused), "BAD_PATH") << path;
    EXPECT_NE(refused.message().find(code), std::string::npos) << refused;
    EXPECT_EQ(FindInvisible(ToStd(refused.message())), std::nullopt) << "the message must not carry it on: " << refused;
  }
  for (const char* good : {"naïve.txt", "模型/权重.safetensors", "модель", "مدل.bin", "a b", "😀.bin"}) {
    NS_EXPECT_OK(ValidateRelativePath(good));
  }
}

TEST(AtomicFileTest, AppearsOnlyOnCommit) {
  const auto dir = MakeTemporaryDirectory();
  const std::string path = dir.path() + "/out";
  {
    auto file = AtomicFile::Create(path);
    NS_ASSERT_OK(file.status());
    NS_ASSERT_OK(file->Append("half"));
  }
  EXPECT_THAT(*ListFiles(dir.path()), ElementsAre());  // no trace of the abandoned one
  {
    auto file = AtomicFile::Create(path);
    NS_ASSERT_OK(file.status());
    NS_ASSERT_OK(file->Append("hello "));
    NS_ASSERT_OK(file->Append("world"));
    EXPECT_FALSE(PathExists(path));
    NS_ASSERT_OK(file->Commit());
  }
  EXPECT_THAT(*ListFiles(dir.path()), ElementsAre("out"));
  EXPECT_EQ(ReadTestFile(path), "hello world");
}

TEST(AtomicFileTest, KeepsTheOldFileUntilCommit) {
  const auto dir = MakeTemporaryDirectory();
  const std::string path = dir.path() + "/out";
  WriteTestFile(path, "old");
  {
    auto file = AtomicFile::Create(path);
    NS_ASSERT_OK(file->Append("new"));
  }
  EXPECT_EQ(ReadTestFile(path), "old");
  NS_ASSERT_OK(WriteFileDurably(path, "new"));
  EXPECT_EQ(ReadTestFile(path), "new");
}

TEST(FileTest, ListsRegularFilesSortedWithoutHiddenOnes) {
  const auto dir = MakeTemporaryDirectory();
  for (const char* name : {"b", "a", "sub/c", ".git/x", ".hidden"}) WriteTestFile(dir.path() + "/" + name, "x");
  EXPECT_THAT(*ListFiles(dir.path()), ElementsAre("a", "b", "sub/c"));
  EXPECT_FALSE(ListFiles(dir.path() + "/absent").ok());
  EXPECT_THAT(*ListOwnFiles(dir.path()), ElementsAre("a", "b"));
  EXPECT_FALSE(ListOwnFiles(dir.path() + "/absent").ok());
}

TEST(FileTest, ReadRefusesTooLarge) {
  const auto dir = MakeTemporaryDirectory();
  WriteTestFile(dir.path() + "/f", "12345");
  EXPECT_EQ(*ReadFile(dir.path() + "/f", 5), "12345");
  EXPECT_EQ(ReasonOf(ReadFile(dir.path() + "/f", 4).status()), "FILE_TOO_LARGE");
}

TEST(FileTest, TemporaryDirectoryGoesAway) {
  std::string path;
  {
    const auto dir = MakeTemporaryDirectory();
    path = dir.path();
    WriteTestFile(path + "/deep/er/file", "x");
  }
  EXPECT_FALSE(PathExists(path));
}

}  // namespace
}  // namespace nashswarm
