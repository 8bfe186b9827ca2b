// The safetensors header parser must refuse or accept any bytes without touching what is not theirs, and what it accepts
// must lie inside the file.
#include <cstdlib>

#include "core/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto header = nashswarm::checkpoint::ParseSafetensors(absl::MakeConstSpan(data, size), "fuzz");
  if (!header.ok()) return 0;
  uint64_t covered = 0;
  uint8_t sum = 0;
  for (const auto& tensor : header->tensors) {
    if (tensor.begin > tensor.end || tensor.end > size) std::abort();
    covered += tensor.end - tensor.begin;
    for (uint64_t i = tensor.begin; i < tensor.end; ++i) sum += data[i];  // AddressSanitizer looks at every byte
  }
  asm volatile("" : : "r"(sum));  // keeps the reads
  if (covered > size) std::abort();
  return 0;
}
