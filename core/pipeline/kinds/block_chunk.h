// A chunk of a tensor in a number format, as every stage makes it: MEASURE, ENCODE, and plans that are tried out.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_BLOCK_CHUNK_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_BLOCK_CHUNK_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/calibrate/objective.h"
#include "core/model/architecture.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

// Sets values that are NaN or infinite to 0; how many there were.
uint64_t ZeroNonFinite(absl::Span<float> values);

// Encodes whole rows of `width` finite values by the tensor's objective, and decodes them as a reader will. `encoded` takes their
// bytes; `decoded` has room for as many values.
void EncodeChunk(const calibrate::Objective& objective, quant::Format format, absl::Span<const float> values, uint64_t width,
                 std::vector<uint8_t>* encoded, absl::Span<float> decoded);

// All of the tensor, encoded and decoded chunk by chunk: rows x row_weights of it. Values that are not finite count as 0.
absl::StatusOr<std::vector<float>> EncodedAndDecoded(const model::MappedTensor& tensor, const calibrate::Objective& objective,
                                                     quant::Format format, int threads);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_BLOCK_CHUNK_H_
