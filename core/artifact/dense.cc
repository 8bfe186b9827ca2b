#include "core/artifact/dense.h"

#include <algorithm>
#include <cstring>

#include "core/artifact/expert_order.h"
#include "core/base/half.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "core/quant/format.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::DType;

constexpr uint64_t kBufferBytes = 4u << 20;

void AppendAs(DType dtype, absl::Span<const float> values, std::vector<uint8_t>* out) {
  const auto append = [out](const auto& value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    out->insert(out->end(), bytes, bytes + sizeof(value));
  };
  for (const float value : values) {
    if (dtype == DType::kF32) append(value);
    else append(dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value));
  }
}

}  // namespace

absl::Status WriteDense(const OpenGguf& artifact, DType dtype, const std::string& path,
                        const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<checkpoint::TensorShape> shapes;
  uint64_t total = 0;
  for (const auto& tensor : artifact.gguf.tensors) {
    NS_RETURN_IF_ERROR(checkpoint::CheckDecodable(tensor, artifact.file->path()));
    shapes.push_back({tensor.name, dtype, {tensor.dims.rbegin(), tensor.dims.rend()}});
    total += tensor.row_weights() * tensor.rows();
  }
  NS_ASSIGN_OR_RETURN(const ExpertOrders orders, ExpertOrdersOf(artifact.gguf, artifact.file->path()));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  const std::map<std::string, std::string> metadata = WithExpertOrders({{"format", "pt"}}, orders);
  NS_RETURN_IF_ERROR(file.Append(checkpoint::SerializeSafetensorsHeader(shapes, metadata)));

  std::vector<uint8_t> buffer;
  uint64_t done = 0;
  for (const auto& tensor : artifact.gguf.tensors) {
    const auto data = artifact.DataOf(tensor);
    std::vector<float> row(tensor.row_weights());
    const uint64_t rows = row.empty() ? 0 : tensor.rows();
    for (uint64_t r = 0; r < rows; ++r) {
      quant::DecodeRow(tensor.format, data.data() + r * (data.size() / rows), absl::MakeSpan(row));
      AppendAs(dtype, row, &buffer);
      if (buffer.size() < kBufferBytes) continue;
      NS_RETURN_IF_ERROR(file.Append(buffer));
      buffer.clear();
    }
    done += rows * row.size();
    progress(done, total);
  }
  NS_RETURN_IF_ERROR(file.Append(buffer));
  return file.Commit();
}

}  // namespace nashswarm::artifact
