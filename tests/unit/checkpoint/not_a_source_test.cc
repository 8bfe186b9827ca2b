// What people give for a checkpoint and is none: each is said for what it is, with what to do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/status.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/lfs_pointer.h"
#include "core/checkpoint/quantized.h"
#include "tests/support/files.h"

namespace nashswarm::checkpoint {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::SafetensorsImage;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPointer[] =
    "version https://git-lfs.github.com/spec/v1\noid sha256:abababababababababababababababababababababababababababababababab\nsize 5000000\n";

// A model with these files; a file of its own content when that is not empty, else one F32 tensor "a".
struct Directory {
  TemporaryDirectory dir = MakeTemporaryDirectory();
  Directory& With(const std::string& name, const std::string& content) {
    WriteTestFile(dir.path() + "/" + name, content);
    return *this;
  }
  Directory& WithTensor(const std::string& file, const std::string& name, const std::string& dtype = "F32", int bytes = 4,
                        const std::string& shape = "[1,1]") {
    return With(file, SafetensorsImage(R"({")" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" +
                                           std::to_string(bytes) + "]}}",
                                       std::string(static_cast<size_t>(bytes), '\0')));
  }
  absl::StatusOr<std::unique_ptr<Checkpoint>> Open() const { return Checkpoint::Open(dir.path()); }
  absl::Status Refused() const {
    auto opened = Open();
    if (!opened.ok()) return opened.status();
    std::vector<std::string> warnings;
    return RefuseQuantized(**opened, &warnings);
  }
};

void ExpectRefused(const absl::Status& status, absl::StatusCode code, const std::string& reason, const std::vector<std::string>& words) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  for (const std::string& word : words) EXPECT_THAT(std::string(status.message()) + " " + HintOf(status), HasSubstr(word));
}

TEST(NotASourceTest, GitLfsPointersInAnyFileThatIsNeeded) {
  for (const char* file : {"model.safetensors", "config.json", "tokenizer.json", "tokenizer.model", "vocab.txt"}) {
    const Directory directory = std::move(Directory().WithTensor("model.safetensors", "a").With(file, kPointer));
    ExpectRefused(directory.Open().status(), absl::StatusCode::kDataLoss, "LFS_POINTER", {file, "5000000 bytes", "git lfs pull"});
  }
  // Of a shard that an index names.
  const Directory sharded = std::move(Directory().With("m-1.safetensors", kPointer)
                                          .With("model.safetensors.index.json", R"({"weight_map":{"a":"m-1.safetensors"}})"));
  ExpectRefused(sharded.Open().status(), absl::StatusCode::kDataLoss, "LFS_POINTER", {"m-1.safetensors"});
  // Who pulls the weights alone leaves pointers of what nobody reads.
  NS_EXPECT_OK(Directory().WithTensor("model.safetensors", "a").With("pytorch_model.bin", kPointer).With("onnx/config.json", kPointer).Open().status());
  const std::string text = kPointer;
  ExpectRefused(ParseGguf({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "m.gguf").status(), absl::StatusCode::kDataLoss,
                "LFS_POINTER", {"m.gguf", "5000000"});
}

// A directory that nobody can walk through, root neither: the paths in it are longer than the system takes.
void MakeEndless(const std::string& path) {
  NS_ASSERT_OK(MakeDirectories(path));
  const std::string name(250, 'd');
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int depth = 0; depth < 20; ++depth) {
    ASSERT_EQ(mkdirat(fd, name.c_str(), 0700), 0);
    const int next = openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(fd);
    fd = next;
  }
  close(fd);
}

TEST(NotASourceTest, WhatLiesDeeperIsNotLookedAt) {
  const Directory single = std::move(Directory().WithTensor("model.safetensors", "a"));
  MakeEndless(single.dir.path() + "/lost+found");
  EXPECT_FALSE(ListFiles(single.dir.path()).ok());
  NS_EXPECT_OK(single.Open().status());
  const Directory renamed = std::move(Directory().WithTensor("renamed.safetensors", "a"));
  MakeEndless(renamed.dir.path() + "/lost+found");
  NS_EXPECT_OK(renamed.Open().status());
}

