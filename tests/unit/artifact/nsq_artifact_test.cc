#include "core/artifact/nsq_artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "core/coding/crc32.h"
#include "core/coding/kernels.h"
#include "core/nsq/quantizer.h"
#include "tests/support/files.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::DType;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::SafetensorsImage;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Coding = NsqTensor::Coding;

const auto kSilent = [](uint64_t) {};
const auto kSilentTotal = [](uint64_t, uint64_t) {};

absl::Span<const uint8_t> AsBytes(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
std::string Message(const absl::Status& status) { return std::string(status.message()); }

// Tensors, their bytes, and the floats that they decode to, in the checkpoint's order.
struct Sample {
  std::vector<NsqTensor> tensors;
  std::vector<std::string> bytes;
  std::vector<std::vector<float>> values;

  void Add(const std::string& name, std::vector<uint64_t> shape, Coding coding, DType plain, std::string data, std::vector<float> decoded) {
    NsqTensor tensor{name, std::move(shape), DType::kF32, coding, plain, data.size(), 0, 0};
    if (!tensor.coded()) tensor.crc = coding::Crc32(AsBytes(data));
    tensors.push_back(std::move(tensor));
    bytes.push_back(std::move(data));
    values.push_back(std::move(decoded));
  }

  void AddPlain(const std::string& name, DType dtype, const std::vector<float>& numbers) {
    std::vector<float> stored(numbers.size());
    const std::string data = PlainBytes(dtype, numbers);
    checkpoint::ToFloat(dtype, AsBytes(data).data(), stored.size(), stored.data());
    Add(name, {numbers.size()}, Coding::kPlain, dtype, data, stored);
  }

  // Normal weights, `step` in units of their spread; the matrix has rows x columns, its tensor perhaps columns x rows.
  void AddMatrix(const std::string& name, uint32_t rows, uint32_t columns, bool transposed, double step, float scale = 1) {
    std::mt19937 random(rows * 31 + columns);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> weights(size_t{rows} * columns);
    for (float& weight : weights) weight = normal(random);
    nsq::MatrixLoss loss;
    for (uint32_t r = 0; r < rows; ++r) loss.row_weights.push_back(r % 3 == 0 ? 1.0f : 7.0f);
    const nsq::Quantizer quantizer(weights.data(), rows, columns, loss, {});
    const nsq::Matrix matrix = quantizer.Quantize(step * quantizer.spread()).matrix;
    std::vector<float> decoded = nsq::Decode(matrix), turned = decoded;
    if (transposed) {
      for (uint32_t r = 0; r < rows; ++r) {
        for (uint32_t c = 0; c < columns; ++c) turned[size_t{c} * rows + r] = decoded[size_t{r} * columns + c];
      }
    }
    const std::vector<uint64_t> shape = transposed ? std::vector<uint64_t>{columns, rows} : std::vector<uint64_t>{rows, columns};
    Add(name, shape, transposed ? Coding::kTransposedStream : Coding::kStream, DType::kF16, *nsq::Write(matrix, 1), std::move(turned));
  }

  // Writes the directory, its files in two parts.
  WrittenFile WriteTo(const std::string& directory, bool manifest = false) const {
    WriteTestFile(directory + "/p0", "");
    std::string rest;
    for (const std::string& data : bytes) rest += data;
    const size_t half = rest.size() / 2;
    WriteTestFile(directory + ".part-0", rest.substr(0, half));
    WriteTestFile(directory + ".part-1", rest.substr(half));
    std::filesystem::remove(directory + "/p0");
    const auto written = WriteNsq(directory + "/model.safetensors", tensors, {directory + ".part-0", directory + ".part-1"}, kSilent);
    if (!written.ok()) ADD_FAILURE() << written.status();
    WriteTestFile(directory + "/config.json",
                  R"({"zeta": 1, "alpha": [2], "quantization_config": {"quant_method": "nashswarm", "version": 1}, "mid": null})");
    if (manifest) {
      WriteTestFile(directory + "/manifest.json",
                    Json{{"schema", kManifestSchema}, {"artifact", {{"bytes", written->bytes}, {"sha256", ToHex(written->sha256)}}}}.dump());
    }
    return *written;
  }
};

// A few kilobytes with everything in it: both ways round, two tiles, escapes, every plain type.
Sample SmallSample() {
  Sample sample;
  sample.AddPlain("norm.f16", DType::kF16, {1, -2.5f, 0.333f});
  sample.AddMatrix("straight.weight", 12, 20, false, 0.5);
  sample.AddPlain("norm.f32", DType::kF32, {1e30f, -1e-30f});
  sample.AddMatrix("turned.weight", 20, 9, true, 0.9);
  sample.AddMatrix("tall.weight", 65, 4096, false, 5.5);
  sample.AddPlain("norm.bf16", DType::kBF16, {3e38f, 1});
  sample.AddPlain("empty", DType::kF32, {});
  return sample;
}

// The index as WriteNsq makes it. InTheFile checks that it is that.
std::string PackedIndex(const std::string& text) {
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size(), Z_BEST_COMPRESSION);
  packed.resize(size);
  return packed;
}

