#include "core/route/expert_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/artifact/gguf_artifact.h"
#include "core/base/status.h"
#include "tests/support/run_pipeline.h"
#include "tests/unit/route/tiny_model.h"

namespace nashswarm::route {
namespace {

using ::nashswarm::testing::ReadTestFile;

// The bytes of a part, from the file it is in.
std::string BytesOf(const ExpertFiles& found, const expert_cache::ByteRange& part) {
  for (const ExpertFiles::File& file : found.files) {
    if (part.offset >= file.begin && part.offset + part.bytes <= file.begin + file.bytes) {
      return ReadTestFile(file.path).substr(part.offset - file.begin, part.bytes);
    }
  }
  ADD_FAILURE() << "a part in no file";
  return "";
}

void ExpectApart(const ExpertFiles& found) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& parts : found.layout.parts) {
    EXPECT_EQ(parts.size(), 3u);  // gate, up, down
    for (const expert_cache::ByteRange& part : parts) ranges.push_back({part.offset, part.offset + part.bytes});
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) EXPECT_LE(ranges[i - 1].second, ranges[i].first);
  EXPECT_LE(ranges.back().second, found.layout.bytes);
}

TEST(ExpertFilesTest, OfACheckpointAreItsTensors) {
  for (const char* type : {"mixtral", "qwen2_moe"}) {
    const TinyModel tiny(type);
    const auto found = FindExperts(tiny.checkpoint(), tiny.mapping());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->layers, 2u);
    EXPECT_EQ(found->experts, 4u);
    ExpectApart(*found);
    std::vector<size_t> part_of(8);
    for (const model::MappedTensor& tensor : tiny.mapping().tensors) {
      if (tensor.expert < 0) continue;
      const size_t key = static_cast<size_t>(tensor.layer) * 4 + static_cast<size_t>(tensor.expert);
      const std::string bytes = BytesOf(*found, found->layout.parts[key].at(part_of[key]++));
      ASSERT_EQ(bytes.size(), tensor.source->data.size());
      EXPECT_EQ(std::memcmp(bytes.data(), tensor.source->data.data(), bytes.size()), 0) << tensor.name;
    }
    EXPECT_EQ(part_of, std::vector<size_t>(8, 3));
  }
}

// A checkpoint in shards: the files lie one behind another, each on a page of its own.
TEST(ExpertFilesTest, ShardsFollowOneAnother) {
  const TinyModel tiny("mixtral");
  // Each tensor into one of two files, by turns.
  std::vector<checkpoint::TensorToWrite> tensors[2];
  Json index = {{"weight_map", Json::object()}};
  size_t turn = 0;
  for (const checkpoint::SourceTensor& tensor : tiny.checkpoint().tensors()) {
    const size_t file = turn++ % 2;
    tensors[file].push_back({{tensor.name, tensor.dtype, tensor.shape}, tensor.data});
    index["weight_map"][tensor.name] = file == 0 ? "a.safetensors" : "b.safetensors";
  }
  const TemporaryDirectory sharded = testing::MakeTemporaryDirectory();
  ASSERT_TRUE(checkpoint::WriteSafetensors(sharded.path() + "/a.safetensors", tensors[0], {}).ok());
  ASSERT_TRUE(checkpoint::WriteSafetensors(sharded.path() + "/b.safetensors", tensors[1], {}).ok());
  testing::WriteTestFile(sharded.path() + "/model.safetensors.index.json", index.dump());
  testing::WriteTestFile(sharded.path() + "/config.json", ReadTestFile(tiny.path() + "/config.json"));
  const auto open = checkpoint::Checkpoint::Open(sharded.path());
  ASSERT_TRUE(open.ok()) << open.status();
  const auto mapping = model::MapModel(**open);
  const auto found = FindExperts(**open, *mapping);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->files.size(), 2u);
  EXPECT_EQ(found->files[1].begin % kFileAlignment, 0u);
  EXPECT_GE(found->files[1].begin, found->files[0].bytes);
  ExpectApart(*found);
  const auto whole = FindExperts(tiny.checkpoint(), tiny.mapping());
  EXPECT_EQ(found->sizes(), whole->sizes());
  for (size_t key = 0; key < 8; ++key) {
    std::vector<std::string> in_shards, in_one;
    for (const auto& part : found->layout.parts[key]) in_shards.push_back(BytesOf(*found, part));
    for (const auto& part : whole->layout.parts[key]) in_one.push_back(BytesOf(*whole, part));
    EXPECT_EQ(in_shards, in_one) << key;
  }
}

TEST(ExpertFilesTest, OfAGgufFileAreSlicesOfItsStacks) {
  const TinyModel tiny("mixtral");
  const TemporaryDirectory work = testing::MakeTemporaryDirectory();
  testing::RecordingObserver observer;
  const auto result = testing::RunPipeline(tiny.path(), work.path() + "/w", testing::BitsPerWeight(7), 2, &observer);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto open = artifact::Open(work.path() + "/w/artifact");
  const std::string path = work.path() + "/w/artifact/model.gguf";
  const auto found = FindExperts(path, open->file->bytes().size(), open->gguf);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->layers, 2u);
  EXPECT_EQ(found->experts, 4u);
  ExpectApart(*found);
  for (const checkpoint::GgufTensor& tensor : open->gguf.tensors) {
    if (tensor.dims.size() != 3) continue;
    // Some part of expert 2 of the layer begins at two quarters of the stack.
    const size_t key = (tensor.name[4] == '0' ? 0 : 4) + 2;
    const uint64_t begin = open->gguf.data_begin + tensor.offset + tensor.bytes / 2;
    EXPECT_TRUE(std::any_of(found->layout.parts[key].begin(), found->layout.parts[key].end(), [&](const auto& part) {
      return part.offset == begin && part.bytes == tensor.bytes / 4;
    })) << tensor.name;
  }
}

TEST(ExpertFilesTest, OfAnNsqArtifactAreItsCodedTensors) {
  const TinyModel tiny("mixtral");
  const TemporaryDirectory work = testing::MakeTemporaryDirectory();
  testing::RecordingObserver observer;
  pipeline::Spec spec = testing::BitsPerWeight(4);
  spec.format = "nsq";
  const auto result = testing::RunPipeline(tiny.path(), work.path() + "/w", spec, 2, &observer);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto open = artifact::ReadNsq(work.path() + "/w/artifact");
  ASSERT_TRUE(open.ok()) << open.status();
  const auto found = FindExperts(*open, tiny.mapping());
  ASSERT_TRUE(found.ok()) << found.status();
  ExpectApart(*found);
  for (const artifact::NsqTensor& tensor : open->tensors) {
    const auto mapped = std::find_if(tiny.mapping().tensors.begin(), tiny.mapping().tensors.end(),
                                     [&](const model::MappedTensor& t) { return t.source_name() == tensor.name; });
    if (mapped->expert < 0) continue;
    const auto& parts = found->layout.parts[static_cast<size_t>(mapped->layer * 4 + mapped->expert)];
    const absl::Span<const uint8_t> want = open->BytesOf(tensor);
    EXPECT_TRUE(std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
      return BytesOf(*found, part) == std::string(want.begin(), want.end());
    })) << tensor.name;
  }
}

TEST(ExpertFilesTest, AModelWithoutExpertsHasNone) {
  const TinyModel tiny("llama");
  EXPECT_EQ(ReasonOf(FindExperts(tiny.checkpoint(), tiny.mapping()).status()), "NO_EXPERTS");
}

}  // namespace
}  // namespace nashswarm::route