TEST(NotASourceTest, AdaptersNameTheirBase) {
  const std::string config = R"({"peft_type":"LORA","base_model_name_or_path":"org/base"})";
  const auto code = absl::StatusCode::kFailedPrecondition;
  ExpectRefused(Directory().With("adapter_config.json", config).WithTensor("adapter_model.safetensors", "x").Open().status(), code,
                "ADAPTER_AS_SOURCE", {"org/base", "merge"});
  ExpectRefused(Directory().With("adapter_config.json", config).With("adapter_model.bin", "x").Open().status(), code, "ADAPTER_AS_SOURCE",
                {"org/base"});
  // By the tensors' names, whatever the file is called.
  ExpectRefused(Directory().WithTensor("model.safetensors", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight").Open().status(),
                code, "ADAPTER_AS_SOURCE", {"lora_A", "merge"});
  ExpectRefused(Directory().With("adapter_config.json", R"({"peft_type":"IA3"})").Open().status(), code, "ADAPTER_AS_SOURCE", {"IA3"});
  // Beside a whole model it is no error.
  const auto both = Directory().WithTensor("model.safetensors", "a").With("adapter_config.json", config).Open();
  NS_ASSERT_OK(both.status());
  EXPECT_THAT((*both)->warnings(), ElementsAre(HasSubstr("adapter")));
}

TEST(NotASourceTest, GgufFilesAndPickles) {
  const auto code = absl::StatusCode::kFailedPrecondition;
  ExpectRefused(Directory().With("config.json", "{}").With("model.gguf", "GGUF").Open().status(), code, "GGUF_AS_SOURCE",
                {"model.gguf", "original"});
  ExpectRefused(Directory().With("model.safetensors", "GGUF\3").Open().status(), absl::StatusCode::kInvalidArgument, "GGUF_AS_SOURCE", {"GGUF"});
  const Directory files = std::move(Directory().With("q.gguf", "GGUF").With("model.safetensors", "x"));
  ExpectRefused(Checkpoint::Open(files.dir.path() + "/q.gguf").status(), code, "GGUF_AS_SOURCE", {"q.gguf", "original"});
  ExpectRefused(Checkpoint::Open(files.dir.path() + "/model.safetensors").status(), code, "NOT_A_DIRECTORY", {"directory that holds it"});
  for (const char* file : {"pytorch_model.bin", "consolidated.00.pth", "model.pt"}) {
    ExpectRefused(Directory().With(file, "x").Open().status(), absl::StatusCode::kNotFound, "PICKLE_REFUSED", {file, "save_pretrained"});
  }
}

TEST(NotASourceTest, ShardsAreCompleteByTheirOwnNumbers) {
  const auto two = Directory().WithTensor("model-00001-of-00002.safetensors", "a").WithTensor("model-00002-of-00002.safetensors", "b")
                       .WithTensor("consolidated.safetensors", "c").Open();
  NS_ASSERT_OK(two.status());
  EXPECT_EQ((*two)->tensors().size(), 2u);

  const auto lost = absl::StatusCode::kDataLoss;
  ExpectRefused(Directory().WithTensor("model-00002-of-00003.safetensors", "b").Open().status(), lost, "SHARD_MISSING",
                {"1 of 3", "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"});
  ExpectRefused(Directory().WithTensor("m-00001-of-00099.safetensors", "b").WithTensor("m-00002-of-00099.safetensors", "a").Open().status(),
                lost, "SHARD_MISSING", {"m-00003-of-00099.safetensors", "and 92 more"});
  ExpectRefused(Directory().WithTensor("a.safetensors", "a").WithTensor("b.safetensors", "b").Open().status(), absl::StatusCode::kNotFound,
                "CHECKPOINT_NOT_FOUND", {"a.safetensors, b.safetensors"});
}

TEST(NotASourceTest, HeadThatTheIndexNamesAndNoShardHas) {
  NS_EXPECT_OK(Directory().WithTensor("m.safetensors", "a")
                   .With("model.safetensors.index.json", R"({"weight_map":{"a":"m.safetensors","lm_head.weight":"m.safetensors"}})").Open().status());
}

TEST(NotASourceTest, AnUntiedHeadThatTheIndexNamesAndNoShardHasIsLost) {
  const auto opened = [](const std::string& config) {
    return Directory().WithTensor("m.safetensors", "a").With("config.json", config)
        .With("model.safetensors.index.json", R"({"weight_map":{"a":"m.safetensors","lm_head.weight":"m.safetensors"}})").Open().status();
  };
  ExpectRefused(opened(R"({"tie_word_embeddings":false})"), absl::StatusCode::kInvalidArgument, "SHARD_MISMATCH",
                {"lm_head.weight", "in no shard"});
  NS_EXPECT_OK(opened(R"({"tie_word_embeddings":true})"));
  NS_EXPECT_OK(opened("{}"));
}

TEST(NotASourceTest, QuantizedByOthers) {
  const auto code = absl::StatusCode::kFailedPrecondition;
  const struct {
    const char *config, *tensor, *dtype;
    int bytes;
    const char* method;
  } kCases[] = {
      {R"({"quantization_config":{"quant_method":"gptq","bits":4}})", "model.layers.0.mlp.up_proj.qweight", "I32", 4, "gptq"},
      {"{}", "model.layers.0.mlp.up_proj.qzeros", "I32", 4, "awq"},
      {"{}", "model.layers.0.mlp.up_proj.g_idx", "I32", 4, "gptq"},
      {R"({"quantization_config":{"quant_method":"compressed-tensors"}})", "x.weight_packed", "I32", 4, "compressed-tensors"},
      {R"({"quantization_config":{"quant_method":"bitsandbytes"}})", "x.weight.absmax", "F32", 4, "bitsandbytes"},
      {R"({"quantization_config":{"quant_method":"fp8"}})", "x.weight", "F8_E4M3", 1, "fp8"},
      {R"({"quantization_config":{"quant_method":"mxfp4"}})", "experts.gate_up_proj_blocks", "U8", 1, "mxfp4"},
      {R"({"quantization":{"group_size":64,"bits":4}})", "x.weight", "U32", 4, "mlx"},
      {"{}", "x.weight", "I8", 1, "I8"},
      {"{}", "x.weight", "F8_E8M0", 1, "fp8"},
      {"{}", "x.weight", "F4", 1, "F4"},
  };
  for (const auto& c : kCases) {
    ExpectRefused(Directory().With("config.json", c.config).WithTensor("model.safetensors", c.tensor, c.dtype, c.bytes).Refused(), code,
                  "ALREADY_QUANTIZED", {absl::StrCat("already quantized (", c.method, ")"), "original checkpoint"});
  }
  ExpectRefused(Directory().WithTensor("model.safetensors", "x.qweight", "I32", 4).With("quantize_config.json", R"({"bits":4,"quant_method":"gptq_v2"})").Refused(),
                code, "ALREADY_QUANTIZED", {"gptq_v2"});
  ExpectRefused(Directory().WithTensor("model.safetensors", "x.weight").With("config.json", R"({"quantization_config":{"quant_method":"nashswarm"}})").Refused(),
                code, "NSQ_AS_SOURCE", {"nashswarm unpack"});
}

TEST(NotASourceTest, PlainWeightsAreNotQuantizedWhateverConfigSays) {
  const auto plain = Directory().WithTensor("model.safetensors", "x.weight").With("config.json", R"({"quantization_config":{"quant_method":"bitsandbytes"}})").Open();
  NS_ASSERT_OK(plain.status());
  std::vector<std::string> warnings;
  NS_EXPECT_OK(RefuseQuantized(**plain, &warnings));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("bitsandbytes")));
  // Counters and masks are integers of their own right.
  const auto buffer = Directory().WithTensor("model.safetensors", "num_batches_tracked", "I64", 8, "[]").Open();
  warnings.clear();
  NS_EXPECT_OK(RefuseQuantized(**buffer, &warnings));
  EXPECT_THAT(warnings, IsEmpty());
}

}  // namespace
}  // namespace nashswarm::checkpoint
