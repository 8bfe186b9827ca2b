// A small model with random weights on disk, and windows of random tokens for it.
#ifndef NASHSWARM_TESTS_UNIT_ROUTE_TINY_MODEL_H_
#define NASHSWARM_TESTS_UNIT_ROUTE_TINY_MODEL_H_

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/evaluate/windows.h"
#include "core/forward/transformer.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::route {

inline absl::Status NoProgress(uint64_t, uint64_t) { return absl::OkStatus(); }

class TinyModel {
 public:
  // Two layers; of a mixture four experts, two for a token.
  explicit TinyModel(const std::string& type) {
    testing::TinyLlama(type, false).Write(path());
    checkpoint_ = checkpoint::Checkpoint::Open(path()).value();
    model_ = std::make_unique<model::Model>(model::MapModel(*checkpoint_).value());
    weights_ = forward::WeightsOf(*checkpoint_, *model_);
  }
  std::string path() const { return directory_.path() + "/model"; }
  const std::shared_ptr<const forward::Weights>& weights() const { return weights_; }
  const checkpoint::Checkpoint& checkpoint() const { return *checkpoint_; }
  const model::Model& mapping() const { return *model_; }
  std::unique_ptr<forward::Transformer> Open() const { return forward::Transformer::Open(weights_, {2}).value(); }

  static std::vector<uint64_t> Sizes() { return std::vector<uint64_t>(2 * 4, 1000); }
  static std::vector<evaluate::Window> Windows(size_t count, size_t length) {
    std::mt19937 random(1);
    std::vector<evaluate::Window> windows(count);
    for (evaluate::Window& window : windows) {
      for (size_t i = 0; i < length; ++i) window.tokens.push_back(static_cast<int32_t>(random() % 300));
      window.score_from = length / 2;
    }
    return windows;
  }

 private:
  TemporaryDirectory directory_ = testing::MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  std::unique_ptr<model::Model> model_;  // points into the checkpoint
  std::shared_ptr<const forward::Weights> weights_;
};

}  // namespace nashswarm::route

#endif  // NASHSWARM_TESTS_UNIT_ROUTE_TINY_MODEL_H_
