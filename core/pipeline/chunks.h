// Cuts tensors into chunks of rows: the unit of work of a thread. The cut depends on the shapes alone, never on the
// number of threads, so that sums over chunks in order are the same everywhere.
#ifndef NASHSWARM_CORE_PIPELINE_CHUNKS_H_
#define NASHSWARM_CORE_PIPELINE_CHUNKS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nashswarm::pipeline {

struct Chunk {
  uint64_t tensor = 0;           // index in the artifact
  uint64_t first = 0, rows = 0;  // of the tensor
};

// 256 Ki weights are 1 MiB of floats: in L2 for the encoder, and long enough runs for the transposed reader. A thread
// holds one chunk as floats, decoded floats and encoded bytes, so memory is a few MiB a thread.
inline constexpr uint64_t kChunkWeights = 256u << 10;

// Chunks are whole multiples of this many rows, since encoding with error feedback takes them together; a chunk of a wide
// tensor is larger for it.
inline constexpr uint64_t kRowsTogether = 128;

// `weights`: how many a chunk has, nearly.
inline void AppendChunks(uint64_t tensor, uint64_t rows, uint64_t row_weights, std::vector<Chunk>* out,
                         uint64_t weights = kChunkWeights) {
  const uint64_t fitting = weights / std::max<uint64_t>(row_weights, 1),
                 step = std::max(fitting / kRowsTogether, uint64_t{1}) * kRowsTogether;
  for (uint64_t first = 0; first < rows; first += step) out->push_back({tensor, first, std::min(step, rows - first)});
}

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_CHUNKS_H_
