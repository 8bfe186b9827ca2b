#include "core/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::checkpoint {
namespace {

using ::nashswarm::testing::SafetensorsImage;
using ::testing::HasSubstr;

absl::StatusOr<SafetensorsHeader> Parse(const std::string& image) {
  return ParseSafetensors(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(image.data()), image.size()), "m.safetensors");
}

std::string ReasonFor(const std::string& image) {
  const auto header = Parse(image);
  EXPECT_FALSE(header.ok());
  EXPECT_THAT(std::string(header.status().message()), HasSubstr("m.safetensors"));
  return ReasonOf(header.status());
}

std::string WithHeaderLength(uint64_t length, const std::string& rest) {
  std::string image(8, '\0');
  std::memcpy(image.data(), &length, 8);
  return image + rest;
}

constexpr char kTwo[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})";

TEST(SafetensorsTest, ReadsTensorsInFileOrder) {
  const std::string image = SafetensorsImage(kTwo, std::string(32, 'x'));
  const auto header = Parse(image);
  NS_ASSERT_OK(header.status());
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(header->tensors[0].begin, 8 + sizeof(kTwo) - 1);
  EXPECT_EQ(header->tensors[1].dtype, DType::kBF16);
  EXPECT_EQ(header->tensors[1].end, image.size());
  EXPECT_EQ(header->metadata.at("format"), "pt");
}

TEST(SafetensorsTest, AcceptsScalarsAndEmptyTensors) {
  const auto header = Parse(SafetensorsImage(
      R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}})", "1234"));
  NS_ASSERT_OK(header.status());
  EXPECT_EQ(header->tensors.size(), 2u);
}

TEST(SafetensorsTest, EmptyFile) { EXPECT_EQ(ReasonFor(""), "FILE_EMPTY"); }
TEST(SafetensorsTest, ShorterThanItsLengthField) { EXPECT_EQ(ReasonFor("\1\0\0"), "HEADER_LENGTH"); }
TEST(SafetensorsTest, HeaderLengthZero) { EXPECT_EQ(ReasonFor(WithHeaderLength(0, "{}")), "HEADER_LENGTH"); }
TEST(SafetensorsTest, HeaderLengthPastTheEnd) { EXPECT_EQ(ReasonFor(WithHeaderLength(3, "{}")), "HEADER_LENGTH"); }
TEST(SafetensorsTest, HeaderLengthTwoToThe63) {
  EXPECT_EQ(ReasonFor(WithHeaderLength(uint64_t{1} << 63, "{}")), "HEADER_LENGTH");
  EXPECT_EQ(ReasonFor(WithHeaderLength(UINT64_MAX, "{}")), "HEADER_LENGTH");
}
TEST(SafetensorsTest, HeaderOver100MegabytesIsRefusedBeforeItIsRead) {
  EXPECT_EQ(ReasonFor(WithHeaderLength(kMaxHeaderBytes + 1, "{}")), "HEADER_LENGTH");
}
TEST(SafetensorsTest, HeaderThatIsNoObject) { EXPECT_EQ(ReasonFor(SafetensorsImage("[1]", "")), "HEADER_INVALID"); }
TEST(SafetensorsTest, HeaderThatIsNoJson) { EXPECT_EQ(ReasonFor(SafetensorsImage("{\"a\":", "")), "JSON_SYNTAX"); }

TEST(SafetensorsTest, OverlappingTensors) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(
                R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                std::string(12, 'x'))),
            "TENSOR_OVERLAP");
}
TEST(SafetensorsTest, GapBetweenTensors) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(
                R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
                std::string(12, 'x'))),
            "TENSOR_GAP");
}
TEST(SafetensorsTest, GapBeforeTheFirst) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", std::string(8, 'x'))),
            "TENSOR_GAP");
}
TEST(SafetensorsTest, ShapeTimesDtypeIsNotTheSpan) {
  const auto header = Parse(SafetensorsImage(R"({"weird":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", std::string(8, 'x')));
  EXPECT_EQ(ReasonOf(header.status()), "TENSOR_SIZE");
  EXPECT_THAT(std::string(header.status().message()), HasSubstr("'weird'"));
}
TEST(SafetensorsTest, ShapeProductOverflows) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(
                R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "")),
            "TENSOR_SIZE");
  // 2^62 elements of 4 bytes wrap to 0, the span's length.
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", "")),
            "TENSOR_SIZE");
}
TEST(SafetensorsTest, OffsetsPastTwoToThe64) {
  EXPECT_FALSE(Parse(SafetensorsImage(
                   R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}})", "x")).ok());
}
TEST(SafetensorsTest, NegativeSizesAndOffsets) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234")), "TENSOR_INVALID");
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", "1234")), "TENSOR_INVALID");
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234")), "TENSOR_INVALID");
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}})", "123456")), "TENSOR_INVALID");
}
TEST(SafetensorsTest, UnknownDtype) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "1234")), "TENSOR_INVALID");
}
TEST(SafetensorsTest, DuplicateKeys) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(
                R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                "12345678")),
            "JSON_DUPLICATE_KEY");
}
TEST(SafetensorsTest, DeepJson) {
  EXPECT_EQ(ReasonFor(SafetensorsImage("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", "")), "JSON_DEPTH");
}
TEST(SafetensorsTest, TrailingBytes) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345")), "TRAILING_BYTES");
}
TEST(SafetensorsTest, TruncatedData) {
  EXPECT_EQ(ReasonFor(SafetensorsImage(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234")), "FILE_TRUNCATED");
}
TEST(SafetensorsTest, PickleUnderASafetensorsName) {
  EXPECT_EQ(ReasonFor(std::string("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}q\x00.", 15)), "PICKLE_REFUSED");
  EXPECT_EQ(ReasonFor(std::string("PK\x03\x04rest of a torch zip", 24)), "PICKLE_REFUSED");
}
TEST(SafetensorsTest, AHeaderWhoseLengthLooksLikeAPickleIsRead) {
  // 0x0280 bytes of header: the file begins with 80 02, as a pickle does.
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(0x280, ' ');
  NS_EXPECT_OK(Parse(SafetensorsImage(header, "1234")).status());
}

TEST(SafetensorsTest, WriterMakesWhatTheParserReads) {
  const auto dir = ::nashswarm::testing::MakeTemporaryDirectory();
  const std::vector<uint8_t> a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {9, 10};
  NS_ASSERT_OK(WriteSafetensors(dir.path() + "/m", {{{"z", DType::kF32, {2}}, a}, {{"y", DType::kU8, {2}}, b}}, {{"k", "v"}}));
  const std::string image = ::nashswarm::testing::ReadTestFile(dir.path() + "/m");
  const auto header = Parse(image);
  NS_ASSERT_OK(header.status());
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].name, "z");
  EXPECT_EQ(image.substr(header->tensors[1].begin, 2), "\x09\x0a");
  EXPECT_EQ(header->tensors[0].begin % 8, 0u);
}

}  // namespace
}  // namespace nashswarm::checkpoint
