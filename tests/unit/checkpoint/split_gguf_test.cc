// GGUF models in parts, and types of tensors that have a name and no codec.
#include "core/checkpoint/split_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::checkpoint {
namespace {

using quant::Format;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::WriteTestFile;
using ::testing::HasSubstr;

GgufValue U16(uint64_t v) { return {GgufType::kUint16, {}, v}; }
GgufValue I32(int64_t v) { return {GgufType::kInt32, {}, v}; }

// A part with one F32 tensor for every name, of three weights: `first`, first + 1, ...
std::string Part(std::vector<GgufMetadata> metadata, const std::vector<std::string>& names, float first) {
  std::vector<GgufTensor> tensors;
  std::string data;
  for (const std::string& name : names) {
    tensors.push_back({name, {3}, Format::kF32, 0, 12});
    const float values[8] = {first, first + 1, first + 2};  // padded to the alignment
    data.append(reinterpret_cast<const char*>(values), sizeof(values));
    first += 3;
  }
  return SerializeGgufHeader(metadata, &tensors) + data;
}

std::vector<GgufMetadata> Split(uint64_t number, uint64_t count, int64_t tensors, std::vector<GgufMetadata> more = {}) {
  more.push_back({"split.no", U16(number)});
  more.push_back({"split.count", U16(count)});
  more.push_back({"split.tensors.count", I32(tensors)});
  return more;
}

struct Parts {
  TemporaryDirectory dir = MakeTemporaryDirectory();
  std::string Path(int number) const { return dir.path() + "/m-0000" + std::to_string(number) + "-of-00002.gguf"; }
  explicit Parts(int64_t tensors = 3) {
    WriteTestFile(Path(1), Part(Split(0, 2, tensors, {{"general.architecture", GgufValue::String("llama")}}), {"a", "b"}, 1));
    WriteTestFile(Path(2), Part(Split(1, 2, tensors), {"c"}, 7));
  }
};

TEST(SplitGgufTest, AnyPartOpensTheWholeModel) {
  const Parts parts;
  for (const int given : {1, 2}) {
    const auto open = OpenGgufParts(parts.Path(given));
    NS_ASSERT_OK(open.status());
    EXPECT_EQ(open->paths.size(), 2u);
    EXPECT_EQ(open->bytes, *FileSize(parts.Path(1)) + *FileSize(parts.Path(2)));
    ASSERT_NE(open->gguf.Find("general.architecture"), nullptr);
    ASSERT_EQ(open->gguf.tensors.size(), 3u);
    float expected = 1;
    for (const GgufTensor& tensor : open->gguf.tensors) {
      float values[3];
      std::memcpy(values, open->file->bytes().data() + open->gguf.data_begin + tensor.offset, sizeof(values));
      for (const float value : values) EXPECT_EQ(value, expected++) << tensor.name;
    }
    EXPECT_EQ(expected, 10);
  }
}

TEST(SplitGgufTest, MissingPartsAreNamedAndHowToJoin) {
  const Parts parts;
  for (const int there : {1, 2}) {
    const TemporaryDirectory other = MakeTemporaryDirectory();
    const std::string path = other.path() + "/" + BaseName(parts.Path(there));
    WriteTestFile(path, testing::ReadTestFile(parts.Path(there)));
    const absl::Status status = OpenGgufParts(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(ReasonOf(status), "GGUF_PART_MISSING");
    EXPECT_THAT(std::string(status.message()), HasSubstr("is part " + std::to_string(there) + " of 2"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("missing beside it: " + BaseName(parts.Path(3 - there))));
    EXPECT_THAT(HintOf(status), HasSubstr("llama-gguf-split --merge"));
  }
  const TemporaryDirectory renamed = MakeTemporaryDirectory();
  WriteTestFile(renamed.path() + "/model.gguf", testing::ReadTestFile(parts.Path(1)));
  const absl::Status status = OpenGgufParts(renamed.path() + "/model.gguf").status();
  EXPECT_EQ(ReasonOf(status), "GGUF_PART_MISSING");
  EXPECT_THAT(std::string(status.message()), HasSubstr("part 1 of 2"));
}

TEST(SplitGgufTest, PartsThatDoNotBelongTogether) {
  EXPECT_EQ(ReasonOf(OpenGgufParts(Parts(4).Path(1)).status()), "GGUF_INVALID");  // a tensor is in no part
  Parts twice;
  WriteTestFile(twice.Path(2), Part(Split(1, 2, 3), {"b"}, 7));
  EXPECT_THAT(std::string(OpenGgufParts(twice.Path(1)).status().message()), HasSubstr("'b' is in another part too"));
  Parts swapped;
  WriteTestFile(swapped.Path(2), Part(Split(0, 2, 3), {"c"}, 7));
  EXPECT_EQ(ReasonOf(OpenGgufParts(swapped.Path(1)).status()), "GGUF_INVALID");
}

TEST(SplitGgufTest, PartsWithoutMetadataGoByTheirNames) {
  Parts parts;
  WriteTestFile(parts.Path(1), Part({}, {"a"}, 1));
  WriteTestFile(parts.Path(2), Part({}, {"b"}, 4));
  const auto open = OpenGgufParts(parts.Path(1));
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(open->gguf.tensors.size(), 2u);
}

TEST(GgufTypesTest, HaveNamesAndSizesThoughTheyCannotBeDecoded) {
  const struct {
    uint32_t id;
    const char* name;
    uint64_t block, bytes;
  } kTypes[] = {{16, "IQ2_XXS", 256, 66}, {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50}, {21, "IQ3_S", 256, 110}, {22, "IQ2_S", 256, 82},
                {29, "IQ1_M", 256, 56}, {34, "TQ1_0", 256, 54}, {35, "TQ2_0", 256, 66}, {40, "NVFP4", 64, 36},
                {24, "I8", 1, 1}, {28, "F64", 1, 8}};
  for (const auto& type : kTypes) {
    std::vector<GgufTensor> tensors = {{"w", {2 * type.block, 3}, static_cast<Format>(type.id), 0, 6 * type.bytes}};
    std::string image = SerializeGgufHeader({}, &tensors);
    image.append(AlignUp(6 * type.bytes, kGgufAlignment), '\0');
    const auto gguf = ParseGguf({reinterpret_cast<const uint8_t*>(image.data()), image.size()}, "m.gguf");
    NS_ASSERT_OK(gguf.status());
    EXPECT_EQ(quant::InfoOf(gguf->tensors[0].format).name, type.name);
    EXPECT_EQ(gguf->tensors[0].bytes, 6 * type.bytes) << type.name;
    const absl::Status status = CheckDecodable(gguf->tensors[0], "m.gguf");
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(type.name) + " is not supported"));
    EXPECT_FALSE(quant::FormatByName(type.name).has_value());
  }
}

}  // namespace
}  // namespace nashswarm::checkpoint