std::string IndexText(const std::vector<NsqTensor>& tensors) {
  OrderedJson list = OrderedJson::array();
  for (const NsqTensor& t : tensors) {
    const std::string coding = t.coding == Coding::kStream ? "nsq" : t.coded() ? "nsq-transposed" : std::string(NameOf(t.plain_dtype));
    OrderedJson entry = {{"name", t.name}, {"shape", t.shape}, {"dtype", NameOf(t.dtype)}, {"coding", coding}, {"bytes", t.bytes}};
    if (!t.coded()) entry["crc32"] = t.crc;
    list.push_back(entry);
  }
  return OrderedJson{{"tensors", list}}.dump();
}

std::string Image(const std::string& packed_index, const std::string& block, std::map<std::string, std::string> metadata = {
                                                                                 {"format", "nsq"}, {"nsq_version", "1"}}) {
  const checkpoint::TensorShape shapes[] = {{"nsq.index", DType::kU8, {packed_index.size()}}, {"nsq.data", DType::kU8, {block.size()}}};
  return checkpoint::SerializeSafetensorsHeader(shapes, metadata) + packed_index + block;
}

absl::Status ParseEntries(const std::string& entries, const std::string& block) {
  return ParseNsq(AsBytes(Image(PackedIndex("{\"tensors\":[" + entries + "]}"), block)), "x").status();
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) names.push_back(std::filesystem::relative(entry.path(), directory).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(NsqArtifactTest, WritesWhatTheFormatSays) {
  const auto dir = MakeTemporaryDirectory();
  const Sample sample = SmallSample();
  const WrittenFile written = sample.WriteTo(dir.path());
  std::string block;
  for (const std::string& data : sample.bytes) block += data;
  const std::string file = ReadTestFile(dir.path() + "/model.safetensors");
  EXPECT_EQ(file, Image(PackedIndex(IndexText(sample.tensors)), block));
  EXPECT_EQ(written.bytes, file.size());
  EXPECT_EQ(written.sha256, Sha256Of(file));
  EXPECT_LE(file.size() - block.size(), NsqOverheadBound(sample.tensors));

  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  ASSERT_EQ(open->tensors.size(), sample.tensors.size());
  for (size_t t = 0; t < sample.tensors.size(); ++t) {
    const NsqTensor &got = open->tensors[t], &want = sample.tensors[t];
    EXPECT_EQ(got.name, want.name);
    EXPECT_EQ(got.shape, want.shape);
    EXPECT_EQ(got.coding, want.coding);
    const auto bytes = open->BytesOf(got);
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), sample.bytes[t]);
  }
  NS_EXPECT_OK(Verify(*open, 2, kSilentTotal));
}

TEST(NsqArtifactTest, PartsThatDoNotAddUpLeaveNothingBehind) {
  const auto dir = MakeTemporaryDirectory();
  const Sample sample = SmallSample();
  for (const size_t size : {size_t{0}, size_t{100}, size_t{1} << 20}) {
    WriteTestFile(dir.path() + "/part", std::string(size, 'x'));
    const auto written = WriteNsq(dir.path() + "/model.safetensors", sample.tensors, {dir.path() + "/part"}, kSilent);
    EXPECT_EQ(ReasonOf(written.status()), "ARTIFACT_SIZE");
    EXPECT_THAT(NamesIn(dir.path()), ElementsAre("part"));
  }
}

