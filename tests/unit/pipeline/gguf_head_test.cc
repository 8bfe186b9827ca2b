// What a GGUF file says before its tensors.
#include "core/pipeline/gguf_head.h"

#include <gtest/gtest.h>

#include <iterator>

namespace nashswarm::pipeline {
namespace {

using checkpoint::GgufValue;
using quant::Format;

// By llama.cpp's llama_ftype, as its own Python package has it (gguf.LlamaFileType): MOSTLY_* of the type, of size M where there
// are several.
TEST(GgufHeadTest, TheFileTypeIsTheNumberThatLlamaCppHasForIt) {
  const std::pair<Format, uint64_t> kTypes[] = {{Format::kF32, 0},   {Format::kF16, 1},   {Format::kQ4_0, 2},    {Format::kQ4_1, 3},
                                                {Format::kQ8_0, 7},  {Format::kQ5_0, 8},  {Format::kQ5_1, 9},    {Format::kQ2_K, 10},
                                                {Format::kQ3_K, 12}, {Format::kQ4_K, 15}, {Format::kQ5_K, 17},   {Format::kQ6_K, 18},
                                                {Format::kBF16, 32}, {Format::kIQ4_NL, 25}, {Format::kIQ4_XS, 30}, {Format::kMXFP4, 38}};
  ASSERT_EQ(std::size(kTypes), quant::AllFormats().size());
  for (const auto& [format, type] : kTypes) {
    const Format other = format == Format::kQ8_0 ? Format::kQ6_K : Format::kQ8_0;
    // Most weights of the matrices are of it, though a vector is longer.
    const std::vector<checkpoint::GgufTensor> tensors = {
        {"vector", {4096}, Format::kF32, 0, 0}, {"a", {256, 3}, format, 0, 0}, {"other", {256, 5}, other, 0, 0}, {"b", {256, 3}, format, 0, 0}};
    std::vector<checkpoint::GgufMetadata> metadata = {{"general.name", GgufValue::String("m")}, {"general.file_type", GgufValue::U32(1024)}};
    SetFileType(tensors, &metadata);
    EXPECT_EQ(std::get<uint64_t>(metadata[1].value.data), type) << quant::InfoOf(format).name;
    EXPECT_EQ(std::get<std::string>(metadata[0].value.data), "m");
  }
}

}  // namespace
}  // namespace nashswarm::pipeline
