#include "core/pipeline/baseline_file.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/file.h"
#include "core/base/half.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "core/coding/bits.h"
#include "core/coding/frequency_table.h"
#include "core/coding/tile.h"
#include "core/quant/baseline.h"

namespace nashswarm::pipeline {
namespace {

using checkpoint::DType;
using coding::BitReader;
using coding::BitWriter;
using model::MappedTensor;

struct Shape {
  uint64_t rows = 0, columns = 0;
  uint64_t size() const { return rows * columns; }
};

void WriteUniform(const quant::UniformCodes& coded, int bits, BitWriter* out) {
  out->Write(std::bit_cast<uint32_t>(coded.least), 32);
  out->Write(std::bit_cast<uint32_t>(coded.greatest), 32);
  for (const uint8_t code : coded.codes) out->Write(code, bits);
}

quant::UniformCodes ReadUniform(uint64_t count, int bits, BitReader* in) {
  quant::UniformCodes coded;
  coded.least = std::bit_cast<float>(in->Read(32));
  coded.greatest = std::bit_cast<float>(in->Read(32));
  coded.codes.resize(count);
  for (uint8_t& code : coded.codes) code = static_cast<uint8_t>(in->Read(bits));
  return coded;
}

// A group's least weight, step and codes follow one another.
template <typename Visit>
void ForEachGroup(Shape shape, uint64_t group, Visit visit) {
  size_t g = 0;
  for (uint64_t row = 0; row < shape.rows; ++row) {
    for (uint64_t first = 0; first < shape.columns; first += group, ++g) {
      visit(g, row * shape.columns + first, std::min(group, shape.columns - first));
    }
  }
}

void WriteGroups(absl::Span<const float> weights, Shape shape, const Baseline& baseline, BitWriter* out) {
  const quant::GroupCodes coded = quant::CodeInGroups(weights, shape.columns, baseline.bits, baseline.group);
  ForEachGroup(shape, baseline.group, [&](size_t g, uint64_t first, uint64_t count) {
    out->Write(coded.least[g], 16);
    out->Write(coded.step[g], 16);
    for (uint64_t i = first; i < first + count; ++i) out->Write(coded.codes[i], baseline.bits);
  });
}

void ReadGroups(Shape shape, const Baseline& baseline, BitReader* in, absl::Span<float> weights) {
  quant::GroupCodes coded;
  ForEachGroup(shape, baseline.group, [&](size_t, uint64_t, uint64_t count) {
    coded.least.push_back(static_cast<uint16_t>(in->Read(16)));
    coded.step.push_back(static_cast<uint16_t>(in->Read(16)));
    for (uint64_t i = 0; i < count; ++i) coded.codes.push_back(static_cast<uint8_t>(in->Read(baseline.bits)));
  });
  quant::DecodeInGroups(coded, shape.columns, baseline.group, weights);
}

// The map is a tile of -1 (8 bits), 1 (4 bits) and 0 (2 bits) with one table.
struct MapContext {
  explicit MapContext(Shape shape) : row(shape.rows, 0), column(shape.columns, 0) {}
  coding::TileClasses classes() const { return {row, column}; }
  std::vector<uint8_t> row, column;
};

coding::TileShape TileOf(Shape shape) { return {static_cast<uint32_t>(shape.rows), static_cast<uint32_t>(shape.columns)}; }

absl::Status WriteMagnitude(absl::Span<const float> weights, Shape shape, BitWriter* out) {
  const quant::MagnitudeCodes coded = quant::CodeByMagnitude(weights);
  std::vector<int32_t> map;
  double counts[2] = {0, 0};
  for (const uint8_t c : coded.classes) {
    map.push_back(c == 0 ? -1 : c == 1 ? 1 : 0);
    ++counts[c == 2 ? 0 : 1];
  }
  const coding::FrequencyTable tables[] = {coding::FrequencyTable::Fit(counts)};
  const MapContext context(shape);
  NS_ASSIGN_OR_RETURN(const std::vector<uint8_t> payload, coding::EncodeTile(TileOf(shape), map.data(), {context.classes(), false, tables}));
  tables[0].Write(*out);
  out->Write(static_cast<uint32_t>(payload.size()), 32);
  for (const uint8_t byte : payload) out->Write(byte, 8);
  for (int c = 0; c < quant::kMagnitudeClasses; ++c) WriteUniform(coded.members[c], quant::kMagnitudeBits[c], out);
  return absl::OkStatus();
}

absl::Status ReadMagnitude(Shape shape, uint64_t bytes, BitReader* in, absl::Span<float> weights) {
  NS_ASSIGN_OR_RETURN(const coding::FrequencyTable table, coding::FrequencyTable::Read(*in));
  std::vector<uint8_t> payload(std::min<uint64_t>(in->Read(32), bytes));
  for (uint8_t& byte : payload) byte = static_cast<uint8_t>(in->Read(8));
  const MapContext context(shape);
  std::vector<int32_t> map(shape.size());
  const coding::FrequencyTable tables[] = {table};
  NS_RETURN_IF_ERROR(coding::DecodeTile(payload, TileOf(shape), context.classes(), coding::DecodeTables(tables, false), map.data()));
  quant::MagnitudeCodes coded;
  std::array<uint64_t, quant::kMagnitudeClasses> counts{};
  for (const int32_t k : map) {
    coded.classes.push_back(k < 0 ? 0 : k > 0 ? 1 : 2);
    ++counts[coded.classes.back()];
  }
  for (int c = 0; c < quant::kMagnitudeClasses; ++c) coded.members[c] = ReadUniform(counts[c], quant::kMagnitudeBits[c], in);
  quant::DecodeByMagnitude(coded, weights);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> Store(absl::Span<const float> weights, Shape shape, const Baseline& baseline) {
  BitWriter out;
  switch (baseline.method) {
    case Baseline::Method::kUniform: WriteUniform(quant::CodeUniform(weights, baseline.bits), baseline.bits, &out); break;
    case Baseline::Method::kMagnitude: NS_RETURN_IF_ERROR(WriteMagnitude(weights, shape, &out)); break;
    case Baseline::Method::kGroups: WriteGroups(weights, shape, baseline, &out); break;
  }
  return out.Take();
}

absl::Status Load(absl::Span<const uint8_t> bytes, Shape shape, const Baseline& baseline, const std::string& name, absl::Span<float> weights) {
  BitReader in(bytes);
  switch (baseline.method) {
    case Baseline::Method::kUniform:
      quant::DecodeUniform(ReadUniform(shape.size(), baseline.bits, &in), baseline.bits, weights);
      break;
    case Baseline::Method::kMagnitude: NS_RETURN_IF_ERROR(ReadMagnitude(shape, bytes.size(), &in, weights)); break;
    case Baseline::Method::kGroups: ReadGroups(shape, baseline, &in, weights); break;
  }
  if (in.overrun() || !in.AtEnd()) {
    return MakeError(absl::StatusCode::kDataLoss, "BASELINE_CORRUPT", absl::StrCat("tensor '", name, "': is not as long as its codes"),
                     "write the file again");
  }
  return absl::OkStatus();
}

// Those of the checkpoint; some of the mapping are constants.
std::vector<const MappedTensor*> Stored(const model::Model& model) {
  std::vector<const MappedTensor*> tensors;
  for (const MappedTensor& tensor : model.tensors) {
    if (tensor.source != nullptr) tensors.push_back(&tensor);
  }
  return tensors;
}

}  // namespace

std::vector<Baseline> Baselines() {
  using Method = Baseline::Method;
  return {{"uniform, 4 bits", Method::kUniform, 4, 0},
          {"magnitude, 2/4/8 bits", Method::kMagnitude, 0, 0},
          {"rounding in groups of 32, 4 bits", Method::kGroups, 4, 32},
          {"rounding in groups of 128, 4 bits", Method::kGroups, 4, 128},
          {"rounding in groups of 32, 3 bits", Method::kGroups, 3, 32},
          {"rounding in groups of 128, 3 bits", Method::kGroups, 3, 128}};
}

absl::Status WriteBaseline(const OpenModel& open, const Baseline& baseline, const std::string& path, int threads) {
  const std::vector<const MappedTensor*> tensors = Stored(open.model);
  std::vector<std::vector<uint8_t>> bytes(tensors.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), tensors.size(), [&](uint64_t t) -> absl::Status {
    const MappedTensor tensor = model::InCheckpointOrder(*tensors[t]);
    std::vector<float> weights(tensor.weights());
    model::ReadRows(tensor, 0, tensor.rows, weights.data());
    if (tensor.is_player()) {
      NS_ASSIGN_OR_RETURN(bytes[t], Store(weights, {tensor.rows, tensor.row_weights}, baseline));
      return absl::OkStatus();
    }
    for (const float x : weights) {
      const uint16_t half = FloatToHalf(x);
      bytes[t].push_back(static_cast<uint8_t>(half));
      bytes[t].push_back(static_cast<uint8_t>(half >> 8));
    }
    return absl::OkStatus();
  }));
  std::vector<checkpoint::TensorToWrite> entries;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const bool matrix = tensors[t]->is_player();
    const checkpoint::SourceTensor& source = *tensors[t]->source;
    entries.push_back({{source.name, matrix ? DType::kU8 : DType::kF16, matrix ? std::vector<uint64_t>{bytes[t].size()} : source.shape}, bytes[t]});
  }
  return checkpoint::WriteSafetensors(path, entries, {});
}

