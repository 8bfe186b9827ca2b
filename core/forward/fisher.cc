#include "core/forward/fisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/forward/backward.h"
#include "core/forward/decoder.h"
#include "core/forward/fisher_sums.h"
#include "core/forward/random.h"

namespace nashswarm::forward {
namespace {

// Positions that go forward and back together: products of enough rows, at a hidden state a layer and position in memory.
constexpr uint64_t kGroupTokens = 2048;

// The token at which the probabilities before it, added up, pass a random number: one of the position's own, so that neither
// threads nor groups change it.
int32_t Draw(uint64_t seed, uint64_t position, absl::Span<const float> probabilities) {
  const double wanted = Random(seed, position).Uniform();
  double sum = 0;
  size_t last = 0;  // of those that are possible: for when rounding leaves the sum below `wanted`
  for (size_t token = 0; token < probabilities.size(); ++token) {
    if (probabilities[token] <= 0) continue;
    sum += probabilities[token];
    last = token;
    if (sum > wanted) break;
  }
  return static_cast<int32_t>(last);
}

absl::Status CheckBatch(const std::string& model, const Batch& batch) {
  const auto rows = CheckedMul(batch.windows, batch.length);
  if (rows.has_value() && *rows == batch.tokens.size() && *rows > 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_SHAPE",
                   absl::StrCat(model, ": ", batch.tokens.size(), " tokens are not ", batch.windows, " windows of ",
                                batch.length, batch.tokens.empty() ? ": there is nothing to measure" : ""));
}

}  // namespace

absl::StatusOr<Fisher> MeasureFisher(std::shared_ptr<const Weights> weights, const Batch& batch, uint64_t seed,
                                     Options options, const FisherProgress& progress) {
  NS_RETURN_IF_ERROR(CheckBatch(weights->name(), batch));
  NS_ASSIGN_OR_RETURN(const auto decoder, Decoder::Open(std::move(weights), options));
  Backward backward(*decoder);
  FisherSums sums(decoder->config(), decoder->pool(), decoder->config().head.tensor());
  const uint64_t at_once = std::max<uint64_t>(1, kGroupTokens / batch.length);
  for (uint64_t window = 0; window < batch.windows; window += at_once) {
    Batch group;
    group.windows = std::min(at_once, batch.windows - window);
    group.length = batch.length;
    const uint64_t first = window * batch.length, tokens = group.windows * batch.length;
    group.tokens.assign(batch.tokens.begin() + static_cast<ptrdiff_t>(first),
                        batch.tokens.begin() + static_cast<ptrdiff_t>(first + tokens));
    sums.Start(group.tokens, group.length);
    const auto draw = [&](uint64_t row, absl::Span<const float> p) { return Draw(seed, first + row, p); };
    NS_RETURN_IF_ERROR(backward.Run(group, draw, sums, [&](uint64_t done) {
      return progress ? progress(first + tokens * done / backward.steps(), batch.tokens.size()) : absl::OkStatus();
    }));
  }
  return sums.Take();
}

}  // namespace nashswarm::forward