// The plan spends what this leaves: one byte too few and the file is above its target.
TEST(NsqArtifactTest, OverheadBoundBoundsWhateverTheNumbersAre) {
  std::mt19937_64 random(5);
  for (const size_t layers : {0u, 1u, 2u, 12u, 60u, 130u}) {
    std::vector<NsqTensor> tensors;
    for (size_t l = 0; l < layers; ++l) {
      const std::string layer = "model.layers." + std::to_string(l) + ".";
      for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"}) {
        tensors.push_back({layer + name + ".weight", {4096, 11008}, DType::kBF16, Coding::kStream, DType::kF16, 0, 0, 0});
      }
      tensors.push_back({layer + "norm.weight", {4096}, DType::kBF16, Coding::kPlain, DType::kBF16, 8192, 0, 0});
      tensors.push_back({layer + "tiny.weight", {2, 3}, DType::kF64, Coding::kTransposedStream, DType::kF16, 0, 0, 0});
    }
    const uint64_t bound = NsqOverheadBound(tensors);
    uint64_t least = UINT64_MAX;
    for (int trial = 0; trial < 120; ++trial) {
      for (NsqTensor& tensor : tensors) {
        tensor.crc = trial % 4 == 1 ? UINT32_MAX : static_cast<uint32_t>(random());
        if (!tensor.coded()) continue;
        const uint64_t most = 16 * tensor.weights() + (64u << 10);
        tensor.bytes = trial % 4 == 0 ? random() % most : trial % 4 == 1 ? most : trial % 4 == 2 ? most - random() % 1000 : most / 2 + random() % (most / 2);
      }
      uint64_t block = 0;
      for (const NsqTensor& tensor : tensors) block += tensor.bytes;
      const std::string packed = PackedIndex(IndexText(tensors));
      const checkpoint::TensorShape shapes[] = {{"nsq.index", DType::kU8, {packed.size()}}, {"nsq.data", DType::kU8, {block}}};
      const uint64_t overhead = packed.size() + checkpoint::SerializeSafetensorsHeader(shapes, {{"format", "nsq"}, {"nsq_version", "1"}}).size();
      ASSERT_LE(overhead, bound) << layers << " layers, trial " << trial;
      if (trial % 4 == 3) least = std::min(least, overhead);
    }
    // What is promised and not needed is lost: a few bytes a tensor at most.
    EXPECT_LE(bound, least + 64 + 4 * tensors.size()) << layers;
  }
}

TEST(PlainDtypeTest, TakesTheLeastThatLosesNothingThatMatters) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const DType narrow : {DType::kF16, DType::kBF16}) EXPECT_EQ(PlainDtype(narrow, {1e38f, 1e-30f}), narrow);
  for (const DType wide : {DType::kF32, DType::kF64}) {
    EXPECT_EQ(PlainDtype(wide, {}), DType::kF16);
    EXPECT_EQ(PlainDtype(wide, {0, -0.0f}), DType::kF16);
    EXPECT_EQ(PlainDtype(wide, {65504, -65504}), DType::kF16);
    EXPECT_EQ(PlainDtype(wide, {1, 65505}), DType::kF32);
    EXPECT_EQ(PlainDtype(wide, {1, -65520}), DType::kF32);
    EXPECT_EQ(PlainDtype(wide, {1, infinity}), DType::kF32);
    EXPECT_EQ(PlainDtype(wide, {1, nan}), DType::kF32);
    EXPECT_EQ(PlainDtype(wide, {1, 1e-20f}), DType::kF16) << "beside 1 it counts for nothing";
    EXPECT_EQ(PlainDtype(wide, {0, 1e-6f}), DType::kF32) << "all that there is would lose digits";
    EXPECT_EQ(PlainDtype(wide, {0x1p-14f}), DType::kF16);
    EXPECT_EQ(PlainDtype(wide, {std::nextafter(0x1p-14f, 0.0f)}), DType::kF32);
  }
}

TEST(PlainBytesTest, RoundsToNearestEven) {
  const std::vector<float> values = {1, 1 + 0x1p-11f, 1 + 0x3p-11f, -0.0f, 1e-7f};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::string bytes = PlainBytes(dtype, values);
    ASSERT_EQ(bytes.size(), values.size() * checkpoint::BytesOf(dtype));
    std::vector<float> back(values.size());
    checkpoint::ToFloat(dtype, AsBytes(bytes).data(), back.size(), back.data());
    for (size_t i = 0; i < values.size(); ++i) {
      const float want = dtype == DType::kF32   ? values[i]
                         : dtype == DType::kF16 ? HalfToFloat(FloatToHalf(values[i]))
                                                : BFloat16ToFloat(FloatToBFloat16(values[i]));
      EXPECT_EQ(back[i], want);
      EXPECT_EQ(std::signbit(back[i]), std::signbit(want));
    }
  }
}

