// Writes the seeds of nsq_fuzzer with the program's own writer: nsq_corpus tests/fuzz/corpus/nsq
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/coding/crc32.h"
#include "core/coding/integers.h"
#include "core/coding/tile.h"
#include "core/nsq/quantizer.h"

namespace {

using namespace nashswarm;

std::string U16(uint32_t value) { return {static_cast<char>(value), static_cast<char>(value >> 8)}; }

void Keep(const std::string& path, const std::string& content) {
  if (const absl::Status status = WriteFileUnsynced(path, content); !status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
}

// Normal weights whose columns spread differently; one in `outlier` is far out (0: none).
std::vector<float> Weights(uint32_t rows, uint32_t columns, uint32_t outlier) {
  std::mt19937 random(rows * 31 + columns);
  std::normal_distribution<float> normal;
  std::vector<float> weights(size_t{rows} * columns);
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = normal(random) * (i % columns % 2 == 0 ? 1.0f : 8.0f);
    if (outlier != 0 && random() % outlier == 0) weights[i] *= 300;
  }
  return weights;
}

nsq::Matrix MatrixOf(const std::vector<float>& weights, uint32_t rows, uint32_t columns, bool dependent, double step) {
  nsq::MatrixLoss loss;
  for (uint32_t r = 0; r < rows; ++r) loss.row_weights.push_back(r % 3 == 0 ? 1.0f : 7.0f);
  nsq::Settings settings;
  settings.dependent = dependent;
  const nsq::Quantizer quantizer(weights.data(), rows, columns, loss, settings);
  return quantizer.Quantize(step * quantizer.spread()).matrix;
}

std::string Stream(uint32_t rows, uint32_t columns, bool dependent, double step, uint32_t outlier) {
  return *nsq::Write(MatrixOf(Weights(rows, columns, outlier), rows, columns, dependent, step), 1);
}

// As many contexts as there may be, of zeros.
std::string ManyContexts(uint32_t rows, uint32_t columns) {
  nsq::Matrix matrix;
  nsq::Grid& grid = matrix.grid;
  grid.rows = rows;
  grid.columns = columns;
  grid.dependent = false;
  grid.row_scale.assign(rows, 0);
  grid.column_scale.assign(columns, 0);
  grid.row_class.assign(rows, 40);
  grid.column_class.assign(columns, 23);
  matrix.tables.resize(static_cast<size_t>(grid.tables()));
  matrix.integers.assign(size_t{rows} * columns, 0);
  return *nsq::Write(matrix, 1);
}

// `greatest`: the weights that are far out are as far as there are integers.
std::string Tile(uint32_t rows, uint32_t columns, bool dependent, uint32_t outlier, bool greatest) {
  nsq::Matrix matrix = MatrixOf(Weights(rows, columns, outlier), rows, columns, dependent, outlier == 0 ? 0.7 : 0.03);
  for (int32_t& k : matrix.integers) {
    if (greatest && std::abs(k) > 20) k = k < 0 ? -coding::kMaxInteger : coding::kMaxInteger;
  }
  const std::vector<uint8_t> row_class(rows, 0), column_class(columns, 0);
  const coding::TileClasses classes{row_class, column_class};
  constexpr size_t kMost = 4096;
  const size_t count = dependent ? 2 : 1;
  std::vector<double> counts(count * kMost);
  coding::CountMagnitudes({rows, columns}, matrix.integers.data(), classes, dependent, kMost, absl::MakeSpan(counts));
  coding::BitWriter bits;
  bits.Write(dependent ? 1 : 0, 1);
  coding::WriteIntegers(matrix.grid.column_scale, bits);
  std::vector<coding::FrequencyTable> tables;
  for (size_t t = 0; t < count; ++t) {
    tables.push_back(coding::FrequencyTable::Fit({counts.data() + t * kMost, kMost}));
    tables.back().Write(bits);
  }
  const coding::Contexts contexts{classes, dependent, tables};
  const std::vector<uint8_t> side = bits.Take(), tile = *coding::EncodeTile({rows, columns}, matrix.integers.data(), contexts, 4);
  return U16(rows) + U16(columns) + U16(static_cast<uint32_t>(side.size())) + std::string(side.begin(), side.end()) +
         std::string(tile.begin(), tile.end());
}

artifact::NsqTensor Entry(const std::string& name, std::vector<uint64_t> shape, artifact::NsqTensor::Coding coding,
                          const std::string& data) {
  artifact::NsqTensor tensor{name, std::move(shape), checkpoint::DType::kF32, coding, checkpoint::DType::kF16, data.size(), 0, 0};
  if (!tensor.coded()) tensor.crc = coding::Crc32({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
  return tensor;
}

void WriteFiles(const std::string& directory) {
  using Coding = artifact::NsqTensor::Coding;
  const std::string norm = artifact::PlainBytes(checkpoint::DType::kF16, {1.0f, -2.5f, 0.333f}), straight = Stream(6, 10, true, 0.7, 0),
                    turned = Stream(8, 5, true, 0.7, 0);
  const std::string block = norm + straight + turned;
  const std::vector<artifact::NsqTensor> tensors = {Entry("norm", {3}, Coding::kPlain, norm),
                                                    Entry("straight", {6, 10}, Coding::kStream, straight),
                                                    Entry("turned", {5, 8}, Coding::kTransposedStream, turned)};
  const std::string part = directory + "/part", made = directory + "/made";
  Keep(part, block);
  if (!artifact::WriteNsq(made, tensors, {part}, [](uint64_t) {}).ok()) std::fprintf(stderr, "cannot write %s\n", made.c_str());
  Keep(directory + "/file", std::string(1, '\0') + *ReadFile(made));
  std::filesystem::remove(part);
  std::filesystem::remove(made);
  std::string index;
  for (const artifact::NsqTensor& tensor : tensors) {
    const std::string coding = tensor.coding == Coding::kPlain ? "F16" : tensor.coding == Coding::kStream ? "nsq" : "nsq-transposed";
    Json entry = {{"name", tensor.name}, {"shape", tensor.shape}, {"dtype", "F32"}, {"coding", coding}, {"bytes", tensor.bytes}};
    if (!tensor.coded()) entry["crc32"] = tensor.crc;
    index += (index.empty() ? "" : ",") + entry.dump();
  }
  Keep(directory + "/index", '\1' + ("{\"tensors\":[" + index + "]}") + std::string(1, '\0') + block);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string directory = argv[1];
  WriteFiles(directory);
  struct Shape {
    const char* name;
    uint32_t rows, columns;
    bool dependent;
    double step;
    uint32_t outlier;
  };
  for (const Shape& s : {Shape{"classes", 40, 48, true, 0.6, 0}, Shape{"escapes", 24, 20, true, 0.02, 40},
                         Shape{"plain", 24, 20, false, 0.03, 60}, Shape{"one", 1, 1, true, 1, 0}, Shape{"two_tiles", 65, 4096, true, 30, 0}}) {
    Keep(directory + "/stream_" + s.name, '\2' + U16(s.rows) + U16(s.columns) + Stream(s.rows, s.columns, s.dependent, s.step, s.outlier));
  }
  Keep(directory + "/stream_contexts", '\2' + U16(5) + U16(9) + ManyContexts(5, 9));
  Keep(directory + "/tile_dependent", '\3' + Tile(12, 10, true, 0, false));
  Keep(directory + "/tile_escapes", '\3' + Tile(9, 7, false, 12, false));
  Keep(directory + "/tile_greatest", '\3' + Tile(9, 7, true, 12, true));
  return 0;
}