absl::Status UnpackBaseline(const OpenModel& open, const Baseline& baseline, const std::string& path, const std::string& directory,
                            int threads) {
  NS_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(const checkpoint::SafetensorsHeader header, checkpoint::ParseSafetensors(file->bytes(), path));
  const std::vector<const MappedTensor*> tensors = Stored(open.model);
  std::vector<std::vector<float>> values(tensors.size());
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), tensors.size(), [&](uint64_t t) -> absl::Status {
    const MappedTensor tensor = model::InCheckpointOrder(*tensors[t]);
    const std::string& name = tensor.source->name;
    const auto entry = std::find_if(header.tensors.begin(), header.tensors.end(), [&](const auto& e) { return e.name == name; });
    if (entry == header.tensors.end()) {
      return MakeError(absl::StatusCode::kDataLoss, "BASELINE_CORRUPT", absl::StrCat(path, ": has no tensor '", name, "'"), "write the file again");
    }
    const auto bytes = file->bytes().subspan(entry->begin, entry->end - entry->begin);
    std::vector<float> weights(tensor.weights());
    if (!tensor.is_player()) {
      checkpoint::ToFloat(DType::kF16, bytes.data(), weights.size(), weights.data());
    } else {
      NS_RETURN_IF_ERROR(Load(bytes, {tensor.rows, tensor.row_weights}, baseline, name, absl::MakeSpan(weights)));
    }
    if (tensor.layout != model::Layout::kTransposed) {
      values[t] = std::move(weights);
      return absl::OkStatus();
    }
    values[t].resize(weights.size());
    for (uint64_t r = 0; r < tensor.rows; ++r) {
      for (uint64_t c = 0; c < tensor.row_weights; ++c) values[t][c * tensor.rows + r] = weights[r * tensor.row_weights + c];
    }
    return absl::OkStatus();
  }));
  std::vector<checkpoint::TensorToWrite> entries;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const checkpoint::SourceTensor& source = *tensors[t]->source;
    entries.push_back({{source.name, DType::kF32, source.shape},
                       {reinterpret_cast<const uint8_t*>(values[t].data()), values[t].size() * sizeof(float)}});
  }
  NS_RETURN_IF_ERROR(MakeDirectories(directory));
  NS_RETURN_IF_ERROR(checkpoint::WriteSafetensors(JoinPath(directory, "model.safetensors"), entries, {{"format", "pt"}}));
  return WriteFileUnsynced(JoinPath(directory, "config.json"), open.checkpoint->config().dump(2));
}

}  // namespace nashswarm::pipeline