TEST(NsqCompanionsTest, TravelByteForByteAndWeightsStay) {
  const auto dir = MakeTemporaryDirectory();
  const std::string from = dir.path() + "/from", to = dir.path() + "/to";
  NS_ASSERT_OK(MakeDirectories(from + "/onnx"));
  NS_ASSERT_OK(MakeDirectories(from + "/sub"));
  NS_ASSERT_OK(MakeDirectories(to));
  const std::string binary("\0\xff\r\n\x1a", 5);
  for (const char* name : {"tokenizer.json", "vocab.txt", "LICENSE", "sub/merges.txt", "safetensors"}) WriteTestFile(from + "/" + name, name + binary);
  for (const char* name : {"model-00001-of-00002.safetensors", "pytorch_model.bin", "onnx/model.onnx", "model.safetensors.index.json", "tf_model.h5",
                           "x.gguf", ".hidden", "manifest.json", "report.json", "report.html"}) {
    WriteTestFile(from + "/" + name, "{}");
  }
  WriteTestFile(from + "/config.json", R"({"zeta":1,"alpha":{"b":2,"a":0.1},"mid":[1e-5,true]})");
  NS_ASSERT_OK(CopyCompanions(from, 2.5, to));
  EXPECT_THAT(NamesIn(to), ElementsAre("LICENSE", "config.json", "safetensors", "sub/merges.txt", "tokenizer.json", "vocab.txt"));
  EXPECT_EQ(ReadTestFile(to + "/sub/merges.txt"), "sub/merges.txt" + binary);
  const OrderedJson config = OrderedJson::parse(ReadTestFile(to + "/config.json"));
  EXPECT_EQ(config.dump(), R"({"zeta":1,"alpha":{"b":2,"a":0.1},"mid":[1e-05,true],"quantization_config":)"
                           R"({"quant_method":"nashswarm","version":1,"bits_per_weight":2.5}})");
  EXPECT_TRUE(IsNsq(to));
  EXPECT_FALSE(IsNsq(from));
}

TEST(NsqCompanionsTest, AConfigThatIsNoObjectIsRefused) {
  const auto dir = MakeTemporaryDirectory();
  const std::string from = dir.path() + "/from", to = dir.path() + "/to";
  NS_ASSERT_OK(MakeDirectories(from));
  NS_ASSERT_OK(MakeDirectories(to));
  for (const auto& [text, reason] : std::map<std::string, std::string>{
           {"[]", "CONFIG_INVALID"}, {"{", "JSON_SYNTAX"}, {R"({"a":1,"a":2})", "JSON_DUPLICATE_KEY"}}) {
    WriteTestFile(from + "/config.json", text);
    EXPECT_EQ(ReasonOf(CopyCompanions(from, 3, to)), reason);
    EXPECT_FALSE(PathExists(to + "/config.json"));
    EXPECT_FALSE(IsNsq(from)) << text;
  }
}

TEST(IsNsqTest, GoesByTheQuantMethodAlone) {
  const auto dir = MakeTemporaryDirectory();
  EXPECT_FALSE(IsNsq(dir.path()));
  EXPECT_FALSE(IsNsq(dir.path() + "/absent"));
  const auto is = [&](const char* config) {
    WriteTestFile(dir.path() + "/config.json", config);
    return IsNsq(dir.path());
  };
  EXPECT_TRUE(is(R"({"quantization_config":{"quant_method":"nashswarm"}})"));
  EXPECT_FALSE(is(R"({"quantization_config":{"quant_method":"gptq"}})"));
  EXPECT_FALSE(is(R"({"quantization_config":{"quant_method":7}})"));
  EXPECT_FALSE(is(R"({"quantization_config":{}})"));
  EXPECT_FALSE(is(R"({"quantization_config":"nashswarm"})"));
  EXPECT_FALSE(is(R"({"quant_method":"nashswarm"})"));
  EXPECT_FALSE(IsNsq(dir.path() + "/config.json"));
}

std::string Unpacked(const std::string& artifact, DType dtype, int threads) {
  const auto out = MakeTemporaryDirectory();
  const auto open = ReadNsq(artifact);
  if (!open.ok()) return Message(open.status());
  uint64_t last = 0, total = 0;
  const absl::Status status = Unpack(*open, dtype, out.path(), threads, [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last);
    last = done, total = all;
  });
  EXPECT_EQ(last, total);
  return status.ok() ? ReadTestFile(out.path() + "/model.safetensors") : Message(status);
}

