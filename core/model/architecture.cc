#include "core/model/architecture.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/checkpoint/quantized.h"
#include "core/model/architecture_table.h"

namespace nashswarm::model {
namespace {

constexpr std::string_view kRoleNames[] = {
    "token_embedding", "position_embedding", "output",  "query", "key",   "value", "query_key_value",
    "attention_output", "ffn_gate",          "ffn_up",  "ffn_down", "router", "norm", "bias",
    "rope_factors"};

// In GGUF's names of stacks; without it, they are those of one expert.
constexpr std::string_view kStackEnd = "_exps.weight";

// Row of the checkpoint that becomes stored row `row`.
uint64_t SourceRow(const MappedTensor& tensor, uint64_t row) {
  if (tensor.layout != Layout::kHeadPairs) return row;
  const uint64_t head = row / tensor.head_rows, within = row % tensor.head_rows;
  return head * tensor.head_rows + (within % 2) * (tensor.head_rows / 2) + within / 2;
}

// Columns [first, first + count) of a [row_weights, rows] matrix, as rows. Goes down the source in bands, so that both
// sides are touched in runs of at least a cache line.
void ReadTransposed(const MappedTensor& tensor, uint64_t first, uint64_t count, float* out) {
  constexpr uint64_t kBand = 16;
  const checkpoint::DType dtype = tensor.source->dtype;
  const uint64_t element = checkpoint::BytesOf(dtype);
  std::vector<float> band(kBand * count);
  for (uint64_t c0 = 0; c0 < tensor.source_row_weights; c0 += kBand) {
    const uint64_t columns = std::min(kBand, tensor.source_row_weights - c0);
    for (uint64_t c = 0; c < columns; ++c) {
      const uint64_t position = (c0 + c) * tensor.source_rows + first;
      checkpoint::ToFloat(dtype, tensor.source->data.data() + position * element, count, &band[c * count]);
    }
    for (uint64_t r = 0; r < count; ++r) {
      for (uint64_t c = 0; c < columns; ++c) out[r * tensor.row_weights + c0 + c] = band[c * count + r];
    }
  }
}

// What row `row` of a matrix is multiplied by.
float ScaleOf(const MappedTensor& tensor, uint64_t row) { return row < tensor.scaled ? tensor.scale : 1.0f; }

// Rows [first, first + count), as they were read.
void ApplyScale(const MappedTensor& tensor, uint64_t first, uint64_t count, float* out) {
  if (tensor.scaled == 0) return;
  if (tensor.vector) {
    for (uint64_t i = 0; i < tensor.scaled; ++i) out[i] *= tensor.scale;
    return;
  }
  const uint64_t end = first >= tensor.scaled ? 0 : std::min(count, tensor.scaled - first);
  for (uint64_t i = 0; i < end * tensor.row_weights; ++i) out[i] *= tensor.scale;
}

// `values`, rows of `width`, in the checkpoint's order.
std::vector<float> Reorder(const MappedTensor& tensor, absl::Span<const float> values, uint64_t row_weights, uint64_t width) {
  std::vector<float> out(tensor.source_rows * width);
  for (uint64_t r = 0; r < tensor.source_rows; ++r) {
    const uint64_t to = SourceRow(tensor, r);
    std::copy_n(values.begin() + static_cast<ptrdiff_t>(r * row_weights), width, out.begin() + static_cast<ptrdiff_t>(to * width));
  }
  return out;
}

absl::StatusOr<Model> MapArchitecture(const checkpoint::Checkpoint& checkpoint) {
  const std::string model_type = JsonString(checkpoint.config(), "model_type");
  const Architecture* row = FindArchitecture(model_type);
  if (row != nullptr) return row->map(checkpoint, *row);
  return MakeError(absl::StatusCode::kInvalidArgument, "ARCHITECTURE_UNKNOWN",
                   model_type.empty() ? "config.json: is missing or has no model_type"
                                      : absl::StrCat("config.json: unknown architecture '", model_type, "'"),
                   absl::StrCat("known architectures: ", ListModelTypes()));
}

}  // namespace

std::string_view NameOf(Role role) { return kRoleNames[static_cast<int>(role)]; }

std::string StackOf(const MappedTensor& tensor) {
  if (tensor.expert < 0) return tensor.name;
  const std::string end = absl::StrCat(".", tensor.expert, ".weight");
  return absl::StrCat(tensor.name.substr(0, tensor.name.size() - end.size()), ToAbsl(kStackEnd));
}

std::string NameInStack(std::string_view stack, uint64_t expert) {
  if (!absl::EndsWith(ToAbsl(stack), ToAbsl(kStackEnd))) return {};
  return absl::StrCat(ToAbsl(stack.substr(0, stack.size() - kStackEnd.size())), ".", expert, ".weight");
}

absl::StatusOr<Model> MapModel(const checkpoint::Checkpoint& checkpoint) {
  std::vector<std::string> warnings = checkpoint.warnings();
  NS_RETURN_IF_ERROR(checkpoint::RefuseQuantized(checkpoint, &warnings));
  NS_ASSIGN_OR_RETURN(Model model, MapArchitecture(checkpoint));
  model.warnings.insert(model.warnings.begin(), warnings.begin(), warnings.end());
  return model;
}

void ReadRows(const MappedTensor& tensor, uint64_t first, uint64_t count, float* out) {
  if (tensor.source == nullptr) {
    std::memcpy(out, tensor.constant.data(), tensor.constant.size() * sizeof(float));
    return;
  }
  const bool padded = tensor.rows != tensor.source_rows || tensor.row_weights != tensor.source_row_weights;
  if (padded) std::fill(out, out + count * tensor.row_weights, 0.0f);
  const uint64_t real = first >= tensor.source_rows ? 0 : std::min(count, tensor.source_rows - first);
  if (tensor.layout == Layout::kTransposed) {
    if (real > 0) ReadTransposed(tensor, first, real, out);
    return ApplyScale(tensor, first, real, out);
  }
  const checkpoint::DType dtype = tensor.source->dtype;
  const uint64_t row_bytes = tensor.source_row_weights * checkpoint::BytesOf(dtype);
  for (uint64_t r = 0; r < real; ++r) {
    checkpoint::ToFloat(dtype, tensor.source->data.data() + SourceRow(tensor, first + r) * row_bytes,
                        tensor.source_row_weights, out + r * tensor.row_weights);
    if (tensor.plus == 0) continue;
    for (uint64_t c = 0; c < tensor.source_row_weights; ++c) out[r * tensor.row_weights + c] += tensor.plus;
  }
  ApplyScale(tensor, first, real, out);
}

MappedTensor InCheckpointOrder(const MappedTensor& tensor) {
  MappedTensor plain = tensor;
  plain.layout = tensor.layout == Layout::kTransposed ? Layout::kTransposed : Layout::kRows;
  plain.rows = tensor.source_rows;
  plain.row_weights = tensor.source_row_weights;
  plain.head_rows = 0;
  plain.plus = 0;
  plain.scaled = 0;
  plain.scale = 1;
  return plain;
}

std::vector<float> ToCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> values, uint64_t row_weights) {
  const uint64_t width = std::min(row_weights, tensor.source_row_weights);
  std::vector<float> out = Reorder(tensor, values, row_weights, width);
  // Scaled rows are in no other order than the checkpoint's.
  for (uint64_t i = 0; i < tensor.scaled * width; ++i) out[i] /= tensor.scale;
  return out;
}

std::vector<float> RowWeightsInCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> weights) {
  std::vector<float> out = Reorder(tensor, weights, 1, 1);
  for (uint64_t r = 0; r < tensor.scaled; ++r) out[r] *= tensor.scale * tensor.scale;
  return out;
}

std::vector<float> FromCheckpointOrder(const MappedTensor& tensor, absl::Span<const float> values) {
  const uint64_t width = tensor.source_row_weights;
  std::vector<float> out(tensor.rows * tensor.row_weights);
  for (uint64_t r = 0; r < tensor.source_rows; ++r) {
    const uint64_t from = SourceRow(tensor, r);
    float* row = &out[r * tensor.row_weights];
    std::copy_n(values.begin() + static_cast<ptrdiff_t>(from * width), width, row);
    for (uint64_t c = 0; c < width; ++c) row[c] *= ScaleOf(tensor, r);
  }
  return out;
}

}  // namespace nashswarm::model
