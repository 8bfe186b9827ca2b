// What a backward pass with given targets tells, kept for tests.
#ifndef NASHSWARM_TESTS_UNIT_FORWARD_GRADIENTS_H_
#define NASHSWARM_TESTS_UNIT_FORWARD_GRADIENTS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/forward/backward.h"
#include "core/forward/gradient_tap.h"
#include "tests/support/files.h"
#include "tests/unit/forward/memory_weights.h"

namespace nashswarm::forward {

// Token after token.
struct Gradients : GradientTap {
  void Output(const std::string& tensor, const TokenRows& rows) override { Append(rows, &outputs[tensor], OfExpert(tensor)); }
  void Probabilities(const TokenRows& rows) override { Append(rows, &probabilities); }
  void Embedding(const TokenRows& rows) override { Append(rows, &embedding); }

  // "blk.0.ffn_up.3.weight"
  static bool OfExpert(const std::string& tensor) { return std::count(tensor.begin(), tensor.end(), '.') == 4; }

  static void Append(const TokenRows& rows, std::vector<float>* to, bool of_expert = false) {
    if (!of_expert) { EXPECT_EQ(to->size(), rows.first * rows.width); }  // in order
    for (uint64_t t = 0; t < rows.tokens; ++t) {
      to->insert(to->end(), rows.data + t * rows.stride, rows.data + t * rows.stride + rows.width);
    }
  }

  std::map<std::string, std::vector<float>> outputs;  // by tensor
  std::vector<float> probabilities, embedding;
};

inline Gradients GradientsOf(const std::shared_ptr<MemoryWeights>& weights, const Batch& batch,
                             const std::vector<int32_t>& targets, Options options = {.threads = 2}) {
  Gradients gradients;
  const auto decoder = Decoder::Open(weights, options);
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  if (!decoder.ok()) return gradients;
  Backward backward(**decoder);
  const auto target = [&](uint64_t row, absl::Span<const float>) { return targets[row]; };
  NS_EXPECT_OK(backward.Run(batch, target, gradients, [](uint64_t) { return absl::OkStatus(); }));
  return gradients;
}

inline std::map<std::string, std::vector<float>> InputsOf(const std::shared_ptr<MemoryWeights>& weights, const Batch& batch) {
  struct Recorder : InputTap {
    void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) override {
      values[input].assign(x, x + tokens * width);
    }
    std::map<std::string, std::vector<float>> values;
  } recorder;
  const auto transformer = Transformer::Open(weights, {.threads = 2});
  EXPECT_TRUE(transformer.ok()) << transformer.status();
  if (!transformer.ok()) return {};
  std::vector<float> hidden(batch.tokens.size() * (*transformer)->width());
  NS_EXPECT_OK((*transformer)->Run(batch, hidden.data(), &recorder));
  return recorder.values;
}

}  // namespace nashswarm::forward

#endif  // NASHSWARM_TESTS_UNIT_FORWARD_GRADIENTS_H_
