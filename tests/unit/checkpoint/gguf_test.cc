#include "core/checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::checkpoint {
namespace {

using quant::Format;

absl::StatusOr<GgufFile> Parse(const std::string& image) {
  return ParseGguf(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(image.data()), image.size()), "m.gguf");
}

std::vector<GgufMetadata> SomeMetadata() {
  return {{"general.architecture", GgufValue::String("llama")},
          {"n", GgufValue::U32(7)},
          {"eps", GgufValue::F32(1e-5f)},
          {"flag", GgufValue::Bool(true)},
          {"tokens", GgufValue::Strings({"a", "", "\xf0\x9f\x98\x80"})},
          {"scores", GgufValue::F32s({-1.5, 0, 2})},
          {"types", GgufValue::I32s({1, -3, 6})}};
}

std::string SomeImage() {
  std::vector<GgufTensor> tensors = {{"w", {64, 3}, Format::kQ4_0, 0, 3 * 2 * 18}, {"b", {5}, Format::kF32, 0, 20}};
  std::string image = SerializeGgufHeader(SomeMetadata(), &tensors);
  EXPECT_EQ(tensors[1].offset, 128u);  // 108 bytes, aligned to 32
  image.append(tensors[1].offset + 20, 'x');
  return image;
}

TEST(GgufTest, HeaderRoundTrips) {
  const auto gguf = Parse(SomeImage());
  NS_ASSERT_OK(gguf.status());
  EXPECT_EQ(gguf->version, 3u);
  EXPECT_EQ(gguf->data_begin % 32, 0u);
  ASSERT_EQ(gguf->tensors.size(), 2u);
  EXPECT_EQ(gguf->tensors[0].name, "w");
  EXPECT_EQ(gguf->tensors[0].row_weights(), 64u);
  EXPECT_EQ(gguf->tensors[0].rows(), 3u);
  EXPECT_EQ(gguf->tensors[0].bytes, 108u);
  EXPECT_EQ(gguf->tensors[1].rows(), 1u);
  EXPECT_EQ(std::get<std::string>(gguf->Find("general.architecture")->data), "llama");
  EXPECT_EQ(std::get<uint64_t>(gguf->Find("n")->data), 7u);
  EXPECT_EQ(std::get<double>(gguf->Find("eps")->data), double{1e-5f});
  EXPECT_TRUE(std::get<bool>(gguf->Find("flag")->data));
  EXPECT_EQ(std::get<std::vector<std::string>>(gguf->Find("tokens")->data)[2], "\xf0\x9f\x98\x80");
  EXPECT_EQ(std::get<std::vector<int64_t>>(gguf->Find("types")->data)[1], -3);
  EXPECT_EQ(std::get<std::vector<double>>(gguf->Find("scores")->data)[0], -1.5);
  EXPECT_EQ(gguf->Find("absent"), nullptr);
}

// The bytes of the format, spelled out by hand from its specification.
TEST(GgufTest, HeaderBytesAreTheSpecifications) {
  std::vector<GgufTensor> tensors;
  const std::string image = SerializeGgufHeader({{"k", GgufValue::U32(258)}}, &tensors);
  const std::string expected("GGUF\3\0\0\0" "\0\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0k" "\4\0\0\0" "\2\1\0\0", 41);
  EXPECT_EQ(image.substr(0, 41), expected);
  EXPECT_EQ(image.size(), 64u);
}

TEST(GgufTest, EveryTruncationIsRefused) {
  const std::string image = SomeImage();
  for (size_t size = 0; size < image.size(); ++size) {
    EXPECT_FALSE(Parse(image.substr(0, size)).ok()) << size;
  }
}

TEST(GgufTest, ForeignFiles) {
  EXPECT_EQ(ReasonOf(Parse("GGML....").status()), "GGUF_MAGIC");
  std::string image = SomeImage();
  image[4] = 9;
  EXPECT_EQ(ReasonOf(Parse(image).status()), "GGUF_VERSION");
}

TEST(GgufTest, CountsThatCannotBeTrueCostNothing) {
  std::string image = SomeImage();
  const uint64_t huge = UINT64_MAX / 2;
  std::memcpy(image.data() + 8, &huge, 8);
  EXPECT_EQ(ReasonOf(Parse(image).status()), "GGUF_TRUNCATED");
}

// Overwrites the 8 bytes after the name "w" and its dimension count.
TEST(GgufTest, LyingTensors) {
  const std::string image = SomeImage();
  const size_t name = image.find(std::string("\1\0\0\0\0\0\0\0w", 9));
  ASSERT_NE(name, std::string::npos);
  const size_t dims = name + 9 + 4;
  const auto with = [&](size_t at, uint64_t value, size_t bytes) {
    std::string changed = image;
    std::memcpy(changed.data() + at, &value, bytes);
    return ReasonOf(Parse(changed).status());
  };
  EXPECT_EQ(with(dims, 63, 8), "GGUF_INVALID");                       // no whole blocks
  EXPECT_EQ(with(dims + 8, uint64_t{1} << 62, 8), "GGUF_INVALID");    // overflow
  EXPECT_EQ(with(dims + 8, 4, 8), "GGUF_INVALID");                    // overlaps the next tensor
  EXPECT_EQ(with(dims + 16, 99, 4), "GGUF_FORMAT");                   // unknown type
  EXPECT_EQ(with(dims + 20, 1, 8), "GGUF_INVALID");                   // not aligned
  EXPECT_EQ(with(dims + 20, 1 << 20, 8), "GGUF_TRUNCATED");           // past the end
}

}  // namespace
}  // namespace nashswarm::checkpoint