TEST(UnpackTest, GivesTheCheckpointsTensorsInEveryType) {
  const auto dir = MakeTemporaryDirectory();
  Sample sample;
  sample.AddPlain("norm.f16", DType::kF16, {1, -2.5f, 0.333f});
  sample.AddMatrix("straight.weight", 12, 20, false, 0.5);
  sample.AddMatrix("turned.weight", 20, 9, true, 0.9);
  sample.AddMatrix("turned.tall.weight", 5000, 70, true, 0.5);
  sample.AddPlain("norm.f32", DType::kF32, {1e4f, -1e-30f});
  sample.AddPlain("norm.bf16", DType::kBF16, {3e3f, 1});
  sample.WriteTo(dir.path());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<checkpoint::TensorShape> shapes;
    std::string data;
    for (size_t t = 0; t < sample.tensors.size(); ++t) {
      shapes.push_back({sample.tensors[t].name, dtype, sample.tensors[t].shape});
      data += PlainBytes(dtype, sample.values[t]);
    }
    const std::string want = checkpoint::SerializeSafetensorsHeader(shapes, {{"format", "pt"}}) + data;
    for (const int threads : {1, 2, 3}) {
      EXPECT_EQ(Sha256Of(Unpacked(dir.path(), dtype, threads)), Sha256Of(want)) << NameOf(dtype) << ", " << threads << " threads";
    }
    coding::ForceScalarKernels(true);
    EXPECT_EQ(Sha256Of(Unpacked(dir.path(), dtype, 2)), Sha256Of(want)) << NameOf(dtype) << ", plain kernels";
    coding::ForceScalarKernels(false);
    for (int64_t rest = coding::KernelTargets(); rest != 0; rest &= rest - 1) {
      coding::UseKernelTarget(rest & -rest);
      EXPECT_EQ(Sha256Of(Unpacked(dir.path(), dtype, 2)), Sha256Of(want)) << NameOf(dtype) << ", target " << (rest & -rest);
    }
    coding::UseKernelTarget(0);
  }
}

TEST(UnpackTest, ConfigIsAsItWasAndCompanionsTravelOn) {
  const auto dir = MakeTemporaryDirectory();
  const std::string out = dir.path() + "/inside/deeper";  // of the artifact
  SmallSample().WriteTo(dir.path(), /*manifest=*/true);
  NS_ASSERT_OK(MakeDirectories(dir.path() + "/sub"));
  WriteTestFile(dir.path() + "/sub/vocab.txt", "a\r\nb");
  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  for (int time = 0; time < 2; ++time) {  // the second time its own files lie there
    NS_ASSERT_OK(Unpack(*open, DType::kBF16, out, 1, kSilentTotal));
    EXPECT_THAT(NamesIn(out), ElementsAre("config.json", "model.safetensors", "sub/vocab.txt"));
  }
  EXPECT_EQ(OrderedJson::parse(ReadTestFile(out + "/config.json")).dump(), R"({"zeta":1,"alpha":[2],"mid":null})");
  EXPECT_EQ(ReadTestFile(out + "/sub/vocab.txt"), "a\r\nb");
  NS_EXPECT_OK(Verify(*open, 1, kSilentTotal));
}

TEST(UnpackTest, WeightsBeyondHalfAreRefusedAndNothingIsLeft) {
  const auto dir = MakeTemporaryDirectory();
  const std::string out = dir.path() + "/out";
  for (const bool coded : {false, true}) {
    Sample sample;
    sample.AddMatrix("small.weight", 12, 20, false, 0.5);
    if (coded) sample.AddMatrix("large.weight", 12, 20, true, 0.5, 1e6f);
    else sample.AddPlain("large.weight", DType::kF32, {65520});
    sample.WriteTo(dir.path());
    const auto open = ReadNsq(dir.path());
    NS_ASSERT_OK(open.status());
    const absl::Status status = Unpack(*open, DType::kF16, out, 1, kSilentTotal);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(ReasonOf(status), "DTYPE_TOO_NARROW");
    EXPECT_THAT(Message(status), HasSubstr("'large.weight'"));
    EXPECT_THAT(NamesIn(out), ElementsAre());
    NS_EXPECT_OK(Verify(*open, 1, kSilentTotal));
  }
}

TEST(UnpackTest, NumbersThatAreNotFiniteAreDamage) {
  for (const float value : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::quiet_NaN()}) {
    for (const DType stored : {DType::kF32, DType::kF16, DType::kBF16}) {
      const auto dir = MakeTemporaryDirectory();
      Sample sample;
      sample.AddPlain("fine", stored, {1, 2});
      sample.AddPlain("broken", stored, {1, value});
      sample.WriteTo(dir.path());
      const auto open = ReadNsq(dir.path());
      NS_ASSERT_OK(open.status());
      for (const absl::Status& status : {Verify(*open, 1, kSilentTotal), Unpack(*open, DType::kF32, dir.path() + "/out", 1, kSilentTotal),
                                         Unpack(*open, DType::kBF16, dir.path() + "/out", 1, kSilentTotal)}) {
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        EXPECT_EQ(ReasonOf(status), "ARTIFACT_NON_FINITE");
        EXPECT_THAT(Message(status), HasSubstr("'broken'"));
      }
      EXPECT_THAT(NamesIn(dir.path() + "/out"), ElementsAre());
    }
  }
}

