#include "core/artifact/expert_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/artifact/dense.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/nsq_sample.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::GgufTensor;
using checkpoint::GgufValue;
using ::testing::IsEmpty;

const ExpertOrders kOrders = {{2, 0, 1}, {1, 0}};
const std::vector<GgufTensor> kTensors = {{"a", {8}, quant::Format::kF32, 0, 32}};

// What the metadata of `directory`/model.safetensors say.
std::string OrdersInText(const std::string& directory) {
  const std::string file = ReadTestFile(directory + "/model.safetensors");
  return checkpoint::ParseSafetensors(AsBytes(file), "model.safetensors")->metadata.at(kExpertOrder);
}

OpenGguf GgufWith(const std::string& directory, std::vector<checkpoint::GgufMetadata> metadata) {
  WriteTestFile(directory + "/part", std::string(32, '\0'));
  NS_EXPECT_OK(WriteGguf(directory + "/model.gguf", metadata, kTensors, {directory + "/part"}, kSilent).status());
  return *Open(directory);
}

TEST(ExpertOrderTest, GgufSaysItInItsMetadata) {
  const auto dir = MakeTemporaryDirectory();
  std::vector<checkpoint::GgufMetadata> metadata = {{"general.architecture", GgufValue::String("test")}};
  AppendExpertOrders({}, &metadata);
  EXPECT_EQ(metadata.size(), 1u);
  AppendExpertOrders(kOrders, &metadata);
  const OpenGguf open = GgufWith(dir.path(), metadata);
  EXPECT_EQ(*ExpertOrdersOf(open.gguf, "it"), kOrders);
  NS_EXPECT_OK(Verify(open, 1, kSilentTotal));
  NS_ASSERT_OK(WriteDense(open, checkpoint::DType::kF32, dir.path() + "/model.safetensors", kSilentTotal));
  EXPECT_EQ(OrdersInText(dir.path()), "[[2,0,1],[1,0]]");
}

TEST(ExpertOrderTest, GgufOrdersThatAreNoneAreDamage) {
  const GgufValue wrong[] = {GgufValue::I32s({0, 0}), GgufValue::I32s({0, 2}), GgufValue::I32s({-1, 0}), GgufValue::U32(0),
                             GgufValue::F32s({0, 1})};
  for (const GgufValue& value : wrong) {
    const auto dir = MakeTemporaryDirectory();
    const OpenGguf open = GgufWith(dir.path(), {{"nashswarm.expert_order.0", GgufValue::I32s({1, 0})}, {"nashswarm.expert_order.1", value}});
    EXPECT_EQ(ReasonOf(Verify(open, 1, kSilentTotal)), "EXPERT_ORDER_INVALID");
    EXPECT_THAT(std::string(ExpertOrdersOf(open.gguf, "it").status().message()), HasSubstr("layer 1"));
  }
}

TEST(ExpertOrderTest, NsqSaysItInItsConfig) {
  const auto dir = MakeTemporaryDirectory();
  const std::string from = dir.path() + "/from", to = dir.path() + "/to", dense = dir.path() + "/dense";
  for (const std::string& path : {from, to}) NS_ASSERT_OK(MakeDirectories(path));
  SmallSample().WriteTo(to);
  EXPECT_THAT(*ExpertOrdersOf(*ReadNsq(to)), IsEmpty());
  WriteTestFile(from + "/config.json", R"({"a": 1})");
  NS_ASSERT_OK(CopyCompanions(from, 3, kOrders, to));
  const auto open = ReadNsq(to);
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(*ExpertOrdersOf(*open), kOrders);
  NS_EXPECT_OK(Verify(*open, 1, kSilentTotal));
  NS_ASSERT_OK(Unpack(*open, checkpoint::DType::kF32, dense, 1, kSilentTotal));
  EXPECT_EQ(OrdersInText(dense), "[[2,0,1],[1,0]]");
  for (const char* wrong : {"5", "[5]", "[[0,0]]", "[[0],[1]]", "[[-1,0]]", "[[0.5,0]]", "[[4294967295]]", "{}"}) {
    WriteTestFile(to + "/config.json", std::string(R"({"quantization_config": {"expert_order": )") + wrong + "}}");
    EXPECT_EQ(ReasonOf(Verify(*open, 1, kSilentTotal)), "EXPERT_ORDER_INVALID") << wrong;
  }
}

TEST(PiecesTest, StretchesOfFilesInTheOrderAskedFor) {
  const auto dir = MakeTemporaryDirectory();
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  WriteTestFile(a, "0123456789");
  WriteTestFile(b, "abc");
  const auto write = [&](const std::vector<Piece>& pieces) -> absl::Status {
    NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(dir.path() + "/out"));
    Sha256 hash;
    NS_RETURN_IF_ERROR(AppendPieces(pieces, &file, &hash, kSilent));
    NS_RETURN_IF_ERROR(file.CommitUnsynced());
    EXPECT_EQ(hash.Finish(), Sha256Of(ReadTestFile(dir.path() + "/out")));
    return absl::OkStatus();
  };
  NS_ASSERT_OK(write({{a, 8, 2}, {a, 0, 3}, {b}, {a, 9}, {b, 1, 0}, {b, 3}}));
  EXPECT_EQ(ReadTestFile(dir.path() + "/out"), "89012abc9");
  for (const Piece& piece : {Piece(b, 1, 3), Piece(b, 4), Piece(b, 4, 0), Piece(b, UINT64_MAX, 1), Piece(a, 1, UINT64_MAX - 1)}) {
    EXPECT_EQ(ReasonOf(write({{a}, piece})), "ARTIFACT_SIZE") << piece.begin << " " << piece.bytes;
  }
}

}  // namespace
}  // namespace nashswarm::artifact
