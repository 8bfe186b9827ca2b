#include "core/pipeline/kinds/block_chunk.h"

#include <cmath>

#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"

namespace nashswarm::pipeline {

uint64_t ZeroNonFinite(absl::Span<float> values) {
  uint64_t count = 0;
  for (float& value : values) {
    if (std::isfinite(value)) continue;
    value = 0;
    ++count;
  }
  return count;
}

void EncodeChunk(const calibrate::Objective& objective, quant::Format format, absl::Span<const float> values, uint64_t width,
                 std::vector<uint8_t>* encoded, absl::Span<float> decoded) {
  const uint64_t rows = values.size() / width, row_bytes = *quant::EncodedBytes(format, 1, width);
  encoded->resize(rows * row_bytes);
  objective.Encode(format, values.data(), rows, width, encoded->data());
  for (uint64_t r = 0; r < rows; ++r) quant::DecodeRow(format, encoded->data() + r * row_bytes, decoded.subspan(r * width, width));
}

absl::StatusOr<std::vector<float>> EncodedAndDecoded(const model::MappedTensor& tensor, const calibrate::Objective& objective,
                                                     quant::Format format, int threads) {
  const uint64_t width = tensor.row_weights;
  std::vector<float> decoded(tensor.weights());
  std::vector<Chunk> chunks;
  AppendChunks(0, tensor.rows, width, &chunks);
  NS_RETURN_IF_ERROR(ParallelFor(threads, chunks.size(), [&](uint64_t c) {
    const Chunk& chunk = chunks[c];
    std::vector<float> values(chunk.rows * width);
    std::vector<uint8_t> encoded;
    model::ReadRows(tensor, chunk.first, chunk.rows, values.data());
    ZeroNonFinite(absl::MakeSpan(values));
    EncodeChunk(objective, format, values, width, &encoded, absl::MakeSpan(decoded).subspan(chunk.first * width, chunk.rows * width));
    return absl::OkStatus();
  }));
  return decoded;
}

}  // namespace nashswarm::pipeline
