#include "core/forward/session.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "core/base/checked.h"
#include "core/base/status.h"

namespace nashswarm::forward {
namespace {

absl::Status TooLong(uint64_t tokens, uint64_t limit) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_LONG",
                   absl::StrCat("a sequence of ", tokens, " tokens; there is room for ", limit),
                   absl::StrCat("use at most ", limit, " tokens"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer::Session>> DecoderSession::Make(Decoder& decoder, uint64_t windows,
                                                                           uint64_t capacity) {
  if (capacity > decoder.context()) return TooLong(capacity, decoder.context());
  auto floats = CheckedMul(windows, decoder.layer().StateFloats(capacity));
  for (const uint64_t factor : {decoder.layers(), uint64_t{sizeof(float)}}) {
    if (floats.has_value()) floats = CheckedMul(*floats, factor);
  }
  if (!floats.has_value() || windows == 0 || capacity == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                     absl::StrCat("cannot keep ", windows, " sequences of ", capacity, " tokens"), "continue fewer at a time");
  }
  return std::unique_ptr<Transformer::Session>(new DecoderSession(decoder, windows, capacity));
}

DecoderSession::DecoderSession(Decoder& decoder, uint64_t windows, uint64_t capacity)
    : decoder_(decoder), windows_(windows), capacity_(capacity) {
  for (uint64_t layer = 0; layer < decoder.layers(); ++layer) states_.push_back(decoder.layer().MakeState(windows, capacity));
}

absl::Status DecoderSession::Step(absl::Span<const int32_t> tokens, uint64_t count, float* logits) {
  if (count == 0 || tokens.size() / windows_ != count || tokens.size() % windows_ != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_SHAPE",
                     absl::StrCat(tokens.size(), " tokens are not ", count, " of each of ", windows_, " sequences"));
  }
  if (count > capacity_ - position_) return TooLong(position_ + count, capacity_);
  const uint64_t width = decoder_.width();
  hidden_.resize(tokens.size() * width);
  NS_RETURN_IF_ERROR(decoder_.EmbedAt(tokens, count, position_, hidden_.data()));
  for (uint64_t layer = 0; layer < decoder_.layers(); ++layer) {
    NS_RETURN_IF_ERROR(decoder_.RunRemembering(layer, windows_, count, hidden_.data(), &states_[layer], capacity_, position_));
  }
  last_.resize(windows_ * width);
  for (uint64_t window = 0; window < windows_; ++window) {
    std::copy_n(hidden_.data() + ((window + 1) * count - 1) * width, width, last_.data() + window * width);
  }
  NS_RETURN_IF_ERROR(decoder_.FinalNorm(windows_, last_.data(), nullptr));
  NS_RETURN_IF_ERROR(decoder_.Logits(last_.data(), windows_, logits, nullptr));
  position_ += count;
  return absl::OkStatus();
}

}  // namespace nashswarm::forward