// Scales that overflow are of a file that nobody wrote; each checksum is right.
TEST(UnpackTest, AMatrixThatDecodesToInfinityNamesItsTile) {
  nsq::Matrix matrix;
  matrix.grid = {.rows = 65, .columns = 4096, .dependent = false, .step = 1e30f};
  matrix.grid.column_scale.assign(4096, 0);
  matrix.grid.row_scale.assign(65, 0);
  matrix.grid.row_scale[64] = 240;  // 2^30
  matrix.grid.column_class.assign(4096, 0);
  matrix.grid.row_class.assign(65, 0);
  matrix.integers.assign(65 * 4096, 0);
  matrix.integers.back() = 1;
  std::vector<double> counts = {65 * 4096 - 1, 1};
  matrix.tables = {coding::FrequencyTable::Fit(counts)};
  Sample sample;
  sample.Add("m", {65, 4096}, Coding::kStream, DType::kF16, *nsq::Write(matrix, 1), {});
  const absl::Status status = VerifyTensor(sample.tensors[0], AsBytes(sample.bytes[0]));
  EXPECT_EQ(ReasonOf(status), "ARTIFACT_NON_FINITE");
  EXPECT_THAT(Message(status), HasSubstr("'m', tile 1"));
  const auto dir = MakeTemporaryDirectory();
  sample.WriteTo(dir.path());
  EXPECT_THAT(Unpacked(dir.path(), DType::kF32, 1), HasSubstr("'m'"));
}

// What a flipped bit inside tensor t must say.
void ExpectNamed(const absl::Status& status, const NsqTensor& tensor, uint64_t at, const nsq::Stream* stream) {
  ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << tensor.name << " byte " << at << ": " << status;
  ASSERT_THAT(Message(status), HasSubstr("'" + tensor.name + "'"));
  if (stream == nullptr) {
    ASSERT_EQ(ReasonOf(status), "NSQ_TENSOR");
    return;
  }
  ASSERT_EQ(ReasonOf(status), at < stream->header_bytes() ? "NSQ_STREAM" : "NSQ_TILE");
  if (at < stream->header_bytes()) return;
  uint64_t begin = stream->header_bytes();
  for (uint32_t tile = 0; tile < stream->grid().tiles(); ++tile) {
    const uint64_t end = begin + stream->payload(tile).size();
    if (at >= begin && at < end) {
      ASSERT_THAT(Message(status), HasSubstr("tile " + std::to_string(tile) + " "));
    }
    begin = end;
  }
}

TEST(DamageTest, EveryFlippedBitIsFoundAndNamed) {
  const auto dir = MakeTemporaryDirectory();
  SmallSample().WriteTo(dir.path());
  std::string file = ReadTestFile(dir.path() + "/model.safetensors");
  const auto contents = ParseNsq(AsBytes(file), "x");
  NS_ASSERT_OK(contents.status());
  ASSERT_LT(file.size(), 8000u);
  size_t synonyms = 0;
  for (size_t byte = 0; byte < contents->block_begin; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
      const auto parsed = ParseNsq(AsBytes(file), "x");
      // deflate can say the same in two ways. Then the tensors are the same too.
      if (parsed.ok()) {
        ++synonyms;
        ASSERT_EQ(IndexText(parsed->tensors), IndexText(contents->tensors)) << byte;
        ASSERT_EQ(parsed->block_begin, contents->block_begin);
      }
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
    }
  }
  EXPECT_LT(synonyms, 64u);
  for (const NsqTensor& tensor : contents->tensors) {
    std::string bytes = file.substr(contents->block_begin + tensor.offset, tensor.bytes);
    const std::string whole = bytes;
    std::optional<nsq::Stream> stream;
    if (tensor.coded()) stream = *nsq::Stream::Open(AsBytes(whole), tensor.rows(), tensor.columns(), tensor.name);
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
        ExpectNamed(VerifyTensor(tensor, AsBytes(bytes)), tensor, at, stream ? &*stream : nullptr);
        if (HasFatalFailure()) return;
        bytes[at] = whole[at];
      }
    }
  }
}

