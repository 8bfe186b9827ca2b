// Sums of squared gradients: what a Fisher is made of.
#ifndef NASHSWARM_CORE_FORWARD_FISHER_SUMS_H_
#define NASHSWARM_CORE_FORWARD_FISHER_SUMS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/forward/fisher.h"
#include "core/forward/gradient_tap.h"
#include "core/forward/model_config.h"

namespace nashswarm::forward {

// Sums in double precision, over tokens in their order, whatever the threads.
class FisherSums : public GradientTap {
 public:
  // Both outlive this; `head` is the name of the head's tensor.
  FisherSums(const ModelConfig& config, ThreadPool& pool, std::string head);

  // The tokens that the next calls are about: windows of `length`. They outlive those calls.
  void Start(absl::Span<const int32_t> tokens, uint64_t length);
  void Output(const std::string& tensor, const TokenRows& gradients) override;
  void Probabilities(const TokenRows& probabilities) override;
  void Embedding(const TokenRows& gradients) override;

  // The means.
  Fisher Take();

 private:
  // sum[i] += of(row[i]) over rows.
  template <typename Of>
  void AddColumns(const TokenRows& rows, Of of, std::vector<double>* sum);
  void AddTableRows(const TokenRows& gradients);
  void AddMoment(const TokenRows& gradients);
  Fisher::Table TableOf(const std::vector<double>& rows) const;
  std::vector<float> Means(const std::vector<double>& sums) const;

  const ModelConfig& config_;
  ThreadPool& pool_;
  const std::string head_;
  absl::Span<const int32_t> tokens_;
  uint64_t length_ = 0, done_ = 0;                  // done_: tokens of every Start
  std::map<std::string, std::vector<double>> rows_;  // by tensor
  std::vector<double> token_rows_, position_rows_;
  std::vector<double> moment_;                       // width x width, the lower triangle
  std::vector<std::vector<float>> products_;         // by thread
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_FISHER_SUMS_H_
