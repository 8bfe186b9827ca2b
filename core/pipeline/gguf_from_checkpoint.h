// A GGUF file of a whole checkpoint in types that lose nothing that matters: for readers of GGUF, not to save bytes.
#ifndef NASHSWARM_CORE_PIPELINE_GGUF_FROM_CHECKPOINT_H_
#define NASHSWARM_CORE_PIPELINE_GGUF_FROM_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/artifact/expert_order.h"
#include "core/pipeline/gguf_head.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

// The most a matrix may lose: squared error over the sum of squares. Q8_0 of weights that are nearly normal loses a quarter of it.
inline constexpr double kNegligibleError = 1e-4;

struct WrittenGguf {
  struct Tensor {
    std::string name, source;    // in GGUF, in the checkpoint
    quant::Format format;
    uint64_t weights = 0, bytes = 0;
    double relative_error = 0;   // squared error over the sum of squares
  };
  uint64_t bytes = 0;            // of the file
  std::vector<Tensor> tensors;   // in file order
  double greatest_relative_error = 0;
  std::string worst;             // the GGUF name of the tensor that has it; "" when all are exact
  std::vector<std::string> warnings;  // about the tokenizer, as for any GGUF of this checkpoint
};

// Writes `path`, whole or not at all, over a file that is there. Vectors and routers are F32; experts of a layer share a type.
// A matrix is Q8_0 where its rows divide by 32 and it loses at most kNegligibleError; else F16; where that would overflow or
// lose more, BF16 of a BF16 checkpoint and F32 of any other. The same bytes at any number of threads (0: every core). `orders`:
// that the checkpoint's experts lie in already, for the metadata; empty without. `progress` hears weights, read twice; one call
// at a time. Errors: those of OpenAndMap and MakeGgufHead and CheckTokenizer, INVALID_ARGUMENT / NON_FINITE_WEIGHTS, and those of writing. Needs
// as much room again beside `path` while it runs.
absl::StatusOr<WrittenGguf> WriteGgufOf(const std::string& checkpoint_dir, const std::string& path, int threads,
                                        const HeadOptions& options, const artifact::ExpertOrders& orders,
                                        const std::function<void(uint64_t done, uint64_t total)>& progress);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_GGUF_FROM_CHECKPOINT_H_