// The same through files: with a manifest there is no bit that Verify does not miss, and Unpack leaves nothing.
TEST(DamageTest, VerifyFindsEveryBitByTheManifestAndUnpackWritesNothing) {
  const auto dir = MakeTemporaryDirectory();
  const std::string path = dir.path() + "/model.safetensors", out = dir.path() + "/out";
  Sample sample;
  sample.AddPlain("norm", DType::kF16, {1, 2, 3});
  sample.AddMatrix("m", 8, 8, true, 0.7);
  sample.WriteTo(dir.path(), /*manifest=*/true);
  NS_ASSERT_OK(Verify(*ReadNsq(dir.path()), 1, kSilentTotal));
  const std::string whole = ReadTestFile(path);
  const uint64_t block = ParseNsq(AsBytes(whole), "x")->block_begin;
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string file = whole;
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
      WriteTestFile(path, file);
      const auto open = ReadNsq(dir.path());
      const absl::Status status = open.ok() ? Verify(*open, 1, kSilentTotal) : open.status();
      ASSERT_FALSE(status.ok()) << byte << " bit " << bit;
      if (byte < block || !open.ok()) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_NE(ReasonOf(status), "ARTIFACT_DIGEST") << "a tensor's own checksum says more";
      const absl::Status unpacked = Unpack(*open, DType::kF32, out, 1, kSilentTotal);
      ASSERT_EQ(unpacked.code(), absl::StatusCode::kDataLoss) << byte;
      ASSERT_EQ(ReasonOf(unpacked), ReasonOf(status));
      ASSERT_THAT(NamesIn(out), ElementsAre());
    }
  }
}

TEST(DamageTest, ManifestOfAnotherFileIsFound) {
  const auto dir = MakeTemporaryDirectory();
  Sample sample = SmallSample();
  sample.WriteTo(dir.path(), /*manifest=*/true);
  sample.tensors[0].name = "renamed";
  sample.WriteTo(dir.path());
  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(ReasonOf(Verify(*open, 1, kSilentTotal)), "ARTIFACT_DIGEST");
}

TEST(DamageTest, TruncationAtEveryByteIsFound) {
  const auto dir = MakeTemporaryDirectory();
  SmallSample().WriteTo(dir.path());
  const std::string file = ReadTestFile(dir.path() + "/model.safetensors");
  for (size_t size = 0; size < file.size(); ++size) {
    const std::string head = file.substr(0, size);  // a copy of its own, so that a sanitizer sees reads beyond
    ASSERT_FALSE(ParseNsq(AsBytes(head), "x").ok()) << size;
  }
  EXPECT_FALSE(ParseNsq(AsBytes(file + "\0"), "x").ok() && ParseNsq(AsBytes(file + "x"), "x").ok());
}

TEST(DamageTest, StreamsCutAtEveryByteAreFound) {
  const Sample sample = SmallSample();
  for (size_t t = 0; t < sample.tensors.size(); ++t) {
    if (!sample.tensors[t].coded()) continue;
    for (size_t size = 0; size < sample.bytes[t].size(); ++size) {
      const std::string head = sample.bytes[t].substr(0, size);
      ASSERT_EQ(VerifyTensor(sample.tensors[t], AsBytes(head)).code(), absl::StatusCode::kDataLoss) << size;
    }
    ASSERT_EQ(ReasonOf(VerifyTensor(sample.tensors[t], AsBytes(sample.bytes[t] + "x"))), "NSQ_STREAM");
  }
}

TEST(LyingFileTest, HeadersOfOtherFilesAreRefused) {
  const std::string index = PackedIndex(R"({"tensors":[]})");
  NS_EXPECT_OK(ParseNsq(AsBytes(Image(index, "")), "x").status());
  const auto reason = [&](std::map<std::string, std::string> metadata) {
    const absl::Status status = ParseNsq(AsBytes(Image(index, "", std::move(metadata))), "x").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX");
    return Message(status);
  };
  EXPECT_THAT(reason({}), HasSubstr("not of the nsq format"));
  EXPECT_THAT(reason({{"format", "pt"}}), HasSubstr("not of the nsq format"));
  EXPECT_THAT(reason({{"format", "nsq"}, {"nsq_version", "2"}}), HasSubstr("version 2"));
  EXPECT_THAT(reason({{"format", "nsq"}}), HasSubstr("version ?"));
  const auto with = [&](std::vector<checkpoint::TensorShape> shapes, size_t data) {
    return ReasonOf(ParseNsq(AsBytes(checkpoint::SerializeSafetensorsHeader(shapes, {{"format", "nsq"}, {"nsq_version", "1"}}) + std::string(data, ' ')), "x").status());
  };
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {4}}}, 4), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.data", DType::kU8, {4}}, {"nsq.index", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {2, 2}}, {"nsq.data", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kI8, {4}}, {"nsq.data", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {4}}, {"nsq.data", DType::kU8, {4}}, {"more", DType::kU8, {4}}}, 12), "NSQ_INDEX");
}

