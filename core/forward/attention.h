// Causal attention over tiles of queries and keys, with the softmax kept up to date from tile to tile, so that no matrix of
// all scores is ever made (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al.,
// "FlashAttention", 2022).
#ifndef NASHSWARM_CORE_FORWARD_ATTENTION_H_
#define NASHSWARM_CORE_FORWARD_ATTENTION_H_

#include <cstdint>
#include <vector>

namespace nashswarm::forward {

// Queries of one sequence and the query heads that share one head of keys and values.
struct AttentionTask {
  const float* query;        // count rows; the group's heads lie side by side
  uint64_t query_stride;
  const float* key;          // positions [0, first + count)
  uint64_t key_stride;
  const float* value;
  uint64_t value_stride;
  float* out;                // count rows, heads as in query
  uint64_t out_stride;
  uint64_t first;            // position of the first query
  uint64_t count;
  uint64_t window;           // a query sees this many positions, its own the last; 0: all before it
  uint64_t group;            // query heads
  uint64_t head_width;
  float scale;               // of the scores
};

// The first position that query `position` sees through a window of `window` positions (0: all before it).
inline uint64_t FirstSeen(uint64_t window, uint64_t position) {
  return window == 0 || position + 1 < window ? 0 : position + 1 - window;
}

// One thread's memory.
class Attention {
 public:
  // Queries a caller should give in one task.
  static uint64_t TileQueries(uint64_t group);

  void Run(const AttentionTask& task);

 private:
  void LoadQueries(const AttentionTask& task);
  void AddKeys(const AttentionTask& task, uint64_t begin, uint64_t end);
  void AddScores(const AttentionTask& task, uint64_t row, uint64_t begin, uint64_t end);
  void StoreOut(const AttentionTask& task);

  std::vector<float> queries_;  // a row a query and head, scaled
  std::vector<float> scores_;   // of one tile of keys
  std::vector<float> sums_;     // weighted values so far
  std::vector<float> greatest_, total_;  // of each row's scores so far; total of exp(score - greatest)
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ATTENTION_H_
