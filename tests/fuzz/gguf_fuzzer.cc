// As safetensors_fuzzer, for GGUF; accepted tensors are decoded too.
#include <cstdlib>
#include <vector>

#include "core/checkpoint/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto gguf = nashswarm::checkpoint::ParseGguf(absl::MakeConstSpan(data, size), "fuzz");
  if (!gguf.ok()) return 0;
  for (const auto& tensor : gguf->tensors) {
    const uint64_t begin = gguf->data_begin + tensor.offset;
    if (begin > size || tensor.bytes > size - begin) std::abort();
    if (!nashswarm::quant::CanDecode(tensor.format)) continue;  // known by name and size alone
    const uint64_t rows = tensor.row_weights() == 0 ? 0 : tensor.rows();
    std::vector<float> row(tensor.bytes == 0 ? 0 : tensor.row_weights());
    for (uint64_t r = 0; r < rows && tensor.bytes > 0; ++r) {
      nashswarm::quant::DecodeRow(tensor.format, data + begin + r * (tensor.bytes / rows), absl::MakeSpan(row));
    }
  }
  return 0;
}