TEST(LyingFileTest, AnIndexThatUnpacksWithoutEndIsRefused) {
  // 40 MB of zeros from 40 KB.
  const std::string bomb = PackedIndex(std::string(40u << 20, '0'));
  ASSERT_LT(bomb.size(), 100000u);
  EXPECT_THAT(Message(ParseNsq(AsBytes(Image(bomb, "")), "x").status()), HasSubstr("does not unpack"));
  const std::string whole = PackedIndex(R"({"tensors":[]})");
  for (const std::string& index : {std::string(), std::string("x"), whole.substr(0, whole.size() - 1), whole + "x", whole + whole}) {
    const absl::Status status = ParseNsq(AsBytes(Image(index, "")), "x").status();
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX") << index.size();
  }
  for (const std::string text : {"", "[]", "{", "{}", R"({"tensors":{}})", R"({"tensors":[1]})", R"({"tensors":[],"tensors":[]})"}) {
    EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(text), "")), "x").status()), "NSQ_INDEX") << text;
  }
  EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(R"({"tensors":)" + std::string(100, '[') + std::string(100, ']') + "}"), "")), "x").status()),
            "NSQ_INDEX");
  // A reader of JSON that stops at a NUL must not see another file than one that goes on.
  EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(std::string("{\"tensors\":[]}\0more", 19)), "")), "x").status()), "NSQ_INDEX");
}

TEST(LyingFileTest, EntriesThatCannotBeTrueAreRefused) {
  const std::string block(64, '\0');
  const auto plain = [](const std::string& fields) { return "{" + fields + "}"; };
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)"), block));
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"a","shape":[8,8],"dtype":"F32","coding":"nsq","bytes":64,"more":1)"), block));
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"s","shape":[],"dtype":"F32","coding":"F32","bytes":4,"crc32":0)") + "," +
                            plain(R"("name":"a","shape":[15],"dtype":"F32","coding":"F32","bytes":60,"crc32":0)"), block));
  for (const char* fields : {
           // sizes
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":60,"crc32":0)",
           R"("name":"a","shape":[17],"dtype":"F32","coding":"F32","bytes":68,"crc32":0)",
           R"("name":"a","shape":[4294967296,4294967296],"dtype":"F32","coding":"F32","bytes":0,"crc32":0)",
           R"("name":"a","shape":[4611686018427387905],"dtype":"F32","coding":"F32","bytes":4,"crc32":0)",
           R"("name":"a","shape":[18446744073709551616],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[-16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16.0],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":["16"],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":16,"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[1,1,1,1,1,1,1,1,16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":-1,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":"64","crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64.0,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","crc32":0)",
           // more weights than there can be
           R"("name":"a","shape":[16777216,65536],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[4096,1040],"dtype":"F32","coding":"nsq-transposed","bytes":64)",
           R"("name":"a","shape":[33554432,1],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[0,8],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[64],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[4,4,4],"dtype":"F32","coding":"nsq","bytes":64)",
           // types
           R"("name":"a","shape":[64],"dtype":"U8","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[64],"dtype":"F32","coding":"I8","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"zip","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"coding":"F32","bytes":64,"crc32":0)",
           // checksums
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":4294967296)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":-1)",
           // names
           R"("shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":5,"shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"__metadata__","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"../../etc","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\\b","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\u0000b","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\u007fb","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
       }) {
    const absl::Status status = ParseEntries(plain(fields), block);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << fields;
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX") << fields;
  }
  const std::string half = R"("shape":[8],"dtype":"F32","coding":"F32","bytes":32,"crc32":0})";
  NS_EXPECT_OK(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"b\"," + half, block));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"a\"," + half, block)), HasSubstr("twice"));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half, block)), HasSubstr("left after"));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"b\"," + half + ",{\"name\":\"c\"," + half, block)), HasSubstr("'c' ends beyond"));
  EXPECT_FALSE(ParseEntries("{\"name\":\"" + std::string(1025, 'n') + "\"," + half, block.substr(32)).ok());
  NS_EXPECT_OK(ParseEntries("{\"name\":\"" + std::string(1024, 'n') + "\"," + half, block.substr(32)));
}

// 256 KB that promise 64 GB of weights: refused by what they are, not by the allocator.
TEST(LyingFileTest, ShapesAreNotBelievedBeforeTheStreamIs) {
  const auto dir = MakeTemporaryDirectory();
  Sample sample;
  sample.Add("huge", {1u << 24, 1u << 10}, Coding::kTransposedStream, DType::kF16, std::string(1u << 18, '\0'), {});
  sample.WriteTo(dir.path());
  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  for (const absl::Status& status : {Verify(*open, 1, kSilentTotal), Unpack(*open, DType::kF32, dir.path() + "/out", 1, kSilentTotal)}) {
    EXPECT_EQ(ReasonOf(status), "NSQ_STREAM") << status;
    EXPECT_THAT(Message(status), HasSubstr("'huge'"));
  }
  EXPECT_THAT(NamesIn(dir.path() + "/out"), ElementsAre());
}

}  // namespace
}  // namespace nashswarm::artifact
