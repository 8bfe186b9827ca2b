// nsq artifacts made for tests, and the pieces of one that lies. Used by the tests of this folder, and of the command that unpacks them.
#ifndef NASHSWARM_TESTS_UNIT_ARTIFACT_NSQ_SAMPLE_H_
#define NASHSWARM_TESTS_UNIT_ARTIFACT_NSQ_SAMPLE_H_

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

using checkpoint::DType;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::SafetensorsImage;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Coding = NsqTensor::Coding;

inline const auto kSilent = [](uint64_t) {};
inline const auto kSilentTotal = [](uint64_t, uint64_t) {};

inline absl::Span<const uint8_t> AsBytes(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

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
    const auto written = WriteNsq(directory + "/" + kNsqFile, tensors, {directory + ".part-0", directory + ".part-1"}, kSilent);
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
inline Sample SmallSample() {
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
inline std::string PackedIndex(const std::string& text) {
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size(), Z_BEST_COMPRESSION);
  packed.resize(size);
  return packed;
}

inline std::string IndexText(const std::vector<NsqTensor>& tensors) {
  OrderedJson list = OrderedJson::array();
  for (const NsqTensor& t : tensors) {
    const std::string coding = t.coding == Coding::kStream ? "nsq" : t.coded() ? "nsq-transposed" : std::string(NameOf(t.plain_dtype));
    OrderedJson entry = {{"name", t.name}, {"shape", t.shape}, {"dtype", NameOf(t.dtype)}, {"coding", coding}, {"bytes", t.bytes}};
    if (!t.coded()) entry["crc32"] = t.crc;
    list.push_back(entry);
  }
  return OrderedJson{{"tensors", list}}.dump();
}

inline std::string Image(const std::string& packed_index, const std::string& block, std::map<std::string, std::string> metadata = {
                                                                                 {"format", "nsq"}, {"nsq_version", "1"}}) {
  const checkpoint::TensorShape shapes[] = {{"nsq.index", DType::kU8, {packed_index.size()}}, {"nsq.data", DType::kU8, {block.size()}}};
  return checkpoint::SerializeSafetensorsHeader(shapes, metadata) + packed_index + block;
}

inline absl::Status ParseEntries(const std::string& entries, const std::string& block) {
  return ParseNsq(AsBytes(Image(PackedIndex("{\"tensors\":[" + entries + "]}"), block)), "x").status();
}

inline std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) names.push_back(std::filesystem::relative(entry.path(), directory).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_TESTS_UNIT_ARTIFACT_NSQ_SAMPLE_H_
