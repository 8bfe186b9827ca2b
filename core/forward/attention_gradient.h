// The way back through causal attention: gradients at queries, keys and values from those at its output, for tiles of
// queries at a time (formulas: Dao et al., "FlashAttention", 2022, appendix B.4).
#ifndef NASHSWARM_CORE_FORWARD_ATTENTION_GRADIENT_H_
#define NASHSWARM_CORE_FORWARD_ATTENTION_GRADIENT_H_

#include <cstdint>
#include <vector>

namespace nashswarm::forward {

// One sequence, one head of keys and values and the query heads that share it. Rows are positions; those of one pointer and
// its gradient are `stride` floats apart, those of the output's gradient `out_stride`.
struct AttentionGradientTask {
  const float *query, *key, *value;          // rotated; the group's query heads lie side by side
  float *query_gradient, *key_gradient, *value_gradient;  // written
  uint64_t stride;
  const float* out_gradient;                 // heads as in query
  uint64_t out_stride;
  uint64_t length;
  uint64_t window;                           // as in AttentionTask
  uint64_t group, head_width;
  float scale;                               // of the scores
};

// One thread's memory: two tiles of some 128 rows of `length` floats.
class AttentionGradient {
 public:
  void Run(const AttentionGradientTask& task);

 private:
  void AddQueries(const AttentionGradientTask& task, uint64_t first, uint64_t count);
  // Scores of keys [begin, begin + keys) become weights, zero where a query sees no key.
  void Softmax(const AttentionGradientTask& task, uint64_t first, uint64_t count, uint64_t begin, uint64_t keys);

  std::vector<float> queries_, out_gradients_, query_gradients_;  // a row a query and head; queries scaled
  std::vector<float> weights_, scores_;                           // a column a key; scores_: gradients at the scores
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ATTENTION_GRADIENT_H_
