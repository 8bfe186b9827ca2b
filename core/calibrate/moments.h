// Second moments E[x x^T] of the inputs of linear layers: collected while the model runs, kept in a safetensors file.
//
// The file (moments.safetensors) has one F32 tensor for every input (forward::InputOf): either [n], the diagonal, or
// [n (n + 1) / 2], the lower triangle row by row. "token_counts" (F32, [vocabulary]) counts the calibration tokens, and
// "evaluation_tokens" (I32, [windows, length]), when there is held-out text, are the windows to measure on; "search_tokens"
// are windows of the calibration text that nothing else was fitted to, for choosing between plans. The Fisher information of
// outputs (forward::Fisher) is there too, when the text was run back: "rows/<tensor>" (F32, [rows]) of linear layers,
// "table_rows/<tensor>" and "table/<tensor>" (a full moment) of tables of embeddings.
#ifndef NASHSWARM_CORE_CALIBRATE_MOMENTS_H_
#define NASHSWARM_CORE_CALIBRATE_MOMENTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/checkpoint/safetensors.h"
#include "core/feedback/feedback.h"
#include "core/forward/transformer.h"

namespace nashswarm::calibrate {

inline constexpr char kMomentsFile[] = "moments.safetensors";
inline constexpr char kTokenCounts[] = "token_counts";
inline constexpr char kEvaluationTokens[] = "evaluation_tokens";
inline constexpr char kSearchTokens[] = "search_tokens";
// F32, [experts], by layer ("expert_tokens/3"): how many calibration tokens used each expert.
inline constexpr char kExpertTokens[] = "expert_tokens/";
// F32, [experts, experts], by layer: how many calibration tokens used both; symmetric, 0 on the diagonal. Absent where a layer
// has more than kMostPairedExperts.
inline constexpr char kExpertPairs[] = "expert_pairs/";
inline constexpr uint64_t kMostPairedExperts = 1024;
inline constexpr char kRowsOf[] = "rows/", kTableRowsOf[] = "table_rows/", kTableOf[] = "table/";

// What is kept of one input.
struct InputMoment {
  uint64_t width = 0;
  bool full = false;
  std::vector<float> values;  // [width] or the packed lower triangle
};

// Sums x x^T of one or more inputs, in double over blocks of float products. Not thread-safe; uses `threads` itself, with
// the same result for any number of them.
class MomentCollector : public forward::InputTap {
 public:
  // Inputs wider than `max_full_width` get their diagonal only.
  MomentCollector(uint64_t max_full_width, int threads) : max_full_width_(max_full_width), threads_(threads) {}
  void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) override;

  // The moment of `input` so far, and forgets it; of width 0 when it was not heard.
  InputMoment Take(const std::string& input);
  uint64_t Tokens(const std::string& input) const;  // heard so far

 private:
  struct Sum {
    uint64_t width = 0, tokens = 0;
    bool full = false;
    std::vector<double> values;  // as InputMoment::values, not yet divided; full: width * width, lower triangle used
  };
  uint64_t max_full_width_;
  int threads_;
  std::map<std::string, Sum> sums_;
};

// The symmetric width x width matrix of a full moment.
std::vector<float> Unpack(const InputMoment& moment);
std::vector<float> DiagonalOf(const InputMoment& moment);

// moments.safetensors, read. Thread-safe.
class Moments {
 public:
  // `ready`: how many of Full's results are kept. Tensors that share an input come one after the other, so as many as
  // threads that work on different ones are enough.
  static absl::StatusOr<std::unique_ptr<Moments>> Open(const std::string& path, size_t ready = 2);

  bool Has(const std::string& input) const { return entries_.contains(input); }
  bool IsFull(const std::string& input) const;                               // false when absent
  std::vector<float> Diagonal(const std::string& input) const;               // empty when absent
  // Ready for error feedback, which takes a while; null when only the diagonal is there. Threads that ask for the same one
  // wait for it, others do not.
  std::shared_ptr<const feedback::Moment> Full(const std::string& input) const;
  std::vector<float> Vector(const std::string& name) const;                  // any F32 tensor of the file; empty when absent
  // The symmetric width x width matrix; empty when absent or diagonal only.
  std::vector<float> FullMatrix(const std::string& input) const;
  std::vector<float> TokenCounts() const { return Vector(kTokenCounts); }
  // Windows under kEvaluationTokens or kSearchTokens; empty when absent.
  std::vector<std::vector<int32_t>> Windows(const std::string& name) const;

 private:
  absl::Span<const uint8_t> BytesOf(const checkpoint::TensorEntry& entry) const;
  InputMoment Load(const std::string& input) const;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, checkpoint::TensorEntry> entries_;
  std::map<std::string, uint64_t> widths_;
  struct Ready {
    std::string input;
    std::once_flag once;
    std::shared_ptr<const feedback::Moment> moment;
  };
  size_t ready_ = 2;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<Ready>> recent_;  // the latest last
};

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_MOMENTS_H_
